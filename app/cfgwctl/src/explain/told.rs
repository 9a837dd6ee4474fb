//! Matches and filters of a rule in words, as their fields are called.

use domain::gateway::{
    AuthProtocol, BackendKind, ExternalAuth, Filter, HeaderModifier, HttpPathModifier, PathMatch,
    RouteMatch, TextMatch,
};
use domain::route_table::{TableFilter, UpstreamKey};

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
pub(super) fn filter(filter: &TableFilter) -> String {
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
            parts.extend(redirect.path.iter().map(new_path));
            parts.join(", ")
        }
        Filter::Cors(cors) => match cors.origins.len() {
            1 => "CORS: 1 origin".to_owned(),
            origins => format!("CORS: {origins} origins"),
        },
        Filter::Mirror(mirror) => {
            let UpstreamKey { port, .. } = &mirror.to;
            let backend = mirror.to.backend();
            format!(
                "RequestMirror: {backend} port {port}, {} requests",
                mirror.share
            )
        }
        Filter::ExternalAuth(auth) => external_auth(auth),
        Filter::Rewrite(rewrite) => {
            let hostname = rewrite.hostname.iter().map(|it| format!("hostname {it}"));
            let parts = hostname.chain(rewrite.path.iter().map(new_path));
            format!("URLRewrite: {}", parts.collect::<Vec<_>>().join(", "))
        }
    }
}

/// What decides on the endpoints of a backend.
pub(super) fn who_brings_endpoints(kind: BackendKind) -> &'static str {
    match kind {
        BackendKind::Service => "the Service's selector and targetPort",
        BackendKind::External => "its hostname",
        BackendKind::ServiceImport => "the controller that imports Services into this cluster",
    }
}

/// An ExternalAuth, of a rule, of a backend or of a listener.
pub(super) fn external_auth(auth: &ExternalAuth<UpstreamKey>) -> String {
    let protocol = match auth.protocol {
        AuthProtocol::Http { .. } => "HTTP",
        AuthProtocol::Grpc { .. } => "GRPC",
    };
    match &auth.to {
        None => "ExternalAuth: does not resolve, so every request gets 500".to_owned(),
        Some(key) => {
            let (backend, port) = (key.backend(), key.port);
            format!("ExternalAuth: asks {backend} port {port} by {protocol}")
        }
    }
}

fn new_path(path: &HttpPathModifier) -> String {
    match path {
        HttpPathModifier::Full(path) => format!("path {path}"),
        HttpPathModifier::Prefix(prefix) => format!("path prefix {prefix}"),
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

#[cfg(test)]
mod tests {
    use domain::ObjectKey;
    use domain::route_table::UpstreamProtocol;

    use super::*;

    #[test]
    fn an_external_auth_says_whom_it_asks_or_that_nobody_gets_in() {
        let key = UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("infra", "auth"),
            port: 9001,
            protocol: UpstreamProtocol::H2c,
        };
        for (to, told) in [
            (
                Some(key),
                "ExternalAuth: asks Service infra/auth port 9001 by GRPC",
            ),
            (
                None,
                "ExternalAuth: does not resolve, so every request gets 500",
            ),
        ] {
            let auth = ExternalAuth {
                to,
                protocol: AuthProtocol::Grpc {
                    request_headers: Vec::new(),
                },
                max_body: 0,
            };
            assert_eq!(filter(&Filter::ExternalAuth(auth)), told);
        }
    }
}
