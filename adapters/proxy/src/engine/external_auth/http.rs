//! Authorizers that speak HTTP: they get a request like the client's, and 200 permits it.

use ::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

use super::edits::{Edit, is_out_of_reach};
use super::{Denial, Permit, Question, Told, Verdict, parsed};
use crate::engine::attempts::Answered;
use crate::engine::retry::discard;
use crate::local_reply::LocalReply;
use crate::upstream::UploadHandle;

#[derive(Debug)]
pub(super) struct HttpAuth {
    prefix: String,
    request_headers: Box<[HeaderName]>,
    /// Empty: all.
    answer_headers: Box<[HeaderName]>,
}

impl HttpAuth {
    pub(super) fn new(prefix: &str, request_headers: &[String], answer_headers: &[String]) -> Self {
        Self {
            prefix: prefix.to_owned(),
            request_headers: parsed(request_headers),
            answer_headers: parsed(answer_headers),
        }
    }

    /// The client's request with `Host`, `Authorization` and the headers of the list. Its `Content-Length` is that of the body
    /// that the authorizer gets.
    pub(super) fn question(&self, told: Told<'_>) -> Result<Question, LocalReply> {
        let path = told.path();
        let host = told.host().ok_or(LocalReply::Unjudged)?;
        if !path.starts_with('/') {
            return Err(LocalReply::Unjudged);
        }
        let path = format!("{}{path}", self.prefix).into_bytes();
        let path = PathAndQuery::from_maybe_shared(bytes::Bytes::from(path));
        let path = path.map_err(|_| LocalReply::Unjudged)?;
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = told.asked.head.method.clone();
        head.uri = path.into();
        let from = &told.asked.head.headers;
        let listed = self.request_headers.iter();
        let listed = listed.filter(|name| !is_out_of_reach(name) && **name != AUTHORIZATION);
        for name in listed.chain([&AUTHORIZATION]) {
            for value in from.get_all(name) {
                head.headers.append(name.clone(), value.clone());
            }
        }
        head.headers.insert(HOST, host.clone());
        let length = HeaderValue::from(told.body.len());
        head.headers.insert(CONTENT_LENGTH, length);
        Ok(Question {
            head,
            body: told.body.clone(),
        })
    }

    /// An answer that neither permits the request nor tells its client anything is no verdict: 5xx. What would look like a
    /// success is not passed on.
    pub(super) fn verdict(
        &self,
        answered: Answered,
        upload: Option<UploadHandle>,
    ) -> Result<Verdict, LocalReply> {
        let status = answered.response.status();
        match status {
            StatusCode::OK => {
                let request = self.granted(answered.response.headers());
                discard(answered);
                Ok(Verdict::Permitted(Permit {
                    request,
                    answer: Vec::new(),
                }))
            }
            _ if status.is_redirection() || status.is_client_error() => {
                let denial = Denial::Streamed(answered, upload);
                Ok(Verdict::Denied(Box::new(denial)))
            }
            _ if status.is_success() => {
                discard(answered);
                Err(LocalReply::Denied)
            }
            _ => {
                discard(answered);
                Err(LocalReply::Unjudged)
            }
        }
    }

    /// What the backend gets of an answer: in place of what the client sent under these names, also where the answer has
    /// nothing.
    fn granted(&self, answer: &HeaderMap) -> Vec<Edit> {
        let (names, is_listed): (Vec<&HeaderName>, bool) = match self.answer_headers.is_empty() {
            true => (answer.keys().collect(), false),
            false => (self.answer_headers.iter().collect(), true),
        };
        let is_copied =
            |name: &HeaderName| !is_out_of_reach(name) && (is_listed || !is_of_body(name));
        let mut edits = Vec::new();
        for name in names.into_iter().filter(|name| is_copied(name)) {
            edits.push(Edit::Remove(name.clone()));
            let values = answer.get_all(name).iter();
            edits.extend(values.map(|value| Edit::Append(name.clone(), value.clone())));
        }
        edits
    }
}

/// Whether a header of an answer tells of the answer's own body. The client's body is another one, so without being asked for
/// by name it is not copied.
fn is_of_body(name: &HeaderName) -> bool {
    name.as_str().starts_with("content-")
}
