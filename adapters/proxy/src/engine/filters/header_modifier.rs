//! RequestHeaderModifier and ResponseHeaderModifier (Gateway API, `HTTPHeaderFilter`).

use bytes::{BufMut, BytesMut};
use domain::gateway::{HeaderModifier, header_names};
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};

/// A header modifier with its names and values parsed.
///
/// Headers that frame the message on one connection are the proxy's own and cannot be edited; entries
/// that name them, or that are not valid HTTP, are left out.
#[derive(Debug, Default)]
pub(crate) struct HeaderEdits {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl HeaderEdits {
    pub(super) fn new(modifier: &HeaderModifier) -> Self {
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
    /// list (Gateway API, `HTTPHeaderFilter.add`), which for cookies has semicolons (RFC 6265 §4.2.1).
    pub(super) fn apply_to_request(&self, headers: &mut HeaderMap) {
        self.apply(headers, |headers, name, value| {
            let separator: &[u8] = if name == COOKIE { b"; " } else { b"," };
            join(headers, name, value, separator);
        });
    }

    /// The same for an answer. `Set-Cookie` is no list: each is a line of its own (RFC 9110 §5.3).
    pub(super) fn apply_to_answer(&self, headers: &mut HeaderMap) {
        self.apply(headers, |headers, name, value| {
            if name == SET_COOKIE {
                // A head that is full keeps what it has.
                let _ = headers.try_append(name, value.clone());
            } else {
                join(headers, name, value, b",");
            }
        });
    }

    fn apply(
        &self,
        headers: &mut HeaderMap,
        add: impl Fn(&mut HeaderMap, &HeaderName, &HeaderValue),
    ) {
        // Once for all of them. A head that is full keeps what it has.
        let _ = headers.try_reserve(self.set.len() + self.add.len());
        for (name, value) in &self.set {
            // As above.
            let _ = headers.try_insert(name, value.clone());
        }
        for (name, value) in &self.add {
            add(headers, name, value);
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
    (!header_names::is_of_connection(name.as_str())).then_some(name)
}

/// Puts a value behind those that are there.
fn join(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue, separator: &[u8]) {
    if !headers.contains_key(name) {
        let _ = headers.try_insert(name, value.clone());
        return;
    }
    let mut joined = BytesMut::new();
    for present in headers.get_all(name) {
        joined.put_slice(present.as_bytes());
        joined.put_slice(separator);
    }
    joined.put_slice(value.as_bytes());
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined.freeze()) {
        let _ = headers.try_insert(name, joined);
    }
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
            HeaderEdits::new(&modifier).apply_to_request(&mut headers);
            assert_eq!(headers, map(after), "{modifier:?}");
            let mut headers = map(before);
            HeaderEdits::new(&modifier).apply_to_answer(&mut headers);
            assert_eq!(headers, map(after), "{modifier:?}");
        }
    }

    #[test]
    fn cookies_are_added_as_each_side_writes_several() {
        let modifier = |name: &str| HeaderModifier {
            add: vec![(name.to_owned(), "b=2".to_owned())],
            ..Default::default()
        };
        let mut request = map(&[("cookie", "a=1")]);
        HeaderEdits::new(&modifier("cookie")).apply_to_request(&mut request);
        assert_eq!(request, map(&[("cookie", "a=1; b=2")]));
        let mut answer = map(&[("set-cookie", "a=1")]);
        HeaderEdits::new(&modifier("set-cookie")).apply_to_answer(&mut answer);
        assert_eq!(answer, map(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]));
    }

    #[test]
    fn what_belongs_to_the_connection_stays() {
        for name in [
            "connection",
            "content-length",
            "sec-websocket-accept",
            "upgrade",
        ] {
            let modifier = HeaderModifier {
                set: vec![(name.to_owned(), "x".to_owned())],
                add: vec![(name.to_owned(), "y".to_owned())],
                remove: vec![name.to_owned()],
            };
            let before = map(&[(name, "own")]);
            let mut answer = before.clone();
            HeaderEdits::new(&modifier).apply_to_answer(&mut answer);
            assert_eq!(answer, before, "{name}");
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
