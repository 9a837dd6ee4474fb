//! From the head that the edge sends over QUIC to an HTTP request.

use std::borrow::Cow;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

use crate::exchange::MAX_HEADERS;
use crate::wire::connect::{ConnectRequest, Kind};

/// Whether a request has a body: over QUIC its headers say so, not the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// None, whatever follows on the stream.
    Nothing,
    Length(u64),
    /// Whatever follows until the stream's end.
    UntilEnd,
}

/// Why a head is not one of an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("the request has no method")]
    Method,
    #[error("the request has no host")]
    Host,
    #[error("the request has no path")]
    Path,
    #[error("the request has a malformed header")]
    Header,
    #[error("the request has no clear length")]
    Length,
    #[error("the request has too many headers")]
    TooMany,
}

impl HeadError {
    /// The status for the client.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooMany => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The request that a head stands for, with what is to be expected for its body.
pub(crate) fn read(head: &ConnectRequest) -> Result<Request<Expected>, HeadError> {
    let method = head.method.as_deref().ok_or(HeadError::Method)?;
    if head.headers.len() > MAX_HEADERS {
        return Err(HeadError::TooMany);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Header)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Header)?;
        headers.append(name, value);
    }
    let expected = expected(head.kind, &mut headers)?;
    let mut request = Request::new(expected);
    *request.method_mut() = Method::from_bytes(method).map_err(|_| HeadError::Method)?;
    *request.uri_mut() = uri(head, request.method())?;
    *request.headers_mut() = headers;
    *request.version_mut() = http::Version::HTTP_2;
    Ok(request)
}

/// Path and query are those of the destination; the host has an entry of its own, and the destination's
/// stands in for it.
fn uri(head: &ConnectRequest, method: &Method) -> Result<Uri, HeadError> {
    let server = match *method {
        Method::OPTIONS => whole_server(&head.destination),
        _ => None,
    };
    let destination = percent_encoded(server.unwrap_or(&head.destination));
    let destination = Uri::try_from(&*destination).map_err(|_| HeadError::Path)?;
    let mut parts = destination.into_parts();
    if let Some(host) = head.host.as_deref().filter(|host| !host.is_empty()) {
        parts.authority = Some(Authority::try_from(host).map_err(|_| HeadError::Host)?);
    }
    if parts.authority.is_none() {
        return Err(HeadError::Host);
    }
    parts.scheme = Some(Scheme::HTTPS);
    if server.is_some() {
        parts.path_and_query = Some(PathAndQuery::from_static("*"));
    }
    parts
        .path_and_query
        .get_or_insert_with(|| PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(|_| HeadError::Path)
}

/// The host of a destination that stands for `OPTIONS *`, which has no path (RFC 9110 section 9.3.7). As a URL it is
/// its host alone (RFC 9112 section 3.2.4), or that with the asterisk after it.
fn whole_server(destination: &[u8]) -> Option<&[u8]> {
    let origin = destination.strip_suffix(b"*").unwrap_or(destination);
    (!origin.is_empty() && origin_length(origin) == origin.len()).then_some(origin)
}

/// The destination with those bytes of its path and query percent-encoded that clients should encode, often
/// do not, and that [`Uri`] refuses or, as `#`, cuts a path at. Over HTTP/2 our h2 does the same.
fn percent_encoded(destination: &[u8]) -> Cow<'_, [u8]> {
    let is_fine = |byte: &u8| byte.is_ascii() && !b"<>#\"`".contains(byte);
    if destination.iter().all(is_fine) {
        return Cow::Borrowed(destination);
    }
    let (origin, rest) = destination.split_at(origin_length(destination));
    let mut encoded = origin.to_vec();
    let mut in_query = false;
    for chunk in rest.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            in_query |= byte == b'?';
            match byte {
                b'<' | b'>' | b'#' => push_encoded(&mut encoded, byte),
                b'"' if in_query => push_encoded(&mut encoded, byte),
                b'`' if !in_query => push_encoded(&mut encoded, byte),
                _ => encoded.push(byte),
            }
        }
        for byte in chunk.invalid() {
            push_encoded(&mut encoded, *byte);
        }
    }
    Cow::Owned(encoded)
}

/// Bytes of scheme and host in front of a URL's path.
fn origin_length(url: &[u8]) -> usize {
    let is_one_of = |bytes: &'static [u8]| move |byte: &u8| bytes.contains(byte);
    let first = url.iter().position(is_one_of(b":/?#"));
    let host = match first {
        Some(at) if url[at..].starts_with(b"://") => at + 3,
        _ => 0,
    };
    let path = url[host..].iter().position(is_one_of(b"/?#"));
    path.map_or(url.len(), |path| host + path)
}

fn push_encoded(text: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push(b'%');
    text.push(DIGITS[usize::from(byte >> 4)]);
    text.push(DIGITS[usize::from(byte & 15)]);
}

/// Only a request with a length above nought or a chunked one has a body (as in cloudflared). How it
/// came to the edge is of no concern to anybody behind, so `Transfer-Encoding` goes no further; the
/// length goes with it where both are there (RFC 9112 section 6.3).
fn expected(kind: Kind, headers: &mut HeaderMap) -> Result<Expected, HeadError> {
    let encodings: Vec<_> = match headers.entry(header::TRANSFER_ENCODING) {
        header::Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        header::Entry::Vacant(_) => Vec::new(),
    };
    if kind == Kind::WebSocket {
        headers.remove(header::CONTENT_LENGTH);
        return Ok(Expected::UntilEnd);
    }
    if !encodings.is_empty() {
        headers.remove(header::CONTENT_LENGTH);
        let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
        return match encodings.iter().all(chunked) {
            true => Ok(Expected::UntilEnd),
            false => Err(HeadError::Length),
        };
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(length), more) = (lengths.next(), lengths.next()) else {
        return Ok(Expected::Nothing);
    };
    let digits = length.to_str().map_err(|_| HeadError::Length)?;
    // `parse` takes a plus sign as well.
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(0) if all_digits && more.is_none() => Ok(Expected::Nothing),
        Ok(length) if all_digits && more.is_none() => Ok(Expected::Length(length)),
        _ => Err(HeadError::Length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(kind: Kind, destination: &str, host: Option<&str>) -> ConnectRequest {
        ConnectRequest {
            kind,
            destination: destination.into(),
            method: Some("POST".into()),
            host: host.map(Into::into),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_request_is_for_its_host_and_the_path_of_its_destination() {
        let host = Some("app.example.com");
        for (destination, host, then) in [
            (
                "https://edge/a?b=c",
                host,
                Ok("https://app.example.com/a?b=c"),
            ),
            (
                "http://app.example.com",
                None,
                Ok("https://app.example.com/"),
            ),
            ("/a", host, Ok("https://app.example.com/a")),
            ("/a", None, Err(HeadError::Host)),
            ("/a", Some(""), Err(HeadError::Host)),
            ("/a", Some("no host"), Err(HeadError::Host)),
            ("", host, Err(HeadError::Path)),
            ("https://edge/a b", host, Err(HeadError::Path)),
        ] {
            let read = read(&head(Kind::Http, destination, host));
            let uri = read.map(|request| request.uri().to_string());
            assert_eq!(uri, then.map(str::to_owned), "{destination} {host:?}");
        }
    }

    #[test]
    fn options_for_the_whole_server_has_an_asterisk_for_its_path() {
        for (method, destination, then) in [
            ("OPTIONS", "https://app.example.com", "*"),
            ("OPTIONS", "https://app.example.com*", "*"),
            ("OPTIONS", "https://app.example.com/", "/"),
            ("OPTIONS", "https://app.example.com/*", "/*"),
            ("OPTIONS", "https://app.example.com?a", "/"),
            ("OPTIONS", "https://app.example.com/a?b*", "/a"),
            ("GET", "https://app.example.com", "/"),
        ] {
            let mut head = head(Kind::Http, destination, Some("app.example.com"));
            head.method = Some(method.into());
            let read = read(&head).unwrap();
            assert_eq!(read.uri().path(), then, "{method} {destination}");
        }
    }

    #[test]
    fn bytes_that_clients_should_encode_and_do_not_are_encoded_and_no_others() {
        for (destination, then) in [
            (&br#"/_search?q={"a":1}"#[..], r#"/_search?q={%22a%22:1}"#),
            (br#"/{"a":1}"#, r#"/{"a":1}"#),
            (b"/a<b>c?d<e>f", "/a%3Cb%3Ec?d%3Ce%3Ef"),
            (b"/a`b?c`d", "/a%60b?c`d"),
            (b"/a#b?c#d", "/a%23b?c%23d"),
            (b"/caf\xe9?q=\xe9", "/caf%E9?q=%E9"),
            ("/café?q=é".as_bytes(), "/café?q=é"),
            (b"/%3c?a=%22\"", "/%3c?a=%22%22"),
            (b"/a?b=http://c/<", "/a?b=http://c/%3C"),
            (b"https://edge/<", "/%3C"),
            (b"https://edge?<", "/?%3C"),
            (b"https://edge", "/"),
        ] {
            let mut head = head(Kind::Http, "", Some("app.example.com"));
            head.destination = destination.to_vec();
            let uri = read(&head).unwrap().uri().to_string();
            let then = format!("https://app.example.com{then}");
            assert_eq!(uri, then, "{}", destination.escape_ascii());
        }
        for refused in ["https://ed<ge/a", "https://edge<", "<", "/a b", "/a\u{7f}"] {
            let head = head(Kind::Http, refused, Some("app.example.com"));
            assert_eq!(read(&head).unwrap_err(), HeadError::Path, "{refused}");
        }
    }

    #[test]
    fn a_body_is_expected_where_the_headers_say_so() {
        let (length, encoding) = ("Content-Length", "Transfer-Encoding");
        for (kind, headers, then) in [
            (Kind::Http, &[][..], Ok(Expected::Nothing)),
            (Kind::Http, &[(length, "0")], Ok(Expected::Nothing)),
            (Kind::Http, &[(length, "7")], Ok(Expected::Length(7))),
            (Kind::Http, &[(encoding, "chunked")], Ok(Expected::UntilEnd)),
            (
                Kind::Http,
                &[(length, "7"), (encoding, "Chunked")],
                Ok(Expected::UntilEnd),
            ),
            (Kind::WebSocket, &[(length, "7")], Ok(Expected::UntilEnd)),
            (Kind::Http, &[(encoding, "gzip")], Err(HeadError::Length)),
            (Kind::Http, &[(length, "+7")], Err(HeadError::Length)),
            (Kind::Http, &[(length, "-7")], Err(HeadError::Length)),
            (Kind::Http, &[(length, "")], Err(HeadError::Length)),
            (
                Kind::Http,
                &[(length, "7"), (length, "7")],
                Err(HeadError::Length),
            ),
            (Kind::Http, &[("a:b", "")], Err(HeadError::Header)),
            (Kind::Http, &[("a", "b\r\nc: d")], Err(HeadError::Header)),
        ] {
            let mut head = head(kind, "https://app.example.com/", None);
            head.headers = headers
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect();
            let read = read(&head);
            if let Ok(request) = &read {
                assert!(!request.headers().contains_key(header::TRANSFER_ENCODING));
                let kept = request.headers().contains_key(header::CONTENT_LENGTH);
                assert!(!(kept && *request.body() == Expected::UntilEnd));
            }
            assert_eq!(read.map(Request::into_body), then, "{headers:?}");
        }
    }

    #[test]
    fn a_request_has_only_so_many_headers() {
        // More than 24,576 names do not even fit into a map of headers.
        for (count, then) in [
            (MAX_HEADERS, Ok(MAX_HEADERS)),
            (MAX_HEADERS + 1, Err(HeadError::TooMany)),
            (24_576, Err(HeadError::TooMany)),
            (24_577, Err(HeadError::TooMany)),
            (40_000, Err(HeadError::TooMany)),
        ] {
            let mut head = head(Kind::Http, "https://app.example.com/", None);
            let names = (0..count).map(|n| format!("a-{n}").into_bytes());
            head.headers = names.map(|name| (name, Vec::new())).collect();
            let held = read(&head).map(|request| request.headers().len());
            assert_eq!(held, then, "{count} headers");
        }
    }

    #[test]
    fn a_request_without_a_method_is_none() {
        for method in [None, Some(b"".to_vec()), Some(b"A B".to_vec())] {
            let mut head = head(Kind::Http, "https://app.example.com/", None);
            head.method = method;
            assert_eq!(read(&head).unwrap_err(), HeadError::Method);
        }
    }

    proptest! {
        #[test]
        fn heads_of_arbitrary_bytes_are_a_request_or_not_but_never_a_panic(
            destination in proptest::collection::vec(any::<u8>(), 0..40),
            method in proptest::collection::vec(any::<u8>(), 0..8),
            host in proptest::collection::vec(any::<u8>(), 0..20),
            name in "[a-zA-Z-]{0,20}|Content-Length|Transfer-Encoding",
            value in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let head = ConnectRequest {
                kind: Kind::Http,
                destination,
                method: Some(method),
                host: Some(host),
                headers: vec![(name.into_bytes(), value)],
            };
            let _ = read(&head);
        }
    }
}
