//! Matches and filters of a rule in words, as their fields are called.

use domain::gateway::{Filter, HeaderModifier, HttpPathModifier, PathMatch, RouteMatch, TextMatch};

/// A match: all of its parts must hold.
pub(super) fn matched(matched: &RouteMatch) -> String {
    let mut parts = vec![path(&matched.path)];
    parts.extend(
        matched
            .method
            .iter()
            .map(|method| format!("method {method}")),
    );
    let headers = matched.headers.iter();
    parts.extend(headers.map(|it| format!("header {} {}", it.name, value(&it.value))));
    let query = matched.query.iter();
    parts.extend(query.map(|it| format!("query parameter {} {}", it.name, value(&it.value))));
    parts.join(", ")
}

fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("path {path}"),
        PathMatch::Prefix(prefix) => format!("path prefix {prefix}"),
        PathMatch::Regex(pattern) => format!("path by {}", pattern.as_str()),
        PathMatch::Call(call) => {
            let part = |text: &Option<TextMatch>| text.as_ref().map_or("any".to_owned(), value);
            format!(
                "gRPC service {}, method {}",
                part(&call.service),
                part(&call.method)
            )
        }
    }
}

fn value(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => format!("{text:?}"),
        TextMatch::Regex(pattern) => format!("by {}", pattern.as_str()),
    }
}

/// A filter.
pub(super) fn filter(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(modifier) => format!("RequestHeaderModifier: {}", headers(modifier)),
        Filter::ResponseHeaders(modifier) => {
            format!("ResponseHeaderModifier: {}", headers(modifier))
        }
        Filter::Redirect(redirect) => {
            let mut parts = vec![format!("RequestRedirect: answers {}", redirect.status)];
            parts.extend(redirect.scheme.iter().map(|it| format!("scheme {it}")));
            parts.extend(redirect.hostname.iter().map(|it| format!("hostname {it}")));
            parts.extend(redirect.port.iter().map(|it| format!("port {it}")));
            parts.extend(redirect.path.iter().map(|it| match it {
                HttpPathModifier::Full(path) => format!("path {path}"),
                HttpPathModifier::Prefix(prefix) => format!("path prefix {prefix}"),
            }));
            parts.join(", ")
        }
    }
}

fn headers(modifier: &HeaderModifier) -> String {
    let names = |pairs: &[(String, String)], what: &str| -> Vec<String> {
        pairs
            .iter()
            .map(|(name, _)| format!("{what} {name}"))
            .collect()
    };
    let mut parts = names(&modifier.set, "sets");
    parts.extend(names(&modifier.add, "adds"));
    parts.extend(modifier.remove.iter().map(|name| format!("removes {name}")));
    parts.join(", ")
}
