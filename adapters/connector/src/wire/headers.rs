//! Headers between the edge and a connector over HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Request: what a stream is for, where it is not a plain HTTP request.
pub(crate) const STREAM_KIND: HeaderName =
    HeaderName::from_static("cf-cloudflared-proxy-connection-upgrade");
/// Request: a TCP stream of a private network.
pub(crate) const TCP_SOURCE: HeaderName = HeaderName::from_static("cf-cloudflared-proxy-src");
/// Request: the connector that the request came through, for the endpoint to see.
pub(crate) const CONNECTOR_ID: HeaderName = HeaderName::from_static("cf-warp-tag-id");
/// Request: address of the client, written by the edge.
pub(crate) const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("cf-connecting-ip");
/// Request: scheme that the client used, written by the edge.
pub(crate) const CLIENT_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Request: the port that the client came to, written by an edge that tells more than Cloudflare's.
pub(crate) const ARRIVAL_PORT: HeaderName = HeaderName::from_static("cf-arrival-port");
/// Request: the server name of the client's TLS handshake, written by such an edge.
pub(crate) const ARRIVAL_SERVER_NAME: HeaderName =
    HeaderName::from_static("cf-arrival-server-name");
/// Response: `1` where an edge that tells more than Cloudflare's is to close the client's connection.
pub(crate) const CONNECTION_REFUSED: HeaderName = HeaderName::from_static("cf-arrival-refused");
/// Response: every header meant for the client, see [`serialize`].
pub(crate) const RESPONSE_HEADERS: HeaderName =
    HeaderName::from_static("cf-cloudflared-response-headers");
/// Response: who answered, [`FROM_ORIGIN`] or [`FROM_CONNECTOR`].
pub(crate) const RESPONSE_META: HeaderName =
    HeaderName::from_static("cf-cloudflared-response-meta");

/// The answer is the handler's.
pub(crate) const FROM_ORIGIN: HeaderValue = HeaderValue::from_static(r#"{"src":"origin"}"#);
/// The answer is the connector's own, because it could not get one.
pub(crate) const FROM_CONNECTOR: HeaderValue = HeaderValue::from_static(r#"{"src":"cloudflared"}"#);

/// What the edge opened a stream for. The order in which the headers are looked at is cloudflared's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Registration and its end, as Cap'n Proto RPC.
    Control,
    /// A push of remote configuration.
    Configuration,
    /// A WebSocket: both bodies are byte streams.
    WebSocket,
    /// A TCP stream of a private network, which is not served.
    Tcp,
    Http,
}

impl StreamKind {
    /// What a request's headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let upgrade = headers.get(STREAM_KIND).map(HeaderValue::as_bytes);
        match upgrade {
            Some(b"update-configuration") => Self::Configuration,
            Some(b"websocket") => Self::WebSocket,
            _ if headers.get(TCP_SOURCE).is_some_and(|v| !v.is_empty()) => Self::Tcp,
            Some(b"control-stream") => Self::Control,
            _ => Self::Http,
        }
    }
}

/// Removes the headers that belong to the hop between edge and connector.
pub(crate) fn strip_hop(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("cf-cloudflared-"))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Headers as the edge expects them in [`RESPONSE_HEADERS`]: `base64(name):base64(value)` joined by
/// semicolons, standard alphabet without padding, one pair for each value. Headers of the hop itself
/// are left out.
pub(crate) fn serialize(headers: &HeaderMap) -> HeaderValue {
    let mut text = String::with_capacity(headers.len() * 48);
    for (name, value) in headers {
        if is_of_the_hop(name.as_str()) {
            continue;
        }
        if !text.is_empty() {
            text.push(';');
        }
        STANDARD_NO_PAD.encode_string(name.as_str(), &mut text);
        text.push(':');
        STANDARD_NO_PAD.encode_string(value.as_bytes(), &mut text);
    }
    HeaderValue::try_from(text).expect("base64, colons and semicolons are a header value")
}

/// Whether a header of an answer is for the hop between connector and edge, never for a client.
pub(crate) fn is_of_the_hop(name: &str) -> bool {
    ["cf-int-", "cf-cloudflared-", "cf-proxy-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Reads what [`serialize`] wrote, as an edge does.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn deserialize(text: &str) -> HeaderMap {
    let read = |part: &str| STANDARD_NO_PAD.decode(part).expect("base64");
    let mut headers = HeaderMap::new();
    for pair in text.split(';').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(':').expect("a colon in each pair");
        headers.append(
            HeaderName::from_bytes(&read(name)).expect("a header name"),
            HeaderValue::from_bytes(&read(value)).expect("a header value"),
        );
    }
    headers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_stream_is_what_its_headers_say_in_this_order() {
        let upgrade = "cf-cloudflared-proxy-connection-upgrade";
        let source = "cf-cloudflared-proxy-src";
        for (given, then) in [
            (&[][..], StreamKind::Http),
            (&[(upgrade, "control-stream")], StreamKind::Control),
            (
                &[(upgrade, "update-configuration")],
                StreamKind::Configuration,
            ),
            (&[(upgrade, "websocket")], StreamKind::WebSocket),
            (&[(upgrade, "something-new")], StreamKind::Http),
            (&[(source, "10.0.0.1")], StreamKind::Tcp),
            (&[(source, "")], StreamKind::Http),
            (
                &[(upgrade, "websocket"), (source, "10.0.0.1")],
                StreamKind::WebSocket,
            ),
            (
                &[(upgrade, "control-stream"), (source, "10.0.0.1")],
                StreamKind::Tcp,
            ),
        ] {
            assert_eq!(StreamKind::of(&headers(given)), then, "{given:?}");
        }
    }

    #[test]
    fn headers_of_the_hop_reach_no_endpoint() {
        let mut given = headers(&[
            ("cf-cloudflared-proxy-connection-upgrade", "websocket"),
            ("cf-cloudflared-request-headers", "eA"),
            ("cf-connecting-ip", "192.0.2.1"),
        ]);
        strip_hop(&mut given);
        assert_eq!(given, headers(&[("cf-connecting-ip", "192.0.2.1")]));
    }

    #[test]
    fn response_headers_are_written_as_the_edge_reads_them() {
        for (given, then) in [
            (&[][..], ""),
            (&[("a", "b")], "YQ:Yg"),
            (&[("a", "b"), ("a", "")], "YQ:Yg;YQ:"),
            (
                &[
                    ("cf-int-a", "b"),
                    ("cf-cloudflared-a", "b"),
                    ("cf-proxy-a", "b"),
                ],
                "",
            ),
        ] {
            assert_eq!(serialize(&headers(given)), then, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_survive_the_way_to_the_edge(
            pairs in proptest::collection::vec(("x-[a-z0-9]{1,8}", "[ -~]{0,20}"), 0..12)
        ) {
            let mut given = HeaderMap::new();
            for (name, value) in &pairs {
                given.append(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            let written = serialize(&given);
            prop_assert_eq!(deserialize(written.to_str().unwrap()), given);
        }
    }
}
