//! URLRewrite (Gateway API, `HTTPURLRewriteFilter`).

use bytes::Bytes;
use domain::gateway::{HttpPathModifier, PathMatch, Rewrite};
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::uri::{self, PathAndQuery, Uri};

use super::path::{as_data, push_encoded, replace_prefix, split};
use crate::local_reply::LocalReply;

/// A URLRewrite with its values in the form in which they are sent.
#[derive(Debug)]
pub(crate) struct ReadyRewrite {
    host: Option<HeaderValue>,
    path: Option<NewPath>,
}

#[derive(Debug)]
enum NewPath {
    /// The whole path, and the query that takes the place of the request's.
    Full(String, Option<String>),
    /// What stands in place of the matched prefix.
    Prefix(String),
}

impl ReadyRewrite {
    pub(super) fn new(rewrite: &Rewrite) -> Self {
        let host = rewrite.hostname.as_ref();
        Self {
            host: host.and_then(|host| HeaderValue::from_str(host.as_str()).ok()),
            path: rewrite.path.as_ref().map(NewPath::new),
        }
    }

    /// Changes the head of a request. `asked_for` keeps what the client asked for: of two filters that replace the path the
    /// later one counts, as if the other were not there.
    pub(super) fn apply(
        &self,
        matched: &PathMatch,
        asked_for: &mut Option<Uri>,
        head: &mut Parts,
    ) -> Result<(), LocalReply> {
        if let Some(host) = &self.host {
            head.headers.insert(HOST, host.clone());
        }
        if let Some(path) = &self.path {
            let uri = std::mem::take(&mut head.uri);
            let asked_for = &*asked_for.get_or_insert(uri);
            let target = Bytes::from(path.target(matched, asked_for));
            let target = PathAndQuery::from_maybe_shared(target);
            let mut parts = uri::Parts::default();
            parts.scheme = asked_for.scheme().cloned();
            parts.authority = asked_for.authority().cloned();
            parts.path_and_query = Some(target.map_err(|_| LocalReply::Malformed)?);
            head.uri = Uri::from_parts(parts).map_err(|_| LocalReply::Malformed)?;
        }
        Ok(())
    }
}

impl NewPath {
    fn new(modifier: &HttpPathModifier) -> Self {
        match modifier {
            HttpPathModifier::Full(written) => {
                let (path, query) = split(written, '?');
                let mut encoded = String::new();
                if !path.starts_with('/') {
                    encoded.push('/');
                }
                push_encoded(&mut encoded, path);
                let query = query.map(|query| {
                    let mut encoded = String::new();
                    push_encoded(&mut encoded, query);
                    encoded
                });
                Self::Full(encoded, query)
            }
            HttpPathModifier::Prefix(written) => {
                let mut encoded = String::new();
                push_encoded(&mut encoded, &as_data(written));
                Self::Prefix(encoded)
            }
        }
    }

    /// Path and query of the request that a backend gets.
    fn target(&self, matched: &PathMatch, asked_for: &Uri) -> String {
        let (mut target, own_query) = match self {
            Self::Full(path, query) => (path.clone(), query.as_deref()),
            Self::Prefix(prefix) => (replace_prefix(asked_for.path(), matched, prefix), None),
        };
        if let Some(query) = own_query.or(asked_for.query()) {
            target.push('?');
            target.push_str(query);
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use domain::Hostname;
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn sent(path: Option<HttpPathModifier>, matched: &str, asked: &str) -> String {
        let filter = ReadyRewrite::new(&Rewrite {
            hostname: None,
            path,
        });
        let (mut head, ()) = Request::get(asked).body(()).unwrap().into_parts();
        let matched = PathMatch::Prefix(matched.into());
        filter.apply(&matched, &mut None, &mut head).unwrap();
        head.uri.to_string()
    }

    #[test]
    fn paths_are_rewritten_as_the_table_of_the_specification_says() {
        let full = |path: &str| Some(HttpPathModifier::Full(path.into()));
        let prefix = |path: &str| Some(HttpPathModifier::Prefix(path.into()));
        for (asked, matched, path, then) in [
            ("/foo/bar", "/foo", prefix("/xyz"), "/xyz/bar"),
            ("/foo/bar", "/foo", prefix("/xyz/"), "/xyz/bar"),
            ("/foo/bar", "/foo/", prefix("/xyz"), "/xyz/bar"),
            ("/foo/bar", "/foo/", prefix("/xyz/"), "/xyz/bar"),
            ("/foo", "/foo", prefix("/xyz"), "/xyz"),
            ("/foo/", "/foo", prefix("/xyz"), "/xyz/"),
            ("/foo/bar", "/foo", prefix(""), "/bar"),
            ("/foo/", "/foo", prefix(""), "/"),
            ("/foo", "/foo", prefix(""), "/"),
            ("/foo/", "/foo", prefix("/"), "/"),
            ("/foo", "/foo", prefix("/"), "/"),
            ("/bar", "/", prefix("/xyz"), "/xyz/bar"),
            ("/foo?a=/foo", "/foo", prefix("/xyz"), "/xyz?a=/foo"),
            ("/foo/bar?", "/foo", prefix("/xyz"), "/xyz/bar?"),
            // Nothing is cleaned.
            ("/foo//a/", "/foo", prefix("/xyz"), "/xyz//a/"),
            ("/foo//a", "/foo", prefix("/"), "//a"),
            ("/foo/a%2Fb%2f", "/foo", prefix("/xyz"), "/xyz/a%2Fb%2f"),
            ("/foo%2Fa", "/foo", prefix("/xyz"), "/xyz%2Fa"),
            ("/foo%2Fa", "/foo", prefix(""), "/%2Fa"),
            ("//foo/a", "/foo", prefix("/xyz"), "/xyz/a"),
            ("/%66oo/a%3Fb%23c", "/foo", prefix("/xyz"), "/xyz/a%3Fb%23c"),
            ("/foo/a", "/foo", prefix("/a?b#c d"), "/a%3Fb%23c%20d/a"),
            ("*", "/", prefix("/xyz"), "/xyz"),
            ("/any/thing?q=1", "/", full("/whole"), "/whole?q=1"),
            ("/any/thing", "/", full(""), "/"),
            ("/x?q=1", "/", full("/whole?own=2"), "/whole?own=2"),
            ("/x?q=1", "/", full("whole#part"), "/whole%23part?q=1"),
            ("/x?q={a}", "/", full("/caf\u{e9}"), "/caf%C3%A9?q={a}"),
            ("/x?q=1", "/", None, "/x?q=1"),
        ] {
            assert_eq!(
                sent(path.clone(), matched, asked),
                then,
                "{asked} {matched} {path:?}"
            );
        }
    }

    #[test]
    fn the_host_that_a_backend_is_asked_for_is_replaced_and_nothing_else() {
        let filter = ReadyRewrite::new(&Rewrite {
            hostname: Hostname::parse("new.example").ok(),
            path: None,
        });
        let request = Request::get("/x?q=1")
            .header("host", "old.example:8080")
            .header("x-forwarded-host", "old.example:8080");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let matched = PathMatch::Prefix("/".into());
        filter.apply(&matched, &mut None, &mut head).unwrap();
        assert_eq!(head.headers["host"], "new.example");
        assert_eq!(head.headers["x-forwarded-host"], "old.example:8080");
        assert_eq!(head.uri, "/x?q=1");
    }

    proptest! {
        #[test]
        fn a_rewritten_path_ends_as_the_request_and_keeps_its_query(
            segments in proptest::collection::vec("[a-z0-9%A-F~_-]{0,6}", 0..5),
            query in proptest::option::of("[a-z0-9=&%]{0,12}"),
            cut in 0usize..4,
            replacement in "(/[a-z?#]{1,4}){0,3}/?",
        ) {
            let kept = segments.len().min(cut);
            prop_assume!(segments[..kept].iter().all(|s| !s.is_empty() && !s.contains('%')));
            let path = format!("/{}", segments.join("/"));
            let prefix = format!("/{}", segments[..kept].join("/"));
            let text = query.as_ref().map_or(path.clone(), |q| format!("{path}?{q}"));
            let asked: Uri = text.parse().unwrap();
            let sent = sent(Some(HttpPathModifier::Prefix(replacement)), &prefix, &text);
            let sent: Uri = sent.parse().unwrap();
            let rest = &path[prefix.trim_end_matches('/').len()..];
            prop_assert!(sent.path().starts_with('/') && sent.path().ends_with(rest));
            prop_assert_eq!(sent.query(), asked.query());
        }
    }
}
