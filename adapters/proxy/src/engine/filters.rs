//! Filters of a rule, made ready when a table is loaded and run in the order written.

use bytes::{BufMut, BytesMut};
use domain::gateway::{Filter, HeaderModifier, PathMatch, Redirect};
use domain::route_table::Arrival;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use super::{headers, redirect, respond};
use crate::body::ResponseBody;

/// A filter with its names and values parsed.
#[derive(Debug)]
pub(super) enum ReadyFilter {
    /// RequestHeaderModifier.
    Headers(HeaderEdits),
    /// RequestRedirect.
    Redirect(Redirect),
}

impl ReadyFilter {
    /// Makes a filter ready.
    pub(super) fn new(filter: &Filter) -> Self {
        match filter {
            Filter::RequestHeaders(modifier) => Self::Headers(HeaderEdits::new(modifier)),
            Filter::Redirect(redirect) => Self::Redirect(redirect.clone()),
        }
    }
}

/// Runs filters on a request. `Some` where one of them answers; the backends are not asked then.
pub(super) fn run(
    filters: &[ReadyFilter],
    matched: &PathMatch,
    arrival: &Arrival,
    head: &mut Parts,
) -> Option<Response<ResponseBody>> {
    for filter in filters {
        match filter {
            ReadyFilter::Headers(edits) => edits.apply(&mut head.headers),
            ReadyFilter::Redirect(to) => {
                let location = redirect::location(to, matched, arrival, &head.uri);
                let status = StatusCode::from_u16(to.status).unwrap_or(StatusCode::FOUND);
                return Some(match HeaderValue::try_from(location) {
                    Ok(location) => respond::redirect(status, location),
                    Err(_) => super::Refusal::Malformed.response(),
                });
            }
        }
    }
    None
}

/// A header modifier with its names and values parsed.
///
/// Headers that frame the message on one connection are the proxy's own and cannot be edited; entries
/// that name them, or that are not valid HTTP, are left out.
#[derive(Debug, Default)]
pub(super) struct HeaderEdits {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl HeaderEdits {
    fn new(modifier: &HeaderModifier) -> Self {
        let pairs = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .filter_map(|(name, value)| Some((editable(name)?, header_value(value)?)))
                .collect()
        };
        Self {
            set: pairs(&modifier.set),
            add: pairs(&modifier.add),
            remove: modifier.remove.iter().filter_map(|n| editable(n)).collect(),
        }
    }

    /// Sets, adds and removes, in this order. A value that is added joins the present ones as one comma
    /// list (Gateway API, `HTTPHeaderFilter.add`).
    fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            let joined = joined_with(headers, name, value).unwrap_or_else(|| value.clone());
            headers.insert(name.clone(), joined);
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

/// UTF-8 is as good as ASCII in a value (RFC 9110 §5.5, `obs-text`).
fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

fn editable(name: &str) -> Option<HeaderName> {
    let name: HeaderName = name.parse().ok()?;
    let framing = headers::is_hop_by_hop(name.as_str()) || name == http::header::CONTENT_LENGTH;
    (!framing).then_some(name)
}

/// The present values with one more; `None` where there is none yet.
fn joined_with(headers: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
    headers.get(name)?;
    let mut joined = BytesMut::new();
    for present in headers.get_all(name) {
        joined.put_slice(present.as_bytes());
        joined.put_u8(b',');
    }
    joined.put_slice(value.as_bytes());
    HeaderValue::from_maybe_shared(joined.freeze()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_modifiers_set_then_add_then_remove() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let cases: [(HeaderModifier, Pairs<'_>, Pairs<'_>); 8] = [
            (
                HeaderModifier {
                    set: vec![pair("a", "new")],
                    ..Default::default()
                },
                &[("a", "1"), ("a", "2"), ("b", "3")],
                &[("a", "new"), ("b", "3")],
            ),
            (
                HeaderModifier {
                    add: vec![pair("a", "2")],
                    ..Default::default()
                },
                &[],
                &[("a", "2")],
            ),
            (
                HeaderModifier {
                    add: vec![pair("a", "3")],
                    ..Default::default()
                },
                &[("a", "1"), ("a", "2")],
                &[("a", "1,2,3")],
            ),
            (
                HeaderModifier {
                    remove: vec!["a".into()],
                    ..Default::default()
                },
                &[("a", "1"), ("b", "2")],
                &[("b", "2")],
            ),
            (
                HeaderModifier {
                    set: vec![pair("a", "1")],
                    add: vec![pair("a", "2")],
                    remove: vec!["b".into()],
                },
                &[("b", "0")],
                &[("a", "1,2")],
            ),
            (
                HeaderModifier {
                    set: vec![pair("transfer-encoding", "x"), pair("content-length", "9")],
                    remove: vec!["content-length".into()],
                    ..Default::default()
                },
                &[("content-length", "5")],
                &[("content-length", "5")],
            ),
            (
                HeaderModifier {
                    set: vec![pair("a", "S\u{e3}o")],
                    ..Default::default()
                },
                &[],
                &[("a", "S\u{e3}o")],
            ),
            (
                HeaderModifier {
                    set: vec![pair("bad name", "x"), pair("a", "line\nbreak")],
                    ..Default::default()
                },
                &[],
                &[],
            ),
        ];
        for (modifier, before, after) in cases {
            let mut headers = map(before);
            HeaderEdits::new(&modifier).apply(&mut headers);
            assert_eq!(headers, map(after), "{modifier:?}");
        }
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, header_value(value).unwrap());
        }
        headers
    }
}
