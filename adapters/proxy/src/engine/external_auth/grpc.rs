//! Authorizers that speak Envoy's protocol: `envoy.service.auth.v3.Authorization/Check` over gRPC. Its messages are those of
//! `envoy/service/auth/v3/external_auth.proto` and `attribute_context.proto`; fields are named by their numbers here.

use std::time::{Duration, SystemTime};

use ::http::header::{CONTENT_TYPE, HOST, TE};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use domain::names::ObjectKey;
use domain::route_table::{HeaderLookup, Scheme};
use http_body_util::{BodyExt, Limited};

use super::edits::{Edit, is_out_of_reach};
use super::message::{Malformed, Message, Value, fields};
use super::{Denial, Permit, Question, Told, Verdict, parsed};
use crate::body::ResponseBody;
use crate::engine::attempts::Answered;
use crate::engine::headers::Lookup;
use crate::local_reply::LocalReply;

/// Bytes of an answer.
pub(super) const MOST_OF_MESSAGE: usize = 256 << 10;

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What stands before a message: whether it is compressed, and four bytes of length.
const PREFIX: usize = 5;

#[derive(Debug)]
pub(super) struct GrpcAuth {
    authority: HeaderValue,
    /// Empty: all.
    request_headers: Box<[HeaderName]>,
}

impl GrpcAuth {
    pub(super) fn new(service: Option<&ObjectKey>, request_headers: &[String]) -> Self {
        let name = service.map(|key| format!("{}.{}", key.name, key.namespace));
        let authority = name.and_then(|name| HeaderValue::try_from(name).ok());
        Self {
            authority: authority.unwrap_or(HeaderValue::from_static("authorizer")),
            request_headers: parsed(request_headers),
        }
    }

    pub(super) fn question(&self, told: Told<'_>) -> Result<Question, LocalReply> {
        let message = self.check_request(told).into_bytes();
        let length = u32::try_from(message.len()).map_err(|_| LocalReply::Unjudged)?;
        let mut body = Vec::with_capacity(PREFIX + message.len());
        body.push(0);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&message);
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = Uri::from_static(METHOD);
        let headers = &mut head.headers;
        headers.insert(HOST, self.authority.clone());
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let time = format!("{}m", told.time.as_millis());
        if let Ok(time) = HeaderValue::try_from(time) {
            headers.insert("grpc-timeout", time);
        }
        Ok(Question {
            head,
            body: body.into(),
        })
    }

    /// `CheckRequest`.
    fn check_request(&self, told: Told<'_>) -> Message {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO);
        let mut request = Message::default();
        // attributes
        request.message(1, |attributes| {
            // source.address.socket_address.address
            if let Some(client) = told.asked.arrival.client {
                let client = client.to_string();
                attributes.message(1, |source| {
                    source.message(1, |address| {
                        address.message(1, |socket| socket.bytes(2, client.as_bytes()));
                    });
                });
            }
            // request
            attributes.message(4, |request| {
                request.message(1, |time| {
                    time.number(1, now.as_secs());
                    time.number(2, now.subsec_nanos().into());
                });
                request.message(2, |http| self.http_request(told, http));
            });
        });
        request
    }

    /// `AttributeContext.HttpRequest`.
    fn http_request(&self, told: Told<'_>, http: &mut Message) {
        let head = &told.asked.head;
        let id = head.headers.get("x-request-id");
        http.bytes(1, &text(id.map_or(&[][..], HeaderValue::as_bytes)));
        http.bytes(2, head.method.as_str().as_bytes());
        for (name, value) in self.told_headers(told) {
            http.message(3, |header| {
                header.bytes(1, name.as_bytes());
                header.bytes(2, &text(&value));
            });
        }
        let host = told.host().map_or(&[][..], HeaderValue::as_bytes);
        http.bytes(4, &text(told.path().as_bytes()));
        http.bytes(5, &text(host));
        http.bytes(6, scheme(told).as_bytes());
        let length = head.headers.get(::http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<i64>().ok());
        let size = match (length, &told.asked.body) {
            (Some(length), _) => length,
            (None, None) => 0,
            (None, Some(_)) => -1,
        };
        http.number(9, size.cast_unsigned());
        http.bytes(10, b"HTTP/2");
        match std::str::from_utf8(told.body) {
            Ok(body) => http.bytes(11, body.as_bytes()),
            Err(_) => http.bytes(12, told.body),
        }
    }

    /// Headers with their values joined. Where all are told, so are those that HTTP/2 has for the rest of the head, as Envoy
    /// does.
    fn told_headers(&self, told: Told<'_>) -> Vec<(String, Vec<u8>)> {
        let head = &told.asked.head;
        let value = |name: &HeaderName| {
            let lookup = Lookup(&head.headers);
            let joined = lookup.joined(name.as_str())?;
            Some((name.as_str().to_owned(), joined.into_owned()))
        };
        if !self.request_headers.is_empty() {
            return self.request_headers.iter().filter_map(value).collect();
        }
        let host = told.host().map_or(&[][..], HeaderValue::as_bytes);
        let pseudo = [
            (":authority", host),
            (":method", head.method.as_str().as_bytes()),
            (":path", told.path().as_bytes()),
            (":scheme", scheme(told).as_bytes()),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_vec()));
        let headers = head.headers.keys().filter_map(value);
        pseudo.into_iter().chain(headers).collect()
    }
}

fn scheme(told: Told<'_>) -> &'static str {
    match told.asked.arrival.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

/// A text of a message has to be UTF-8.
fn text(bytes: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(bytes).into_owned().into_bytes()
}

/// Reads an answer whole.
pub(super) async fn verdict(answered: Answered) -> Result<Verdict, LocalReply> {
    let Answered {
        response, lease, ..
    } = answered;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(LocalReply::Unjudged);
    }
    let read = Limited::new(body, MOST_OF_MESSAGE).collect().await;
    let read = read.map_err(|_| LocalReply::Unjudged)?;
    drop(lease.release());
    // In the head, where there is nothing else.
    let status = read.trailers().unwrap_or(&head.headers).get("grpc-status");
    if status.is_none_or(|status| status != "0") {
        return Err(LocalReply::Unjudged);
    }
    let body = read.to_bytes();
    let message = message(&body).ok_or(LocalReply::Unjudged)?;
    judged(message).map_err(|Malformed| LocalReply::Unjudged)?
}

/// The one message of an answer, which is not compressed.
fn message(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_at_checked(PREFIX)?;
    let [0, length @ ..] = prefix else {
        return None;
    };
    let length = u32::from_be_bytes(length.try_into().ok()?);
    (usize::try_from(length).ok()? == message.len()).then_some(message)
}

/// `CheckResponse`. One without a status permits nothing, and neither does one that says both.
fn judged(message: &[u8]) -> Result<Result<Verdict, LocalReply>, Malformed> {
    let mut code = None;
    let mut denied: Option<&[u8]> = None;
    let mut permit = None;
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(status)) => code = Some(number(status, 1)?.unwrap_or(0)),
            (2, Value::Bytes(answer)) => denied = Some(answer),
            (3, Value::Bytes(answer)) => permit = Some(permitted(answer)?),
            _ => {}
        }
    }
    Ok(match (code, denied) {
        (Some(0), None) => Ok(Verdict::Permitted(permit.unwrap_or_default())),
        (Some(0), Some(_)) | (None, None) => return Err(Malformed),
        (Some(_), None) => Err(LocalReply::Denied),
        (_, Some(answer)) => Ok(Verdict::Denied(Box::new(Denial::Whole(denial(answer)?)))),
    })
}

/// The last number of a field.
fn number(message: &[u8], wanted: u64) -> Result<Option<u64>, Malformed> {
    let mut found = None;
    for field in fields(message) {
        if let (field, Value::Number(number)) = field?
            && field == wanted
        {
            found = Some(number);
        }
    }
    Ok(found)
}

/// `OkHttpResponse`. What it says of query parameters is not served, so it permits nothing then.
fn permitted(message: &[u8]) -> Result<Permit, Malformed> {
    let mut permit = Permit::default();
    for field in fields(message) {
        match field? {
            (2, Value::Bytes(header)) => permit.request.extend(edit(header)?),
            (5, Value::Bytes(name)) => {
                // Host and what begins with a colon may stand here, and stay (`headers_to_remove`).
                let name = HeaderName::from_bytes(name).ok();
                let name = name.filter(|name| !is_out_of_reach(name));
                permit.request.extend(name.map(Edit::Remove));
            }
            (6, Value::Bytes(header)) => permit.answer.extend(edit(header)?),
            (7 | 8, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(permit)
}

/// `DeniedHttpResponse`.
fn denial(message: &[u8]) -> Result<Response<ResponseBody>, Malformed> {
    let mut status = None;
    let mut headers = HeaderMap::new();
    let mut body: &[u8] = &[];
    let mut edits = Vec::new();
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(written)) => status = number(written, 1)?,
            (2, Value::Bytes(header)) => edits.extend(edit(header)?),
            (3, Value::Bytes(written)) => body = written,
            _ => {}
        }
    }
    super::apply(&edits, &mut headers).map_err(|_| Malformed)?;
    let status = status.and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (200..600).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::FORBIDDEN);
    let has_body = ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    let body = match has_body {
        true => Bytes::copy_from_slice(body),
        false => Bytes::new(),
    };
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    let mut response = Response::new(ResponseBody::text(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// `HeaderValueOption`; `None` for a header that is out of the authorizer's reach.
fn edit(message: &[u8]) -> Result<Option<Edit>, Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let (mut is_appended, mut action) = (None, 0);
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(header)) => {
                for field in fields(header) {
                    match field? {
                        (1, Value::Bytes(key)) => name = key,
                        // As a text or, where there is one, as bytes.
                        (2 | 3, Value::Bytes(written)) => value = written,
                        _ => {}
                    }
                }
            }
            (2, Value::Bytes(append)) => is_appended = Some(number(append, 1)? == Some(1)),
            (3, Value::Number(written)) => action = written,
            _ => {}
        }
    }
    let name = HeaderName::from_bytes(name).map_err(|_| Malformed)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| Malformed)?;
    if is_out_of_reach(&name) {
        return Ok(None);
    }
    Ok(Some(match (is_appended, action) {
        (Some(true), _) => Edit::Append(name, value),
        // `ADD_IF_ABSENT`, `OVERWRITE_IF_EXISTS`.
        (None, 1) => Edit::Fill(name, value),
        (None, 3) => Edit::Replace(name, value),
        _ => Edit::Set(name, value),
    }))
}

#[cfg(test)]
mod tests;
