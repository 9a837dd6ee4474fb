//! What a request may have by the document of its plane: the method, a query, a body.

use std::collections::BTreeMap;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use crate::problem::{ApiError, Problem};

/// Whether a method takes a query and a body.
struct Form {
    method: Method,
    query: bool,
    body: bool,
}

impl Form {
    fn of((method, operation): (Method, &Operation)) -> Self {
        let mut parameters = operation.parameters.iter().flatten();
        let is_query = |parameter: &RefOr<_>| match parameter {
            RefOr::T(utoipa::openapi::path::Parameter { parameter_in, .. }) => {
                matches!(parameter_in, ParameterIn::Query)
            }
            RefOr::Ref(_) => false,
        };
        Self {
            method,
            query: parameters.any(is_query),
            body: operation.request_body.is_some(),
        }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let method = &self.method;
        if !self.query && request.uri().query().is_some() {
            let detail = format!("{method} takes no query here");
            return Err(Problem::refused(ApiError::NoSuchPath, detail));
        }
        if !self.body && !request.body().is_end_stream() {
            let detail = format!("{method} takes no body here");
            return Err(Problem::refused(ApiError::UnsupportedBody, detail));
        }
        Ok(())
    }
}

/// The methods of every path.
pub(crate) struct Forms(BTreeMap<String, Vec<Form>>);

impl Forms {
    /// Those of a document.
    pub(crate) fn of(api: &OpenApi) -> Self {
        let paths = api.paths.paths.iter();
        let paths = paths.map(|(path, item)| {
            let methods = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
                (Method::PATCH, &item.patch),
            ];
            let methods = methods.into_iter();
            let methods = methods.filter_map(|(method, one)| Some((method, one.as_ref()?)));
            (path.clone(), methods.map(Form::of).collect())
        });
        Self(paths.collect())
    }

    /// The answer to a request that no handler may see. What has no path at all is left to the router.
    pub(crate) fn refusal(&self, request: &Request) -> Option<Response> {
        if request.uri().path().contains('%') {
            let problem = Problem::refused(ApiError::NoSuchPath, "names need no encoding");
            return Some(problem.into_response());
        }
        let path = request.extensions().get::<MatchedPath>()?;
        let forms = self.0.get(path.as_str())?;
        // The router would answer HEAD as it answers GET.
        let form = forms.iter().find(|form| form.method == request.method());
        match form {
            Some(form) => Some(form.check(request).err()?.into_response()),
            None => Some(not_allowed(request.method(), forms)),
        }
    }
}

fn not_allowed(method: &Method, forms: &[Form]) -> Response {
    let allowed: Vec<&str> = forms.iter().map(|form| form.method.as_str()).collect();
    let allowed = allowed.join(", ");
    let detail = format!("this path takes {allowed} and not {method}");
    let mut response = Problem::refused(ApiError::MethodNotAllowed, detail).into_response();
    let value = HeaderValue::try_from(allowed).expect("methods are visible letters");
    response.headers_mut().insert(header::ALLOW, value);
    response
}
