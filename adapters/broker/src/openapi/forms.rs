//! What a request may have by the document of its plane: the method, a query, a body. Whatever else comes is refused here, for
//! every plane in the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
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
pub(crate) struct Forms {
    paths: BTreeMap<String, Vec<Form>>,
    challenge: HeaderValue,
}

/// Refuses what no path takes, before anybody is asked who it is. Answers may hold a token, so none is kept on the way.
pub(crate) async fn refuse(
    State(forms): State<Arc<Forms>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match forms.refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let is_unknown = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_unknown {
        headers.insert(header::WWW_AUTHENTICATE, forms.challenge.clone());
    }
    response
}

impl Forms {
    /// Those of a document. `challenge` tells those who are not known how to show who they are (RFC 9110, section 11.6.1).
    pub(crate) fn of(api: &OpenApi, challenge: &'static str) -> Self {
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
        Self {
            paths: paths.collect(),
            challenge: HeaderValue::from_static(challenge),
        }
    }

    /// The answer to a request that no handler may see. What has no path at all is left to the router.
    fn refusal(&self, request: &Request) -> Option<Response> {
        if request.uri().path().contains('%') {
            let problem = Problem::refused(ApiError::NoSuchPath, "names need no encoding");
            return Some(problem.into_response());
        }
        let path = request.extensions().get::<MatchedPath>()?;
        let forms = self.paths.get(path.as_str())?;
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
