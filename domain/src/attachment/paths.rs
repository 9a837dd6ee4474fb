//! Paths of a Gateway's hostnames, as Cloudflare's dashboard shows them: regular expressions, the `path` of an
//! ingress rule.

use crate::edge::tunnel::{DashboardPaths, RULE_LIMIT};
use crate::gateway::{PathMatch, TextMatch};
use crate::names::Hostname;
use crate::route_table::RouteTable;

/// Bytes of a path that is shown. A longer one is not.
const LONGEST: usize = 255;

/// The paths of each hostname that routes name; at most [`RULE_LIMIT`], which are too many to be shown. What takes
/// every path of its hostname is not among them.
pub(super) fn of(table: &RouteTable) -> DashboardPaths {
    let mut paths = DashboardPaths::new();
    let mut found = 0;
    for (hostname, path) in named(table) {
        if found == RULE_LIMIT {
            break;
        }
        let is_new = paths.entry(hostname.clone()).or_default().insert(path);
        found += usize::from(is_new);
    }
    paths
}

/// Each path with its hostname, as often as routes name it.
fn named(table: &RouteTable) -> impl Iterator<Item = (&Hostname, String)> {
    let listeners = table.listeners.iter();
    let routes = listeners.flat_map(|listener| &listener.routes);
    routes.flat_map(|route| {
        let matches = route.rules.iter().flat_map(|rule| &rule.matches);
        let paths = matches.filter_map(|found| shown(&found.path));
        let paths = paths.filter(|path| path.len() <= LONGEST);
        paths.flat_map(|path| route.hostnames.iter().map(move |name| (name, path.clone())))
    })
}

/// `None` for what holds for every path.
fn shown(path: &PathMatch) -> Option<String> {
    let escaped = regex_syntax::escape;
    match path {
        PathMatch::Exact(path) => Some(format!("^{}$", escaped(path))),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            (!prefix.is_empty()).then(|| format!("^{}(/|$)", escaped(prefix)))
        }
        PathMatch::Regex(pattern) => Some(format!("^({})$", pattern.as_str())),
        PathMatch::Call(call) => {
            let text = |text: &Option<TextMatch>| match text {
                Some(TextMatch::Exact(text)) => escaped(text),
                Some(TextMatch::Regex(pattern)) => format!("({})", pattern.as_str()),
                None => "[^/]+".to_owned(),
            };
            let is_any = call.service.is_none() && call.method.is_none();
            (!is_any).then(|| format!("^/{}/{}$", text(&call.service), text(&call.method)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::tests::fixtures::*;
    use crate::gateway::{
        CallMatch, DashboardRules, GatewayParameters, OWN_GROUP, PARAMETERS_KIND, Pattern,
    };

    fn paths(rules: DashboardRules, number: usize) -> DashboardPaths {
        let target = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
        let gateway = gateway(EDGE)
            .listening(https("web"))
            .listening(https("other").named("*.example.com"));
        let parameters = GatewayParameters {
            dashboard_rules: Some(rules),
            ..parameters()
        };
        let route = http_route("shop/store").to(EDGE).named("app.example.com");
        let paths = (0..number).map(|n| PathMatch::Exact(format!("/{n}")));
        let exact = |length| PathMatch::Exact(format!("/{}", "a".repeat(length)));
        let anchors = "^/$".len();
        let (longest, too_long) = (exact(LONGEST - anchors), exact(LONGEST + 1 - anchors));
        let paths = paths.chain([PathMatch::Prefix("/".to_owned()), longest, too_long]);
        let route = paths.fold(route, |route, path| route.rule(rule(path)));
        let cluster = cluster()
            .with(gateway.parameters(target))
            .with(parameters)
            .with(route);
        resolved(&cluster).gateway(EDGE).paths.clone()
    }

    #[test]
    fn paths_are_shown_where_the_parameters_ask_for_them_up_to_a_limit() {
        for (rules, number, expected) in [
            (DashboardRules::Hostnames, 2, 0),
            (DashboardRules::HostnamesAndPaths, 2, 3),
            (
                DashboardRules::HostnamesAndPaths,
                RULE_LIMIT + 1,
                RULE_LIMIT,
            ),
        ] {
            let found = paths(rules, number);
            let count: usize = found.values().map(std::collections::BTreeSet::len).sum();
            assert_eq!(count, expected, "{rules:?} {number}");
            assert!(found.keys().all(|name| *name == host("app.example.com")));
        }
    }

    #[test]
    fn a_path_is_shown_as_the_regular_expression_that_it_means() {
        let exact = |text: &str| Some(TextMatch::Exact(text.to_owned()));
        let call = |service, method| PathMatch::Call(Box::new(CallMatch { service, method }));
        for (path, expected) in [
            (PathMatch::Prefix("/".to_owned()), None),
            (
                PathMatch::Prefix("/v1.2/".to_owned()),
                Some(r"^/v1\.2(/|$)"),
            ),
            (PathMatch::Exact("/".to_owned()), Some("^/$")),
            (PathMatch::Exact("/a+b".to_owned()), Some(r"^/a\+b$")),
            (
                PathMatch::Regex(Pattern::parse("/a|/b").unwrap()),
                Some("^(/a|/b)$"),
            ),
            (call(None, None), None),
            (call(exact("shop.Cart"), None), Some(r"^/shop\.Cart/[^/]+$")),
            (call(exact("shop"), exact("Add")), Some("^/shop/Add$")),
        ] {
            assert_eq!(shown(&path).as_deref(), expected, "{path:?}");
        }
    }
}
