//! Which headers cross the proxy, and which it writes itself.
//!
//! The tunnel is the trust boundary: the edge in front of it overwrites `X-Forwarded-Proto` and
//! `CF-Connecting-IP` and writes `X-Forwarded-For`, so these are believed. Everything else may have come
//! from the client. Towards an endpoint:
//!
//! | header | rule |
//! |---|---|
//! | `Host` | as the client sent it (over HTTP/2: its `:authority`) |
//! | `X-Forwarded-For` | kept if it ends with the client's address, as the edge writes it; else the address is appended |
//! | `X-Forwarded-Proto` | the scheme of the arrival, always overwritten |
//! | `X-Forwarded-Host` | the `Host`, always overwritten |
//! | every other `X-Forwarded-…`, `Forwarded`, `Cf-Cloudflared-…` | removed: a client can forge them, and backends tend to believe them |
//! | `Client-Cert`, `Client-Cert-Chain` | removed, unless the edge is set to write them ([`visitors`](super::visitors)) |
//! | names with `_` or another mark than `-` | second spellings of the names here are removed, all others by [`UnderscoredHeaders`] |
//! | hop-by-hop headers and those that `Connection` names | removed both ways (RFC 9110 §7.6.1); `TE: trailers` and an upgrade's own pair stay |
//! | `Content-Length` | once, without zeros in front ([`framing`]) |
//! | `Cookie` on several lines, as HTTP/2 has it | one line, parted by `; ` (RFC 9113 §8.2.3) |
//! | `Expect: 100-continue` | removed: the body is passed on without waiting |
//! | `Upgrade` | the first protocol that is not HTTP or TLS, and only where the request announces no body; an answer must agree to that very protocol |
//! | all others | unchanged |
//!
//! The rules of a route see the headers after these rules, so that none of them can be made to hold by a
//! forged header or to fail by one that `Connection` names. A filter of the route runs last and may change
//! the result.

use std::borrow::Cow;
use std::net::IpAddr;

use domain::gateway::UnderscoredHeaders;
use domain::gateway::header_names::is_hop_by_hop;
use domain::route_table::{Arrival, HeaderLookup, Scheme};
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;

use super::framing::{self, tokens};
use super::visitors::{CLIENT_CERT, CLIENT_CERT_CHAIN};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers as the matcher asks for them.
pub(super) struct Lookup<'a>(pub(super) &'a HeaderMap);

impl HeaderLookup for Lookup<'_> {
    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.0.get_all(name).iter();
        let first = values.next()?.as_bytes();
        let Some(second) = values.next() else {
            return Some(Cow::Borrowed(first));
        };
        let mut joined = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            joined.push(b',');
            joined.extend_from_slice(value.as_bytes());
        }
        Some(Cow::Owned(joined))
    }
}

/// The protocol that a request asks to upgrade to: `Connection: Upgrade` with an `Upgrade` header. RFC 9110
/// §7.8 allows to ignore it, which happens where a body is announced, because what follows the head is then
/// not yet the other protocol; and of the protocols offered, to those that would carry requests past the
/// rules: HTTP/2 and TLS. The first of the others is the only one that an endpoint gets to see.
pub(crate) fn requested_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut offered = headers.get_all(UPGRADE).iter().flat_map(tokens);
    let protocol = offered.find(|protocol| !carries_requests(protocol))?;
    let protocol = HeaderValue::from_bytes(protocol).ok()?;
    let announces_body = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length != "0");
    let asked = headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade")));
    (asked && !announces_body).then_some(protocol)
}

fn carries_requests(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or(b"");
    [&b""[..], b"h2c", b"h2", b"http", b"tls"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a 101 agrees to the protocol that was asked for (RFC 9110 §7.8: to no other one).
pub(super) fn agrees_to(answer: &HeaderMap, asked: &HeaderValue) -> bool {
    let mut agreed = answer.get_all(UPGRADE).iter().flat_map(tokens);
    let first = agreed.next();
    first.is_some_and(|first| first.eq_ignore_ascii_case(asked.as_bytes()))
        && agreed.next().is_none()
}

/// Makes a client's head fit for an endpoint by the rules above. `false` where the request names no host.
pub(super) fn towards_endpoint(
    head: &mut Parts,
    arrival: &Arrival,
    upgrade: Option<&HeaderValue>,
    underscored: UnderscoredHeaders,
) -> bool {
    let Some(host) = host(head, arrival) else {
        return false;
    };
    let headers = &mut head.headers;
    strip_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    headers.remove(EXPECT);
    headers.remove(FORWARDED);
    remove_forged(headers, underscored);
    if !arrival.hands_certificates {
        headers.remove(CLIENT_CERT);
        headers.remove(CLIENT_CERT_CHAIN);
    }
    join_cookies(headers);
    // What is no length was refused before.
    let _ = framing::plain_length(headers);
    let scheme = match arrival.scheme {
        Scheme::Http => HeaderValue::from_static("http"),
        Scheme::Https => HeaderValue::from_static("https"),
    };
    headers.insert(X_FORWARDED_PROTO, scheme);
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(HOST, host);
    if let Some(client) = arrival.client {
        append_client(headers, client);
    }
    true
}

/// Removes what only a proxy may say of a request and we do not say, and second spellings of names.
fn remove_forged(headers: &mut HeaderMap, underscored: UnderscoredHeaders) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let text = name.as_str();
            underscored.removes(text)
                || text.starts_with("cf-cloudflared-")
                || (text.starts_with("x-forwarded-")
                    && ![X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO].contains(name))
        })
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

/// HTTP/1.1 knows one `Cookie` only, and HTTP/2 allows several, which compress better.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.len() == headers.keys_len() || headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let cookies = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let joined = cookies.collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Says that `TE` is for the next hop only, as HTTP/1.1 wants it (RFC 9110 §10.1.4).
pub(super) fn name_te(headers: &mut HeaderMap) {
    if headers.contains_key(TE) {
        let named = match headers.contains_key(CONNECTION) {
            true => "upgrade, te",
            false => "te",
        };
        headers.insert(CONNECTION, HeaderValue::from_static(named));
    }
}

/// Makes an endpoint's answer fit for the client. A 101 keeps the upgrade's own pair.
pub(super) fn towards_client(headers: &mut HeaderMap, upgraded: bool) {
    let protocol = if upgraded {
        headers.remove(UPGRADE)
    } else {
        None
    };
    strip_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// The authority as the client wrote it: that of the target wins over `Host` (RFC 9112 §3.2.2).
fn host(head: &Parts, arrival: &Arrival) -> Option<HeaderValue> {
    if let Some(authority) = head.uri.authority() {
        return HeaderValue::from_str(authority.as_str()).ok();
    }
    match head.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_str(&arrival.host).ok(),
    }
}

fn append_client(headers: &mut HeaderMap, client: IpAddr) {
    let last = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|list| list.rsplit(',').next())
        .and_then(|address| address.trim().parse::<IpAddr>().ok());
    if last.is_none_or(|last| last.to_canonical() != client.to_canonical())
        && let Ok(value) = HeaderValue::try_from(client.to_string())
    {
        headers.append(X_FORWARDED_FOR, value);
    }
}

/// Removes hop-by-hop headers and those that `Connection` names, except what is not the client's to take
/// away; `TE` shrinks to `trailers`.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    let trailers = headers
        .get_all(TE)
        .iter()
        .any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers")));
    for name in [
        &CONNECTION,
        &HTTP2_SETTINGS,
        &KEEP_ALIVE,
        &PROXY_AUTHENTICATE,
        &PROXY_AUTHORIZATION,
        &PROXY_CONNECTION,
        &TE,
        &TRANSFER_ENCODING,
        &UPGRADE,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Headers that `Connection` names. What the edge and the proxy write, what frames the message and what
/// says who asks for what is end-to-end whatever a client claims.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| {
            let text = name.as_str();
            !(text == "te"
                || text == "host"
                || text == "content-length"
                || text == "authorization"
                || text == "cookie"
                || text.starts_with("x-forwarded-")
                || text.starts_with("cf-"))
        })
        .collect()
}

#[cfg(test)]
mod tests;
