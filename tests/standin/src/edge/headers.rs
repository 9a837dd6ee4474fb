//! Headers that the edge adds, replaces and removes, and those of the tunnel protocol.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use uuid::Uuid;

/// Says what a request of the edge is, other than a visitor's.
pub(super) const PROXY_UPGRADE: &str = "cf-cloudflared-proxy-connection-upgrade";
/// Value of [`PROXY_UPGRADE`]: the control stream.
pub(super) const UPGRADE_CONTROL: &str = "control-stream";
/// Value of [`PROXY_UPGRADE`]: a new configuration.
pub(super) const UPGRADE_CONFIGURATION: &str = "update-configuration";
/// Value of [`PROXY_UPGRADE`]: a WebSocket.
pub(super) const UPGRADE_WEBSOCKET: &str = "websocket";
/// The origin's response headers, serialised.
pub(super) const RESPONSE_HEADERS: &str = "cf-cloudflared-response-headers";
/// Who made the response, as JSON.
pub(super) const RESPONSE_META: &str = "cf-cloudflared-response-meta";

/// Of a connector that is told of arrivals: the visitor's connection is to be closed.
pub(super) const ARRIVAL_REFUSED: &str = "cf-arrival-refused";

/// Headers of one hop (RFC 9110, section 7.6.1), beside those that `Connection` names.
const OF_ONE_HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// How a visitor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The edge's name for one request: 16 hexadecimal digits and the data centre.
/// Cloudflare documentation: "HTTP headers", CF-Ray.
#[derive(Debug, Clone)]
pub(super) struct Ray(HeaderValue);

impl Ray {
    /// A new one.
    pub(super) fn new() -> Self {
        let (digits, _) = Uuid::new_v4().as_u64_pair();
        let text = format!("{digits:016x}-SIM");
        Self(HeaderValue::try_from(text).expect("hexadecimal digits, a dash and letters"))
    }
}

/// Whether the visitor asks for a WebSocket (RFC 6455, section 4.1).
pub(super) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    tokens(headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Turns a visitor's headers into those that the connector gets: nothing of the visitor's hop,
/// nothing that only the edge may say, and what the edge knows of the visitor.
/// Cloudflare documentation: "HTTP headers".
pub(super) fn for_connector(headers: &mut HeaderMap, visitor: IpAddr, scheme: Scheme, ray: &Ray) {
    let wants_trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    remove_hop(headers);
    headers.remove(HOST);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    remove_forged(headers);
    let address = HeaderValue::try_from(visitor.to_string()).expect("an address is plain text");
    let visitor_scheme = match scheme {
        Scheme::Http => r#"{"scheme":"http"}"#,
        Scheme::Https => r#"{"scheme":"https"}"#,
    };
    append_to_list(headers, "x-forwarded-for", &address);
    headers.insert("cf-connecting-ip", address);
    headers.insert(
        "x-forwarded-proto",
        HeaderValue::from_static(scheme.as_str()),
    );
    headers.insert("cf-visitor", HeaderValue::from_static(visitor_scheme));
    // The code for a visitor whose country is not known.
    headers.insert("cf-ipcountry", HeaderValue::from_static("XX"));
    headers.insert("cf-ray", ray.0.clone());
    // RFC 8586, section 2: every network adds itself to what it finds.
    append_to_list(
        headers,
        "cdn-loop",
        &HeaderValue::from_static("cloudflare; loops=1"),
    );
}

/// Tells the connector how a visitor came, beyond what Cloudflare tells.
pub(super) fn tell_arrival(headers: &mut HeaderMap, port: Option<u16>, server_name: Option<&str>) {
    if let Some(port) = port {
        headers.insert("cf-arrival-port", HeaderValue::from(port));
    }
    if let Some(name) = server_name.and_then(|name| HeaderValue::from_str(name).ok()) {
        headers.insert("cf-arrival-server-name", name);
    }
}

/// Tells the connector which certificates a visitor showed, over what the visitor wrote there (RFC 9440).
/// Cloudflare documentation: "Forward a client certificate".
pub(super) fn tell_certificates(headers: &mut HeaderMap, shown: &[CertificateDer<'_>]) {
    let encoded = |der: &CertificateDer<'_>| format!(":{}:", STANDARD.encode(der));
    headers.remove("client-cert");
    headers.remove("client-cert-chain");
    let Some((own, chain)) = shown.split_first() else {
        return;
    };
    let chain: Vec<String> = chain.iter().map(encoded).collect();
    for (name, value) in [
        ("client-cert", encoded(own)),
        ("client-cert-chain", chain.join(", ")),
    ] {
        if !value.is_empty() {
            let value = HeaderValue::try_from(value).expect("base64 is plain text");
            headers.insert(name, value);
        }
    }
}

/// Leaves of a WebSocket's handshake the key and protocols of the visitor; the rest is the connector's
/// part.
pub(super) fn of_websocket(headers: &mut HeaderMap) {
    headers.remove(http::header::SEC_WEBSOCKET_VERSION);
}

/// Turns the origin's headers into those that the visitor gets.
pub(super) fn for_visitor(headers: &mut HeaderMap) {
    remove_hop(headers);
}

/// Puts the edge's own headers on whatever the visitor gets.
pub(super) fn sign(headers: &mut HeaderMap, ray: &Ray) {
    headers.insert(http::header::SERVER, HeaderValue::from_static("cloudflare"));
    headers.insert("cf-ray", ray.0.clone());
}

fn remove_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_ONE_HOP {
        headers.remove(name);
    }
}

/// Everything that a visitor can say only to deceive.
fn remove_forged(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("cf-"))
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
    headers.remove("x-forwarded-proto");
}

/// The members of a comma-separated header, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Adds a member to a list, all in one line.
fn append_to_list(headers: &mut HeaderMap, name: &'static str, member: &HeaderValue) {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let present: Vec<&[u8]> = lines.chain([member.as_bytes()]).collect();
    let joined = HeaderValue::from_bytes(&present.join(&b", "[..]));
    headers.insert(
        name,
        joined.expect("header values joined by a comma are one"),
    );
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseSource {
    /// The user's application.
    Origin,
    /// The connector, because it could not reach the application.
    Connector,
}

/// A response head that does not follow the tunnel protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedResponse {
    #[error("{RESPONSE_META} is missing or not understood")]
    Meta,
    #[error("{RESPONSE_HEADERS} is not understood: {0}")]
    Headers(&'static str),
    #[error("the answer on a QUIC stream is not understood: {0}")]
    ConnectResponse(&'static str),
}

/// Reads who made the response.
pub(super) fn response_source(headers: &HeaderMap) -> Result<ResponseSource, MalformedResponse> {
    #[derive(Deserialize)]
    struct Meta {
        src: String,
    }
    let text = headers
        .get(RESPONSE_META)
        .ok_or(MalformedResponse::Meta)?
        .as_bytes();
    let meta: Meta = serde_json::from_slice(text).map_err(|_| MalformedResponse::Meta)?;
    match meta.src.as_str() {
        "origin" => Ok(ResponseSource::Origin),
        "cloudflared" => Ok(ResponseSource::Connector),
        _ => Err(MalformedResponse::Meta),
    }
}

/// Reads the origin's headers: `name:value` pairs of unpadded base64, one for each value, between
/// semicolons. A length that stands beside them counts only where they have none.
pub(super) fn origin_headers(native: &HeaderMap) -> Result<HeaderMap, MalformedResponse> {
    let mut headers = HeaderMap::new();
    let serialised = native
        .get(RESPONSE_HEADERS)
        .map_or(&b""[..], HeaderValue::as_bytes);
    for pair in serialised.split(|byte| *byte == b';') {
        if pair.is_empty() {
            continue;
        }
        let colon = pair.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or(MalformedResponse::Headers("a pair has no colon"))?;
        let name = HeaderName::from_bytes(&decoded(&pair[..colon])?)
            .map_err(|_| MalformedResponse::Headers("a name is none"))?;
        let value = HeaderValue::from_bytes(&decoded(&pair[colon + 1..])?)
            .map_err(|_| MalformedResponse::Headers("a value is none"))?;
        headers.append(name, value);
    }
    if let Some(length) = native.get(http::header::CONTENT_LENGTH) {
        let name = http::header::CONTENT_LENGTH;
        headers.entry(name).or_insert_with(|| length.clone());
    }
    Ok(headers)
}

fn decoded(base64: &[u8]) -> Result<Vec<u8>, MalformedResponse> {
    let decoded = STANDARD_NO_PAD.decode(base64);
    decoded.map_err(|_| MalformedResponse::Headers("not unpadded base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_a_visitor_says_of_itself_is_replaced_or_removed() {
        let mut headers = map(&[
            ("host", "app.example.com"),
            ("cf-connecting-ip", "1.2.3.4"),
            ("cf-cloudflared-proxy-connection-upgrade", "control-stream"),
            ("cf-cloudflared-proxy-src", "10.0.0.1:22"),
            ("cf-warp-tag-id", "x"),
            ("x-forwarded-proto", "ftp"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-for", "8.8.8.8"),
            ("cdn-loop", "other"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("upgrade", "h2c"),
            ("te", "gzip, trailers"),
            ("accept", "*/*"),
        ]);
        let visitor = IpAddr::from([127, 0, 0, 1]);
        for_connector(&mut headers, visitor, Scheme::Https, &Ray::new());
        for (name, expected) in [
            ("cf-connecting-ip", Some("127.0.0.1")),
            ("cf-ipcountry", Some("XX")),
            ("cf-visitor", Some(r#"{"scheme":"https"}"#)),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-for", Some("9.9.9.9, 8.8.8.8, 127.0.0.1")),
            ("cdn-loop", Some("other, cloudflare; loops=1")),
            ("te", Some("trailers")),
            ("accept", Some("*/*")),
            ("host", None),
            ("x-hop", None),
            ("connection", None),
            ("upgrade", None),
            ("cf-warp-tag-id", None),
            ("cf-cloudflared-proxy-src", None),
            (PROXY_UPGRADE, None),
        ] {
            let found: Vec<_> = headers.get_all(name).iter().collect();
            let expected: Vec<_> = expected.into_iter().collect();
            assert_eq!(found, expected, "{name}");
        }
        assert!(headers["cf-ray"].len() > 16);
    }

    #[test]
    fn a_websocket_needs_both_upgrade_and_connection() {
        for (pairs, expected) in [
            (
                &[("upgrade", "websocket"), ("connection", "Upgrade")][..],
                true,
            ),
            (
                &[
                    ("upgrade", "WebSocket"),
                    ("connection", "keep-alive, upgrade"),
                ],
                true,
            ),
            (&[("upgrade", "websocket")], false),
            (&[("upgrade", "h2c"), ("connection", "upgrade")], false),
        ] {
            assert_eq!(asks_for_websocket(&map(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn serialised_headers_are_read_value_by_value() {
        let native = map(&[
            // Set-Cookie: a=1, Set-Cookie: b=2, Location: /x?y:z;
            (
                RESPONSE_HEADERS,
                "U2V0LUNvb2tpZQ:YT0x;U2V0LUNvb2tpZQ:Yj0y;TG9jYXRpb24:L3g/eTp6Ow",
            ),
            ("content-length", "5"),
            ("x-native", "dropped"),
        ]);
        let headers = origin_headers(&native).unwrap();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(headers["location"], "/x?y:z;");
        assert_eq!(headers["content-length"], "5");
        assert!(!headers.contains_key("x-native"));
    }

    #[test]
    fn malformed_serialised_headers_are_an_error() {
        for text in ["YQ", "YQ:!", "YQ==:YQ", "IA:YQ", "YQ:Cg"] {
            let native = map(&[(RESPONSE_HEADERS, text)]);
            assert!(origin_headers(&native).is_err(), "{text}");
        }
    }

    #[test]
    fn the_source_of_a_response_is_read_from_its_meta_header() {
        for (meta, expected) in [
            (r#"{"src":"origin"}"#, Ok(ResponseSource::Origin)),
            (
                r#"{"src":"cloudflared","flow_rate_limited":true}"#,
                Ok(ResponseSource::Connector),
            ),
            (r#"{"src":"elsewhere"}"#, Err(MalformedResponse::Meta)),
            ("", Err(MalformedResponse::Meta)),
        ] {
            assert_eq!(
                response_source(&map(&[(RESPONSE_META, meta)])),
                expected,
                "{meta}"
            );
        }
        assert_eq!(
            response_source(&HeaderMap::new()),
            Err(MalformedResponse::Meta)
        );
    }
}
