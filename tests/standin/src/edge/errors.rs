//! What a visitor gets when the edge cannot bring an answer from the origin.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::body::{Body, full};

/// Why there is no answer from the origin. Statuses and codes follow Cloudflare's documentation,
/// "Cloudflare 1xxx errors" and "Cloudflare 5xx errors".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum EdgeError {
    /// The request has no usable host.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The host is an IP address.
    #[error("direct IP access is not allowed")]
    AddressAsHost,
    /// No proxied record stands for the host.
    #[error("the host is not served here")]
    UnknownHost,
    /// The record points to a tunnel of another account.
    #[error("the record points into another account")]
    ForeignAccount,
    /// The record points to an origin that cannot be found; to this edge, that is any but a tunnel.
    #[error("the origin cannot be found")]
    OriginDns,
    /// The tunnel has no connection.
    #[error("the tunnel has no connection")]
    NoConnection,
    /// The connector could not reach the application.
    #[error("the connector could not reach the origin")]
    OriginUnreachable,
    /// The connection or the stream ended before the answer began.
    #[error("the connector gave no answer")]
    NoAnswer,
    /// The connector's answer does not follow the protocol.
    #[error("the connector's answer is malformed")]
    MalformedAnswer,
    /// No answer began in time.
    #[error("the origin took too long")]
    TooSlow,
}

impl EdgeError {
    /// HTTP status and Cloudflare's code.
    fn codes(self) -> (u16, u16) {
        match self {
            Self::BadRequest(_) => (400, 400),
            Self::AddressAsHost => (403, 1003),
            Self::UnknownHost => (409, 1001),
            Self::ForeignAccount => (403, 1014),
            Self::OriginDns => (530, 1016),
            Self::NoConnection => (530, 1033),
            Self::OriginUnreachable | Self::NoAnswer => (502, 502),
            Self::MalformedAnswer => (520, 520),
            Self::TooSlow => (524, 524),
        }
    }

    /// The page: plain text, as for clients that are no browsers.
    pub(super) fn page(self) -> Response<Body> {
        let (status, code) = self.codes();
        let mut response = Response::new(full(format!("error code: {code}\n")));
        *response.status_mut() = StatusCode::from_u16(status).expect("statuses above are valid");
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=UTF-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_the_status_and_code_that_cloudflare_shows() {
        for (error, status) in [
            (EdgeError::BadRequest("no host"), 400),
            (EdgeError::UnknownHost, 409),
            (EdgeError::OriginDns, 530),
            (EdgeError::NoConnection, 530),
            (EdgeError::OriginUnreachable, 502),
            (EdgeError::TooSlow, 524),
        ] {
            assert_eq!(error.page().status(), status, "{error}");
        }
    }
}
