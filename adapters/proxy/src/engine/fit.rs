//! A request's head as its endpoint's protocol wants it.

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version};

use super::headers::name_te;
use crate::upstream::UploadHandle;

/// Gives a head the form that its protocol wants. Path and query stay as they came, byte by byte.
pub(super) fn fit(head: &mut Parts, is_http2: bool, is_tls: bool, upload: Option<&UploadHandle>) {
    head.version = Version::HTTP_11;
    if !is_http2
        && let Some(upload) = upload
        && !head.headers.contains_key(CONTENT_LENGTH)
        && !upload.has_known_length()
    {
        // Without a word on it hyper takes a GET or HEAD for one without a body and drops what the client sent.
        let chunked = HeaderValue::from_static("chunked");
        head.headers.insert(TRANSFER_ENCODING, chunked);
    }
    if !is_http2 {
        name_te(&mut head.headers);
    }
    match is_http2 {
        false if head.uri.authority().is_none() => {}
        false => {
            let path = head.uri.path_and_query().cloned();
            head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
        true => {
            let host = head.headers.remove(HOST);
            let authority = host.and_then(|host| Authority::from_maybe_shared(host).ok());
            let mut parts = std::mem::take(&mut head.uri).into_parts();
            parts.scheme = Some(match is_tls {
                true => Scheme::HTTPS,
                false => Scheme::HTTP,
            });
            parts.authority = authority.or(parts.authority);
            if parts.path_and_query.is_none() {
                parts.path_and_query = Some(PathAndQuery::from_static("/"));
            }
            head.uri = Uri::from_parts(parts).unwrap_or_default();
        }
    }
}
