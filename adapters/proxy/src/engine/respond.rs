//! Answers that the engine gives itself.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use crate::body::ResponseBody;

/// Why the engine answers a request itself. The text that a client sees is one short line that tells
/// nothing of what stands behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No table was loaded yet, or it was withdrawn.
    NoTable,
    /// No rule takes the request.
    NoRoute,
    /// The dice fell on a backend that does not resolve, or the rule has none
    /// (Gateway API, `HTTPRouteRule.backendRefs`).
    NoBackend,
    /// The backend has no endpoint that takes traffic.
    NoEndpoint,
    /// No endpoint could be reached.
    Unreachable,
    /// The last endpoint tried did not accept in time.
    ConnectTimeout,
    /// The last endpoint tried has no address that the proxy connects to.
    ForbiddenAddress,
    /// The endpoint took the request and was silent.
    AnswerTimeout,
    /// The time that the route gives the whole request is over.
    RequestTimeout,
    /// The time that the route gives one request to an endpoint is over.
    BackendTimeout,
    /// The endpoint refused the request, and too much of its body was sent already.
    NotKept,
    /// The client did not send the rest of its body.
    SlowRequest,
    /// The endpoint broke off, or spoke something else than HTTP, before it answered.
    BrokenAnswer,
    /// The head of the answer is above [`MAX_ANSWER_HEADERS`](crate::limits::MAX_ANSWER_HEADERS).
    AnswerTooLarge,
    /// The client's body broke off before an answer was there.
    BrokenRequest,
    /// Framing that could be read in two ways, or no authority.
    Malformed,
    /// A path that servers read in different ways.
    AmbiguousPath,
    /// A `CONNECT` request.
    Connect,
    /// An upgrade towards a backend that speaks HTTP/2.
    Upgrade,
    /// Above [`Limits::max_in_flight`](crate::Limits::max_in_flight).
    Busy,
    /// Above what the requests of this process may hold ([`crate::memory`]).
    NoMemory,
    /// Above [`Limits::max_uri_bytes`](crate::Limits::max_uri_bytes).
    UriTooLong,
    /// Above the header limits.
    HeadersTooLarge,
    /// Above [`Limits::max_body_bytes`](crate::Limits::max_body_bytes).
    BodyTooLarge,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NoTable | Self::NoEndpoint | Self::Busy | Self::NoMemory => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoBackend => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unreachable
            | Self::ForbiddenAddress
            | Self::BrokenAnswer
            | Self::AnswerTooLarge
            | Self::NotKept => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout
            | Self::AnswerTimeout
            | Self::RequestTimeout
            | Self::BackendTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenRequest | Self::Malformed | Self::AmbiguousPath => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NoTable => "no routes are loaded\n",
            Self::NoRoute => "no route matches\n",
            Self::NoBackend => "the route has no usable backend\n",
            Self::NoEndpoint => "no endpoint is available\n",
            Self::Unreachable => "the backend cannot be reached\n",
            Self::ConnectTimeout => "the backend did not accept the connection in time\n",
            Self::ForbiddenAddress => "the backend has an address that is not permitted\n",
            Self::AnswerTimeout | Self::BackendTimeout => "the backend did not answer in time\n",
            Self::RequestTimeout => "the request was not answered in time\n",
            Self::NotKept => {
                "the backend refused the request, whose body is too long to be sent once more\n"
            }
            Self::SlowRequest => "the request body did not come in time\n",
            Self::BrokenAnswer => "the backend did not answer properly\n",
            Self::AnswerTooLarge => {
                "the headers of the backend's answer are above 128 KiB or 24,000 lines\n"
            }
            Self::BrokenRequest => "the request body broke off\n",
            Self::Malformed => "malformed request\n",
            Self::AmbiguousPath => "the path has dot segments or an encoded NUL\n",
            Self::Connect => "CONNECT is not served\n",
            Self::Upgrade => "the backend cannot upgrade the connection\n",
            Self::Busy => "too many requests at once\n",
            Self::NoMemory => "the proxy is short of memory\n",
            Self::UriTooLong => "the path and query are too long\n",
            Self::HeadersTooLarge => "the headers are too large\n",
            Self::BodyTooLarge => "the request body is too large\n",
        }
    }

    /// Whether it tells of a side that breaks the protocol or a limit, which is worth a line in the log.
    pub(super) fn is_remarkable(self) -> bool {
        match self {
            Self::NoTable
            | Self::NoRoute
            | Self::NoBackend
            | Self::NoEndpoint
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::RequestTimeout
            | Self::BackendTimeout
            | Self::Busy
            | Self::NoMemory => false,
            Self::ForbiddenAddress
            | Self::AnswerTimeout
            | Self::NotKept
            | Self::SlowRequest
            | Self::BrokenAnswer
            | Self::AnswerTooLarge
            | Self::BrokenRequest
            | Self::Malformed
            | Self::AmbiguousPath
            | Self::Connect
            | Self::Upgrade
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::BodyTooLarge => true,
        }
    }

    /// The answer.
    pub(super) fn response(self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::text(Bytes::from_static(
            self.text().as_bytes(),
        )));
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        match self {
            Self::Busy | Self::NoMemory | Self::NoTable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Connect => {
                // RFC 9110 §15.5.6: a 405 names what is allowed; an empty list is a valid one.
                headers.insert(ALLOW, HeaderValue::from_static(""));
            }
            _ => {}
        }
        response
    }
}

/// Makes an answer of our own one to HEAD: its text goes, its length stays (RFC 9110 §9.3.2). Over HTTP/2 nobody
/// after us would take the text away, and an answer with it is malformed (RFC 9113 §8.1.1).
pub(super) fn answer_head(response: &mut Response<ResponseBody>) {
    if let Some(length) = response.body_mut().take_text() {
        let length = HeaderValue::from(length);
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
}

/// Whether a request is gRPC (gRPC over HTTP2, "Requests").
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    let kind = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| rest.is_empty() || b"+;".contains(&rest[0]))
}

/// Adds the gRPC status to an answer of our own, an endpoint's stays as it is. The HTTP status stays too:
/// whatever on the way may take trailers away or end the answer otherwise than gRPC has it, every client makes
/// the same of the two (gRPC, "HTTP to gRPC Status Code Mapping").
pub(super) fn tell_grpc(response: &mut Response<ResponseBody>) {
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else {
        return;
    };
    let status = grpc_status(response.status());
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from_static(status));
    let message = HeaderValue::from_static(refusal.text().trim_ascii_end());
    headers.insert("grpc-message", message);
}

/// gRPC's number for an HTTP status; 12 is UNIMPLEMENTED, which also stands for a method that nobody serves.
fn grpc_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "13",
        StatusCode::NOT_FOUND => "12",
        StatusCode::REQUEST_TIMEOUT => "4",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "14"
        }
        _ => "2",
    }
}
