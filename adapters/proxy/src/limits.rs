//! What one Gateway's engine takes at most.

use std::time::Duration;

use domain::gateway::UnderscoredHeaders;
use http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;

use crate::local_reply::LocalReply;

/// Limits of one engine. The defaults for request heads are those of Cloudflare's edge, so that what the
/// edge lets through is not refused here (Cloudflare documentation, "Connection limits").
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of path and query; above it 414. Default 16 KiB.
    pub max_uri_bytes: usize,
    /// Bytes of all header names and values; above it 431. Default 128 KiB.
    pub max_header_bytes: usize,
    /// Header lines; above it 431. Default 256.
    pub max_header_count: usize,
    /// What becomes of headers with underscores in their names. Default: dropped.
    pub underscored_headers: UnderscoredHeaders,
    /// Bytes of a request body; above it 413, whether announced or found out on the way. Default: none,
    /// because bodies are streamed and the edge has a limit of its own.
    pub max_body_bytes: Option<u64>,
    /// Requests of the Gateway at any one time, upgraded ones included; above it 503 with `Retry-After`. One of several
    /// upstreams may have half of them, so that one that hangs leaves room for the others.
    /// Default 20,000.
    pub max_in_flight: usize,
    /// Time to connect to one endpoint, name resolution included; an endpoint that needs longer is
    /// passed over, and when none is left the answer is 504. While there are others of which nothing bad is known it
    /// has a fifth of that. Default 5 s.
    pub connect_timeout: Duration,
    /// How long an endpoint that took a request may be silent before its answer begins, the time in which it still takes
    /// the request's body left out; then 504. Default 2 min: Cloudflare gives up before, by default.
    pub answer_timeout: Duration,
    /// How long an authorizer has to say whether it permits a request, connecting included; then 503. Its body, where it denies
    /// one, has to be complete by then too. Default 10 s.
    pub authorizer_timeout: Duration,
    /// How long the body of a request or an answer may make no progress because its sender is silent, or an answer because
    /// its client reads nothing; then the request ends. Default 15 min, as Cloudflare's own limit for idle connections.
    pub body_idle_timeout: Duration,
    /// How long nothing may move on an upgraded connection, in either direction; then it is closed. Default 1 h.
    pub upgrade_idle_timeout: Duration,
    /// Bytes of a request's body that are kept until its answer begins, for the case that an HTTP/2 endpoint refuses the
    /// request after it was sent a part of it. Default 128 KiB: more than an endpoint with usual windows is sent
    /// before it says a word.
    pub max_kept_body_bytes: usize,
    /// Requests that may wait for a connection to one endpoint to be opened; further ones go to another endpoint, or are
    /// answered with 503 and `Retry-After`. Default 1,024.
    pub max_pending_per_endpoint: usize,
    /// How long an unused connection is kept. Default 60 s.
    pub idle_timeout: Duration,
    /// Unused HTTP/1.1 connections kept per endpoint. Default 128.
    pub max_idle_per_endpoint: usize,
    /// Concurrent requests on one HTTP/2 connection to an endpoint; more open another connection. An
    /// endpoint that advertises less is believed. Default 100.
    pub max_streams_per_connection: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_uri_bytes: 16 * 1024,
            max_header_bytes: 128 * 1024,
            max_header_count: 256,
            underscored_headers: UnderscoredHeaders::Drop,
            max_body_bytes: None,
            max_in_flight: 20_000,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(2 * 60),
            authorizer_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(15 * 60),
            upgrade_idle_timeout: Duration::from_secs(60 * 60),
            max_kept_body_bytes: 128 * 1024,
            max_pending_per_endpoint: 1_024,
            idle_timeout: Duration::from_secs(60),
            max_idle_per_endpoint: 128,
            max_streams_per_connection: 100,
        }
    }
}

/// Bytes of all header names and values of an answer, as many as Cloudflare's edge takes (Cloudflare documentation,
/// "Connection limits"); above it 502.
pub const MAX_ANSWER_HEADERS: usize = 128 * 1024;

/// Header lines of an answer, nearly as many as a header map has room for; above it 502.
pub(crate) const MAX_ANSWER_LINES: usize = 24_000;

/// Checks the sizes of an answer's head that was small enough to be read.
pub(crate) fn check_answer(headers: &HeaderMap) -> Result<(), LocalReply> {
    match size(headers) > MAX_ANSWER_HEADERS {
        true => Err(LocalReply::AnswerTooLarge),
        false => Ok(()),
    }
}

fn size(headers: &HeaderMap) -> usize {
    let lines = headers.iter();
    lines
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// How long an endpoint that refused a connection is avoided at least, where there is another.
const MIN_SUSPICION: Duration = Duration::from_secs(2);

/// Which part of the time to connect is waited for an endpoint while there are others. By default that is a second, after
/// which the kernel asks an endpoint that did not answer once more.
const PATIENCE: u32 = 5;

impl Limits {
    /// How long an endpoint is waited for to be connected to while there are others of which nothing bad is known.
    pub(crate) fn patience(&self) -> Duration {
        self.connect_timeout / PATIENCE
    }

    /// How long an endpoint that could not be connected to is avoided, where there is another. Longer than the
    /// attempt takes that finds it out, else requests would wait for such an endpoint again and again.
    pub(crate) fn suspicion(&self) -> Duration {
        MIN_SUSPICION.max(self.connect_timeout.saturating_mul(2))
    }

    /// Checks the sizes of a request's headers.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<(), LocalReply> {
        match size(headers) > self.max_header_bytes || headers.len() > self.max_header_count {
            true => Err(LocalReply::HeadersTooLarge),
            false => Ok(()),
        }
    }

    /// Checks a request's head: its sizes, and that its framing and its host are said in one way only
    /// (RFC 9112 §3.2 and §6.3: a message that could be read in two ways is an attack or a fault).
    pub(crate) fn check(&self, head: &Parts, has_body: bool) -> Result<(), LocalReply> {
        let uri = head
            .uri
            .path_and_query()
            .map_or(0, |path| path.as_str().len());
        if uri > self.max_uri_bytes {
            return Err(LocalReply::UriTooLong);
        }
        self.check_headers(&head.headers)?;
        if head.headers.get_all(HOST).iter().count() > 1 || !is_plainly_coded(head) {
            return Err(LocalReply::Malformed);
        }
        match announced_length(head)? {
            Some(length) if length > 0 && !has_body => Err(LocalReply::Malformed),
            Some(length) if self.max_body_bytes.is_some_and(|max| length > max) => {
                Err(LocalReply::BodyTooLarge)
            }
            _ => Ok(()),
        }
    }
}

/// Whether the body's transfer coding is one that we take off again: none, or `chunked` alone.
fn is_plainly_coded(head: &Parts) -> bool {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// The one `Content-Length`, if there is any.
fn announced_length(head: &Parts) -> Result<Option<u64>, LocalReply> {
    let mut lengths = head.headers.get_all(http::header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    let conflicting = lengths.next().is_some()
        || head.headers.contains_key(TRANSFER_ENCODING)
        || !first.as_bytes().iter().all(u8::is_ascii_digit);
    if conflicting {
        return Err(LocalReply::Malformed);
    }
    let length = first.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or(LocalReply::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_head_is_refused_for_its_size_or_its_framing() {
        let limits = Limits {
            max_uri_bytes: 20,
            max_header_bytes: 100,
            max_header_count: 4,
            max_body_bytes: Some(10),
            ..Limits::default()
        };
        let long = "x".repeat(101);
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool, Option<LocalReply>);
        let cases: [Case<'_>; 15] = [
            ("/short", &[], false, None),
            (
                "/path?with=a-long-query",
                &[],
                false,
                Some(LocalReply::UriTooLong),
            ),
            (
                "/",
                &[("a", &long)],
                false,
                Some(LocalReply::HeadersTooLarge),
            ),
            (
                "/",
                &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")],
                false,
                Some(LocalReply::HeadersTooLarge),
            ),
            ("/", &[("content-length", "10")], true, None),
            (
                "/",
                &[("content-length", "11")],
                true,
                Some(LocalReply::BodyTooLarge),
            ),
            (
                "/",
                &[("content-length", "5")],
                false,
                Some(LocalReply::Malformed),
            ),
            ("/", &[("content-length", "0")], false, None),
            (
                "/",
                &[("content-length", "5"), ("content-length", "6")],
                true,
                Some(LocalReply::Malformed),
            ),
            (
                "/",
                &[("content-length", "5"), ("transfer-encoding", "chunked")],
                true,
                Some(LocalReply::Malformed),
            ),
            (
                "/",
                &[("content-length", "+5")],
                true,
                Some(LocalReply::Malformed),
            ),
            ("/", &[("transfer-encoding", "Chunked")], true, None),
            (
                "/",
                &[("transfer-encoding", "gzip, chunked")],
                true,
                Some(LocalReply::Malformed),
            ),
            (
                "/",
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                true,
                Some(LocalReply::Malformed),
            ),
            (
                "/",
                &[("host", "a.example"), ("host", "b.example")],
                false,
                Some(LocalReply::Malformed),
            ),
        ];
        for (uri, headers, has_body, expected) in cases {
            let mut request = Request::builder().uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let result = limits.check(&head, has_body).err();
            assert_eq!(result, expected, "{uri} {headers:?}");
        }
    }
}
