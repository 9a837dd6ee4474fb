//! Why a request is answered by the proxy itself.

use http::StatusCode;

/// Why the engine answers a request itself. The text that a client sees is one short line that does
/// not reveal what is behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalReply {
    /// No table was loaded yet, or it was withdrawn.
    NoTable,
    NoRoute,
    /// The client showed no certificate that is taken at the port.
    NoCertificate,
    /// The client's connection is for another listener than its request.
    Misdirected,
    /// The backend that was chosen does not resolve, or the rule has none
    /// (Gateway API, `HTTPRouteRule.backendRefs`).
    NoBackend,
    /// The authorizer of the rule or of the listener does not resolve.
    NoAuthorizer,
    /// The authorizer gave no answer in time that could be understood.
    Unjudged,
    /// The authorizer does not permit the request, and says no more. Noted on each answer to a request that it does not permit.
    Denied,
    /// The backend has no endpoint that takes traffic.
    NoEndpoint,
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
    Connect,
    /// An upgrade towards a backend that speaks HTTP/2.
    Upgrade,
    /// Above [`Limits::max_in_flight`](crate::Limits::max_in_flight).
    Busy,
    /// The request failed, and a policy for its backend grants no retry.
    RetryBudgetSpent,
    /// Above what the requests of this process may hold ([`crate::memory`]).
    NoMemory,
    /// Above [`Limits::max_uri_bytes`](crate::Limits::max_uri_bytes).
    UriTooLong,
    HeadersTooLarge,
    /// Above [`Limits::max_body_bytes`](crate::Limits::max_body_bytes).
    BodyTooLarge,
}

impl LocalReply {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoTable
            | Self::NoEndpoint
            | Self::Busy
            | Self::RetryBudgetSpent
            | Self::NoMemory
            | Self::Unjudged => StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCertificate => StatusCode::FORBIDDEN,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoBackend | Self::NoAuthorizer => StatusCode::INTERNAL_SERVER_ERROR,
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

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NoTable => "no routes are loaded\n",
            Self::NoRoute => "no route matches\n",
            Self::NoCertificate => "no client certificate was shown that is taken here\n",
            Self::Misdirected => "the connection was made for another host\n",
            Self::NoBackend => "the route has no usable backend\n",
            Self::NoAuthorizer => "the request cannot be authorized: no usable authorizer\n",
            Self::Unjudged => "the request could not be authorized\n",
            Self::Denied => "the request is not permitted\n",
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
            Self::RetryBudgetSpent => "the backend failed and gets no more retries\n",
            Self::NoMemory => "the proxy is short of memory\n",
            Self::UriTooLong => "the path and query are too long\n",
            Self::HeadersTooLarge => "the headers are too large\n",
            Self::BodyTooLarge => "the request body is too large\n",
        }
    }

    /// Whether a side broke the protocol or a limit, which is worth a line in the log.
    pub(crate) fn is_remarkable(self) -> bool {
        match self {
            Self::NoTable
            | Self::NoRoute
            | Self::NoCertificate
            | Self::Misdirected
            | Self::NoBackend
            | Self::NoAuthorizer
            | Self::Unjudged
            | Self::Denied
            | Self::NoEndpoint
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::RequestTimeout
            | Self::BackendTimeout
            | Self::Busy
            | Self::RetryBudgetSpent
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
}
