//! Where a RequestRedirect leads (Gateway API, `HTTPRequestRedirectFilter`).

use std::borrow::Cow;

use domain::gateway::{HttpPathModifier, PathMatch, Redirect};
use domain::route_table::Arrival;
use http::header::{HeaderValue, LOCATION};
use http::{Response, StatusCode, Uri};

use super::path::{as_data, push_encoded, replace_prefix, split};
use crate::body::ResponseBody;
use crate::local_reply::LocalReply;

pub(super) fn answer(
    redirect: &Redirect,
    matched: &PathMatch,
    arrival: &Arrival,
    uri: &Uri,
) -> Result<Response<ResponseBody>, LocalReply> {
    let location = location(redirect, matched, arrival, uri);
    let location = HeaderValue::try_from(location).map_err(|_| LocalReply::Malformed)?;
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// The `Location` of a redirect.
///
/// Scheme: the filter's, else the one that the client used towards the edge. Port: the filter's; else the
/// well-known one of the filter's scheme, if it names one; else the port that the client asked for. A port
/// that is the scheme's own is left out. The query stays, but where the filter's whole path brings one of its own, as
/// with Envoy. Bytes that no URI may hold are encoded (RFC 3986 §2.1).
fn location(redirect: &Redirect, matched: &PathMatch, arrival: &Arrival, uri: &Uri) -> String {
    let scheme = redirect
        .scheme
        .as_deref()
        .unwrap_or_else(|| arrival.scheme.as_str());
    let host = redirect
        .hostname
        .as_ref()
        .map_or(arrival.host.as_str(), |name| name.as_str());
    let path = match &redirect.path {
        None => Cow::Borrowed(uri.path()),
        Some(HttpPathModifier::Full(path)) => Cow::Borrowed(path.as_str()),
        Some(HttpPathModifier::Prefix(replacement)) => {
            Cow::Owned(replace_prefix(uri.path(), matched, &as_data(replacement)))
        }
    };
    let (path, fragment) = split(&path, '#');
    let (path, query) = split(path, '?');

    let mut location = String::with_capacity(
        scheme.len() + host.len() + path.len() + uri.query().map_or(0, str::len) + 12,
    );
    location.push_str(scheme);
    location.push_str("://");
    location.push_str(host);
    if let Some(port) = explicit_port(redirect, scheme, arrival) {
        location.push(':');
        location.push_str(&port.to_string());
    }
    if !path.starts_with('/') {
        location.push('/');
    }
    push_encoded(&mut location, path);
    for (mark, part) in [('?', query.or(uri.query())), ('#', fragment)] {
        if let Some(part) = part {
            location.push(mark);
            push_encoded(&mut location, part);
        }
    }
    location
}

/// The port to be written, `None` where the scheme says it.
fn explicit_port(redirect: &Redirect, scheme: &str, arrival: &Arrival) -> Option<u16> {
    let well_known = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => Some(port),
        (None, Some(_)) if well_known.is_some() => well_known,
        (None, _) => Some(arrival.port),
    };
    port.filter(|port| Some(*port) != well_known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Hostname;
    use domain::route_table::Scheme;
    use proptest::prelude::*;

    fn keep() -> Redirect {
        Redirect {
            scheme: None,
            hostname: None,
            path: None,
            port: None,
            status: 302,
        }
    }

    fn go(redirect: &Redirect, prefix: &str, scheme: Scheme, authority: &str, uri: &str) -> String {
        let arrival = Arrival::new(scheme, authority, None).unwrap();
        let matched = PathMatch::Prefix(prefix.into());
        location(redirect, &matched, &arrival, &uri.parse().unwrap())
    }

    #[test]
    fn scheme_host_and_port_follow_the_filter_then_the_request() {
        use Scheme::{Http, Https};
        let host = Hostname::parse("new.example").ok();
        let to = |scheme: Option<&str>, port| Redirect {
            scheme: scheme.map(Into::into),
            port,
            ..keep()
        };
        let cases = [
            (keep(), Http, "a.example", "http://a.example/x?q=1"),
            (keep(), Https, "a.example", "https://a.example/x?q=1"),
            (
                keep(),
                Http,
                "a.example:8080",
                "http://a.example:8080/x?q=1",
            ),
            (
                keep(),
                Http,
                "a.example:2052",
                "http://a.example:2052/x?q=1",
            ),
            // No request of this scheme comes in by that port.
            (keep(), Http, "a.example:443", "http://a.example/x?q=1"),
            (
                to(Some("https"), None),
                Http,
                "a.example",
                "https://a.example/x?q=1",
            ),
            // A scheme brings its own port; the request's port is of the other scheme.
            (
                to(Some("https"), None),
                Http,
                "a.example:8080",
                "https://a.example/x?q=1",
            ),
            (
                to(Some("http"), None),
                Https,
                "a.example",
                "http://a.example/x?q=1",
            ),
            (
                to(Some("https"), Some(443)),
                Http,
                "a.example",
                "https://a.example/x?q=1",
            ),
            (
                to(Some("https"), Some(8443)),
                Http,
                "a.example",
                "https://a.example:8443/x?q=1",
            ),
            (
                to(None, Some(80)),
                Http,
                "a.example:8080",
                "http://a.example/x?q=1",
            ),
            (
                to(None, Some(80)),
                Https,
                "a.example",
                "https://a.example:80/x?q=1",
            ),
            (
                Redirect {
                    hostname: host,
                    ..keep()
                },
                Https,
                "a.example",
                "https://new.example/x?q=1",
            ),
        ];
        for (redirect, scheme, authority, expected) in cases {
            let location = go(&redirect, "/", scheme, authority, "/x?q=1");
            assert_eq!(location, expected, "{redirect:?} {scheme:?} {authority}");
        }
    }

    #[test]
    fn paths_are_replaced_as_the_table_of_the_specification_says() {
        let full = |path: &str| Some(HttpPathModifier::Full(path.into()));
        let prefix = |path: &str| Some(HttpPathModifier::Prefix(path.into()));
        let cases = [
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
            ("/%66oo/a%3Fb%23c", "/foo", prefix("/xyz"), "/xyz/a%3Fb%23c"),
            ("/foo", "/foo", prefix("/"), "/"),
            ("/bar", "/", prefix("/xyz"), "/xyz/bar"),
            ("/any/thing", "/", full("/whole"), "/whole"),
            ("/any/thing", "/", full(""), "/"),
            ("/a%2Fb//c/../d", "/", None, "/a%2Fb//c/../d"),
            ("/x?q=1", "/", full("/whole"), "/whole?q=1"),
            ("/x?q=1", "/", full("/whole?own=2"), "/whole?own=2"),
            ("/x", "/", full("/whole?own=2"), "/whole?own=2"),
            ("/x?q=1", "/", full("/whole?"), "/whole?"),
            ("/x?q=1", "/", full("/whole#part"), "/whole?q=1#part"),
            ("/x?q=1", "/", full("/a?b#c?d"), "/a?b#c?d"),
            ("/x/y?q=1", "/x", prefix("/a?b"), "/a%3Fb/y?q=1"),
            ("/x/y?q=1", "/x", prefix("/a#b"), "/a%23b/y?q=1"),
            (
                "/x",
                "/",
                full("/caf\u{e9} au lait"),
                "/caf%C3%A9%20au%20lait",
            ),
            ("/x", "/", full("/100%"), "/100%"),
            ("/x?q={a}", "/", None, "/x?q=%7Ba%7D"),
        ];
        for (path, matched, modifier, expected) in cases {
            let redirect = Redirect {
                path: modifier,
                ..keep()
            };
            let location = go(&redirect, matched, Scheme::Https, "a.example", path);
            assert_eq!(
                location,
                format!("https://a.example{expected}"),
                "{path} {matched}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_location_is_an_absolute_uri_on_the_wanted_host_with_the_query_kept(
            segments in proptest::collection::vec("[a-z0-9%A-F~._-]{0,6}", 0..5),
            query in proptest::option::of("[a-z0-9=&%]{0,12}"),
            cut in 0usize..4,
            replacement in "(/[a-z]{1,4}){0,3}/?",
            https in any::<bool>(),
            port in proptest::sample::select(vec![80u16, 8080, 2095, 443, 2053, 8443]),
        ) {
            let path = format!("/{}", segments.join("/"));
            let kept = segments.len().min(cut);
            let prefix = format!("/{}", segments[..kept].join("/"));
            prop_assume!(segments[..kept].iter().all(|s| !s.is_empty()));
            let text = query.as_ref().map_or(path.clone(), |q| format!("{path}?{q}"));
            let Ok(uri) = text.parse::<Uri>() else { return Ok(()) };
            let scheme = if https { Scheme::Https } else { Scheme::Http };
            let authority = format!("a.example:{port}");
            let came_by = if scheme.ports().contains(&port) { port } else { scheme.default_port() };
            let redirect = Redirect {
                path: Some(HttpPathModifier::Prefix(replacement.clone())),
                ..keep()
            };

            let location: Uri = go(&redirect, &prefix, scheme, &authority, &text).parse().unwrap();

            prop_assert_eq!(location.host(), Some("a.example"));
            prop_assert_eq!(location.scheme_str(), Some(scheme.as_str()));
            prop_assert_eq!(location.query(), uri.query());
            let explicit = location.port_u16();
            prop_assert_eq!(explicit.unwrap_or(scheme.default_port()), came_by);
            prop_assert_eq!(explicit.is_none(), came_by == scheme.default_port());
            let rest = &path[prefix.trim_end_matches('/').len()..];
            prop_assert!(location.path().ends_with(rest), "{} {}", location, rest);
            prop_assert!(location.path().starts_with(replacement.trim_end_matches('/')));
        }
    }
}
