//! Items: what has a document at a path of its own, which is read, put and removed as a whole.
//!
//! The `ETag` of an item is a hash of its document. Whoever replaces or removes one says which one they saw (`If-Match`), so
//! that nothing is lost that somebody else changed meanwhile. The store compares once more, in the transaction that writes.

use std::fmt::{Display, Write as _};

use axum::Json;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::broker::{Code, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::problem::{ApiError, Problem};
use crate::server::answer::malformed;

/// An item as an answer, with its `ETag`.
pub(super) struct Item<D> {
    status: StatusCode,
    document: D,
}

impl<D> Item<D> {
    /// One that was read.
    pub(super) fn of(document: D) -> Self {
        Self {
            status: StatusCode::OK,
            document,
        }
    }

    /// One that was put in the place of another one, or where there was none.
    pub(super) fn put<T>(document: D, known: Option<&T>) -> Self {
        let status = match known {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::OK,
        };
        Self { status, document }
    }
}

impl<D: Serialize> IntoResponse for Item<D> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::try_from(tag(&self.document)).expect("digits and letters");
        (self.status, [(header::ETAG, tag)], Json(self.document)).into_response()
    }
}

/// An `ETag`: another one for every other document.
fn tag(document: &impl Serialize) -> String {
    let text = serde_json::to_vec(document).expect("documents can be written");
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(text)[..16] {
        write!(tag, "{byte:02x}").expect("a text takes more");
    }
    tag + "\""
}

/// What an item was found to be, for whoever puts another one in its place.
pub(super) enum Found<D> {
    Nothing,
    /// What is put is there already.
    Same,
    Other(D),
}

/// Whether an item may be put in the place of what was found (RFC 9110, section 13). What is there already may always be put:
/// it may be asked a second time, because the first answer was lost.
pub(super) fn may_put<D: Serialize>(headers: &HeaderMap, found: &Found<D>) -> Result<(), Problem> {
    let (only_new, seen) = (only_new(headers)?, seen(headers)?);
    match found {
        Found::Nothing if !seen.is_empty() => Err(changed()),
        Found::Nothing => Ok(()),
        Found::Same | Found::Other(_) if only_new => Err(changed()),
        Found::Same => Ok(()),
        Found::Other(document) => may_remove(headers, document),
    }
}

/// Whether an item may be removed, or replaced by another one: whoever does it has to say which one they saw.
pub(super) fn may_remove(headers: &HeaderMap, document: &impl Serialize) -> Result<(), Problem> {
    let (seen, tag) = (seen(headers)?, tag(document));
    if seen.is_empty() {
        let detail =
            "send the ETag of what was read as If-Match, or `If-Match: *` for whatever is there";
        return Err(Problem::refused(ApiError::PreconditionRequired, detail));
    }
    match seen.into_iter().any(|value| value == "*" || value == tag) {
        true => Ok(()),
        false => Err(changed()),
    }
}

fn changed() -> Problem {
    Problem::decided(&Refusal::changed())
}

/// The tags of `If-Match`, or `*`.
fn seen(headers: &HeaderMap) -> Result<Vec<&str>, Problem> {
    let is_tag = |value: &str| {
        let tag = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        tag.is_some_and(|tag| !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let seen: Vec<&str> = values(headers, &header::IF_MATCH).collect();
    match seen == ["*"] || seen.iter().all(|value| is_tag(value)) {
        true => Ok(seen),
        false => Err(malformed(
            "If-Match: Invalid value: must be an ETag as it was answered, in quotation marks, or `*`",
        )),
    }
}

/// `If-None-Match: *`.
fn only_new(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut values = values(headers, &header::IF_NONE_MATCH).peekable();
    let is_there = values.peek().is_some();
    match values.all(|value| value == "*") {
        true => Ok(is_there),
        false => Err(malformed("If-None-Match: Invalid value: must be `*`")),
    }
}

/// The values of a header that is a list.
fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.to_str().unwrap_or_default().split(',').map(str::trim))
}

/// What is not there, or not for whoever asks.
pub(super) fn not_there() -> Problem {
    let detail = "there is no such thing, or it belongs to another tenant";
    Problem::decided(&Refusal::new(Code::NotFound, detail))
}

/// Refuses a document that is of another item than the path.
pub(super) fn require_name<N: PartialEq + Display>(found: &N, path: &N) -> Result<(), Problem> {
    match found == path {
        true => Ok(()),
        false => Err(malformed(format!(
            "name: Invalid value: {found}: must be {path}, as in the path"
        ))),
    }
}

/// Names as they stand in a path.
pub(super) struct Names<N>(pub(super) N);

impl<N: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let names = Path::from_request_parts(parts, state).await;
        names.map(|Path(names)| Self(names)).map_err(wrong_name)
    }
}

fn wrong_name(rejection: PathRejection) -> Problem {
    match rejection {
        PathRejection::FailedToDeserializePathParams(error) => match error.into_kind() {
            ErrorKind::DeserializeError { key, message, .. } => {
                malformed(format!("{key}: Invalid value: {message}"))
            }
            other => malformed(other),
        },
        other => malformed(other.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_put_and_removed_by_whoever_saw_what_is_there() {
        let (here, other) = (tag(&"here"), tag(&"other"));
        let both = format!("{other}, {here}");
        let weak = format!("W/{here}");
        let (changed, required) = (412, 428);
        // Where there is nothing, where what is put is there, where something else is; a removal.
        for (if_match, if_none_match, expected) in [
            ("", "", [0, 0, required, required]),
            (&*here, "", [changed, 0, 0, 0]),
            ("*", "", [changed, 0, 0, 0]),
            (&*both, "", [changed, 0, 0, 0]),
            (&*other, "", [changed, 0, changed, changed]),
            (&*weak, "", [422; 4]),
            ("here", "", [422; 4]),
            ("*, *", "", [422; 4]),
            ("", "*", [0, changed, changed, required]),
            (&*here, "*", [changed, changed, changed, 0]),
            ("", &*here, [422, 422, 422, required]),
            ("", "*, W/", [422, 422, 422, required]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                (header::IF_MATCH, if_match),
                (header::IF_NONE_MATCH, if_none_match),
            ] {
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
            let found = [
                may_put::<&str>(&headers, &Found::Nothing),
                may_put::<&str>(&headers, &Found::Same),
                may_put(&headers, &Found::Other("here")),
                may_remove(&headers, &"here"),
            ];
            let found = found.map(|may| may.map_or_else(|problem| problem.status, |()| 0));
            assert_eq!(found, expected, "{if_match} {if_none_match}");
        }
    }

    #[test]
    fn headers_that_come_several_times_are_one_list() {
        let mut headers = HeaderMap::new();
        for value in [&*tag(&"other"), &*tag(&"here")] {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(header::IF_MATCH, value);
        }
        assert!(may_remove(&headers, &"here").is_ok());
        let unreadable = HeaderValue::from_bytes(b"\xff").unwrap();
        headers.insert(header::IF_MATCH, unreadable);
        assert_eq!(
            may_remove(&headers, &"here").map_err(|it| it.status),
            Err(422)
        );
    }
}
