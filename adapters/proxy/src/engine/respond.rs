//! Answers that the engine gives itself.

use bytes::Bytes;
use domain::route_table::ConnectionRefused;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use crate::body::ResponseBody;
use crate::local_reply::LocalReply;

/// The answer for a reason.
pub(super) fn response(reply: LocalReply) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(Bytes::from_static(
        reply.text().as_bytes(),
    )));
    *response.status_mut() = reply.status();
    response.extensions_mut().insert(reply);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    match reply {
        LocalReply::Busy | LocalReply::NoMemory | LocalReply::NoTable => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        LocalReply::Connect => {
            // RFC 9110 §15.5.6: a 405 names what is allowed; an empty list is a valid one.
            headers.insert(ALLOW, HeaderValue::from_static(""));
        }
        LocalReply::NoCertificate => {
            response.extensions_mut().insert(ConnectionRefused);
        }
        _ => {}
    }
    response
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

/// Makes an answer of our own, or of an authorizer that denies, one that consists of trailers alone (gRPC over HTTP2,
/// "Trailers-Only"); an endpoint's stays as it is. Its HTTP status is not 200: whatever on the way may take the gRPC status away or end the answer otherwise than
/// gRPC has it, every client makes the same of the two (gRPC, "HTTP to gRPC Status Code Mapping"). A backend that does not
/// resolve is UNAVAILABLE (Gateway API, `GRPCRouteRule.backendRefs`), so it is 503 here and not 500.
pub(super) fn tell_grpc(response: &mut Response<ResponseBody>) {
    let Some(reply) = response.extensions_mut().remove::<LocalReply>() else {
        return;
    };
    if matches!(reply, LocalReply::NoBackend | LocalReply::NoAuthorizer) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    *response.body_mut() = ResponseBody::empty();
    let status = grpc_status(response.status());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.remove(CONTENT_LENGTH);
    headers.insert("grpc-status", HeaderValue::from_static(status));
    let message = HeaderValue::from_static(reply.text().trim_ascii_end());
    headers.insert("grpc-message", message);
}

/// gRPC's number for an HTTP status; 12 is UNIMPLEMENTED, which also stands for a method that is not served.
fn grpc_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "13",
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND => "12",
        StatusCode::REQUEST_TIMEOUT => "4",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "14"
        }
        _ => "2",
    }
}
