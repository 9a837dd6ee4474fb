//! The answers of an operation that are problems.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, Response, ResponseBuilder};

use crate::problem::{self, Problem};

/// Problems that come together, such as those of whatever has a body.
pub(crate) trait Sort {
    /// One of each type. What happened is left out.
    fn problems() -> Vec<Problem>;
}

macro_rules! several {
    ($($sort:ident)*) => {
        impl<$($sort: Sort),*> Sort for ($($sort,)*) {
            fn problems() -> Vec<Problem> {
                [$($sort::problems()),*].concat()
            }
        }
    };
}

several!(A B);
several!(A B C);
several!(A B C D);
several!(A B C D E);
several!(A B C D E F);
several!(A B C D E F G);

/// Declares a sort: which requests are not taken, and what is decided against.
macro_rules! sort {
    ($(#[$doc:meta])* $name:ident: [$($error:ident),*], [$($code:ident),*]) => {
        $(#[$doc])*
        pub(crate) enum $name {}

        impl $crate::openapi::problems::Sort for $name {
            fn problems() -> Vec<$crate::problem::Problem> {
                use $crate::problem::{ApiError, Problem};
                let errors: &[ApiError] = &[$(ApiError::$error),*];
                let codes: &[domain::broker::Code] = &[$(domain::broker::Code::$code),*];
                let errors = errors.iter().map(|error| Problem::refused(*error, ""));
                let codes = codes.iter().map(|code| {
                    Problem::decided(&domain::broker::Refusal::new(*code, ""))
                });
                errors.chain(codes).collect()
            }
        }
    };
}
pub(crate) use sort;

sort! {
    /// Of every path: its form is not right, or the store does not answer.
    OfAny: [NoSuchPath, UnsupportedBody, StoreUnavailable], []
}

sort! {
    /// Of what has a document as its body.
    OfDocument: [TooSlow, TooLarge, UnsupportedBody, MalformedDocument], []
}

/// Of what asks Cloudflare.
pub(crate) enum OfEdge {}

impl Sort for OfEdge {
    fn problems() -> Vec<Problem> {
        problem::failures().collect()
    }
}

/// The problems of some sorts as responses.
pub(crate) struct Refused<S>(PhantomData<S>);

impl<S: Sort> IntoResponses for Refused<S> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
        for problem in S::problems() {
            by_status.entry(problem.status).or_default().push(problem);
        }
        let responses = by_status.into_iter();
        responses
            .map(|(status, problems)| (status.to_string(), response(status, &problems).into()))
            .collect()
    }
}

fn response(status: u16, problems: &[Problem]) -> Response {
    let types: BTreeSet<&str> = problems.iter().map(|one| one.kind.as_str()).collect();
    let titles: BTreeSet<&str> = problems.iter().map(|one| one.title.as_str()).collect();
    let titles: Vec<&str> = titles.into_iter().collect();
    let narrower = ObjectBuilder::new()
        .property(
            "type",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(types)),
        )
        .property(
            "status",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .enum_values(Some([status])),
        );
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(narrower);
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(titles.join("; "))
        .content(problem::MEDIA_TYPE, content);
    match status {
        401 => response.header("WWW-Authenticate", header("The scheme and its algorithms")),
        429 | 503 => response.header("Retry-After", header("When to come back, in seconds")),
        _ => response,
    }
    .build()
}

fn header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new()
        .schema(Some(text))
        .description(Some(description))
        .build()
}
