//! Trailers: fields after a body. Whoever reads them may merge them with the headers, so what no header of that name
//! may say, or what is needed before the body, is taken away from them (RFC 9110 §6.5.1).

use bytes::Bytes;
use domain::gateway::UnderscoredHeaders;
use domain::gateway::header_names::begins_like;
use http::header::{HeaderMap, HeaderName};
use http_body::Frame;

/// Fields that frame, route or authenticate a message, control how it is handled, or tell how to read its content; and
/// those that a proxy or the edge writes of a request.
const NEVER_TRAILERS: [&str; 35] = [
    "age",
    "authorization",
    "cache-control",
    "cdn-loop",
    "client-cert",
    "client-cert-chain",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-real-ip",
];
/// Of what begins like this, none is a trailer.
const NEVER_TRAILERS_BEGIN: [&str; 4] = ["cf-", "if-", "proxy-", "x-forwarded-"];

/// A frame of a client's body as an endpoint gets it.
pub(crate) fn from_client(frame: Frame<Bytes>, underscored: UnderscoredHeaders) -> Frame<Bytes> {
    filtered(frame, |name| {
        underscored.removes(name) || !may_be_trailer(name)
    })
}

/// A frame of an endpoint's body as the client gets it.
pub(crate) fn from_endpoint(frame: Frame<Bytes>) -> Frame<Bytes> {
    filtered(frame, |name| !may_be_trailer(name))
}

/// Where no trailer is left, an empty piece of data is: it sends nothing and lets the body end.
fn filtered(frame: Frame<Bytes>, removed: impl Fn(&str) -> bool) -> Frame<Bytes> {
    let mut trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(other) => return other,
    };
    remove(&mut trailers, removed);
    match trailers.is_empty() {
        true => Frame::data(Bytes::new()),
        false => Frame::trailers(trailers),
    }
}

fn remove(trailers: &mut HeaderMap, removed: impl Fn(&str) -> bool) {
    let names = trailers.keys().filter(|name| removed(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}

fn may_be_trailer(name: &str) -> bool {
    let is = |known: &&str| name.len() == known.len() && begins_like(name, known);
    let begins = |known: &&str| begins_like(name, known);
    !NEVER_TRAILERS.iter().any(is) && !NEVER_TRAILERS_BEGIN.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    fn passed(
        names: &[&'static str],
        filter: impl Fn(Frame<Bytes>) -> Frame<Bytes>,
    ) -> Vec<String> {
        let mut trailers = HeaderMap::new();
        for name in names {
            trailers.insert(*name, HeaderValue::from_static("x"));
        }
        match filter(Frame::trailers(trailers)).into_trailers() {
            Ok(left) => left.keys().map(ToString::to_string).collect(),
            Err(data) => {
                assert!(data.into_data().unwrap().is_empty());
                Vec::new()
            }
        }
    }

    #[test]
    fn trailers_are_filtered_as_headers_are_and_those_of_grpc_pass() {
        let good = [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "x-custom-bin",
            "etag",
            "content-digest",
            "server-timing",
        ];
        let bad = [
            "x-forwarded-for",
            "x_forwarded_for",
            "forwarded",
            "cf-connecting-ip",
            "cf_connecting_ip",
            "cf-cloudflared-proxy-src",
            "cookie",
            "set-cookie",
            "authorization",
            "proxy-authorization",
            "host",
            "content-length",
            "content_length",
            "content-type",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "range",
            "if-match",
            "cache-control",
            "location",
            "www-authenticate",
        ];
        let both = [&good[..], &bad].concat();
        for underscored in [UnderscoredHeaders::Drop, UnderscoredHeaders::Allow] {
            let filter = |frame| from_client(frame, underscored);
            assert_eq!(passed(&both, filter), good, "{underscored:?}");
            assert!(passed(&bad, filter).is_empty(), "{underscored:?}");
        }
        assert_eq!(passed(&both, from_endpoint), good);
        assert!(passed(&bad, from_endpoint).is_empty());
    }

    #[test]
    fn a_trailer_with_an_underscore_is_the_endpoints_to_send_and_the_settings_to_take() {
        let own = ["x_own"];
        assert_eq!(passed(&own, from_endpoint), own);
        let from = |underscored| passed(&own, |frame| from_client(frame, underscored));
        assert_eq!(from(UnderscoredHeaders::Allow), own);
        assert!(from(UnderscoredHeaders::Drop).is_empty());
    }

    #[test]
    fn data_stays_as_it_is() {
        let data = from_endpoint(Frame::data(Bytes::from_static(b"cookie")));
        assert_eq!(data.into_data().unwrap(), "cookie");
    }
}
