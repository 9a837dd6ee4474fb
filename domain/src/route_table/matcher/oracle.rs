//! The same answer, found slowly: the Gateway API's sentences one after the other over the plain table.
//! Shares no code with the index. The property below holds the two against each other on tables and
//! requests from a small alphabet, where nearly everything collides.

use std::cmp::Reverse;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use regex::Regex;

use super::tests::{Headers, pattern, table};
use super::{HeaderLookup, Matcher, RequestHead};
use crate::gateway::{
    CallMatch, HeaderMatch, PathMatch, Protocol, QueryMatch, RouteKind, RouteMatch, TextMatch,
};
use crate::names::{Hostname, ObjectKey, Timestamp};
use crate::route_table::{RouteTable, Scheme, TableListener, TableRoute, TableRule};

/// Listener, route, rule and match, by position.
type Position = (usize, usize, usize, usize);

fn oracle<H: HeaderLookup>(table: &RouteTable, head: &RequestHead<'_, H>) -> Option<Position> {
    // "Requests are matched to the most specific listener, and only to routes attached to it."
    let l = (0..table.listeners.len())
        .filter(|l| takes(&table.listeners[*l], head))
        .min_by_key(|l| Reverse(specificity(table.listeners[*l].hostname.as_ref())))?;
    let listener = &table.listeners[l];
    let mut holding = Vec::new();
    for (r, route) in listener.routes.iter().enumerate() {
        // "If no hostname is specified, the listener's is used."
        let hostnames: Vec<Option<&Hostname>> = match route.hostnames.as_slice() {
            [] => vec![listener.hostname.as_ref()],
            written => written.iter().map(Some).collect(),
        };
        let best = hostnames
            .into_iter()
            .filter(|name| covers(*name, head.host))
            .map(|name| (specificity(name), own_characters(name, route, listener)))
            .max();
        let Some(hostname) = best else { continue };
        for (k, rule) in route.rules.iter().enumerate() {
            for (m, written) in rule.matches.iter().enumerate() {
                if holds(written, head) {
                    holding.push((rank(hostname, route, written), (l, r, k, m)));
                }
            }
        }
    }
    holding.into_iter().min().map(|(_, position)| position)
}

/// "Precedence is given to the largest number of: characters in a matching non-wildcard hostname,
/// characters in a matching hostname; Exact path, [RegularExpression,] Prefix path with the largest number
/// of characters; method match; header matches; query param matches. Then the oldest route by creation
/// timestamp, then alphabetical order of namespace/name." Of a GRPCRoute: "characters in a matching
/// service; characters in a matching method; header matches."
fn rank(
    hostname: ((bool, usize), u8),
    route: &TableRoute,
    written: &RouteMatch,
) -> impl Ord + use<> {
    let path = match &written.path {
        PathMatch::Exact(_) => (2, 0),
        PathMatch::Regex(_) => (1, 0),
        PathMatch::Prefix(prefix) => (0, prefix.strip_suffix('/').unwrap_or(prefix).len()),
        PathMatch::Call(_) => (0, 0),
    };
    let length = |part: &Option<TextMatch>| match part {
        Some(TextMatch::Exact(name)) => name.len(),
        Some(TextMatch::Regex(pattern)) => pattern.as_str().len(),
        None => 0,
    };
    let call = match &written.path {
        PathMatch::Call(call) => (length(&call.service), length(&call.method)),
        _ => (0, 0),
    };
    (
        Reverse(hostname),
        Reverse(call),
        Reverse(path),
        Reverse(written.method.is_some()),
        Reverse(written.headers.len()),
        Reverse(written.query.len()),
        route.created,
        route.key.clone(),
    )
}

/// "Precedence by original route hostname specificity rather than the calculated hostname intersection", where that is
/// the listener's hostname.
fn own_characters(name: Option<&Hostname>, route: &TableRoute, listener: &TableListener) -> u8 {
    let is_listeners = name == listener.hostname.as_ref();
    route.broader.filter(|_| is_listeners).unwrap_or(u8::MAX)
}

fn takes<H>(listener: &TableListener, head: &RequestHead<'_, H>) -> bool {
    let scheme = match head.scheme {
        Scheme::Http => Protocol::Http,
        Scheme::Https => Protocol::Https,
    };
    listener.protocol == scheme
        && listener.port == head.port
        && covers(listener.hostname.as_ref(), head.host)
}

fn covers(hostname: Option<&Hostname>, host: &str) -> bool {
    hostname.is_none_or(|hostname| hostname.covers_host(host))
}

fn specificity(hostname: Option<&Hostname>) -> (bool, usize) {
    hostname.map_or((false, 0), Hostname::specificity)
}

fn holds<H: HeaderLookup>(written: &RouteMatch, head: &RequestHead<'_, H>) -> bool {
    let path = match &written.path {
        PathMatch::Exact(path) => path == head.path,
        PathMatch::Regex(pattern) => whole(pattern.as_str(), head.path),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            head.path == prefix || head.path.starts_with(&format!("{prefix}/"))
        }
        PathMatch::Call(call) => calls(call, head.path),
    };
    path && written.method.as_deref().is_none_or(|m| m == head.method)
        && written.headers.iter().all(|header| {
            let value = head.headers.joined(&header.name);
            value.is_some_and(|value| text(&header.value, &String::from_utf8_lossy(&value)))
        })
        && written.query.iter().all(|wanted| {
            parameters(head.query.unwrap_or(""))
                .into_iter()
                .find(|(name, _)| *name == wanted.name)
                .is_some_and(|(_, value)| text(&wanted.value, &value))
        })
}

/// "Value of the service (method) to match against. If left empty or omitted, will match any."
fn calls(wanted: &CallMatch, path: &str) -> bool {
    if *wanted == CallMatch::default() {
        return true;
    }
    let segments: Vec<&str> = path.split('/').collect();
    let ["", service @ .., method] = segments.as_slice() else {
        return false;
    };
    let service = service.join("/");
    let part = |wanted: &Option<TextMatch>, value: &str| {
        !value.is_empty() && wanted.as_ref().is_none_or(|wanted| text(wanted, value))
    };
    part(&wanted.service, &service) && part(&wanted.method, method)
}

fn text(wanted: &TextMatch, value: &str) -> bool {
    match wanted {
        TextMatch::Exact(text) => text == value,
        TextMatch::Regex(pattern) => whole(pattern.as_str(), value),
    }
}

fn whole(pattern: &str, value: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(value))
}

fn parameters(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let decode = |raw: &str| {
                raw.replace("%20", " ")
                    .replace('+', " ")
                    .replace("%71", "q")
            };
            (decode(name), decode(value))
        })
        .collect()
}

const HOSTNAMES: [&str; 6] = [
    "a.test",
    "b.a.test",
    "*.test",
    "*.a.test",
    "*.b.a.test",
    "other",
];
/// Of GRPCRoutes beside HTTPRoutes: the two kinds share no host of a listener.
const HOSTNAMES_APART: [&str; 4] = ["a.grpc", "*.grpc", "*.a.grpc", "b.a.grpc"];
const HOSTS: [&str; 9] = [
    "a.grpc",
    "b.a.grpc",
    "a.test",
    "b.a.test",
    "c.b.a.test",
    "test",
    ".test",
    "other",
    "x.test",
];
const PATHS: [&str; 14] = [
    "/a/a", "/ab/a", "/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/b", "//", "/a//b", "/a/b/a",
    "/b/a", "/%61",
];
const PATTERNS: [&str; 5] = ["/a.*", "/(a|b)", "/a|/a/b", "/[ab]/.*", ".*"];

const NAMES: [&str; 5] = ["a", "b", "ab", "b/a", "a/"];
const NAME_PATTERNS: [&str; 6] = ["a|b", "[ab]+", ".*", "a/?b?", "b", "(a|b)/.?"];

fn hostname() -> impl Strategy<Value = Option<Hostname>> {
    prop::option::weighted(0.8, select(&HOSTNAMES[..]).prop_map(|h| h.parse().unwrap()))
}

/// Also none.
fn hostnames() -> impl Strategy<Value = Vec<Hostname>> {
    prop::collection::vec(hostname(), 0..3).prop_map(|names| names.into_iter().flatten().collect())
}

fn hostnames_among(names: &'static [&'static str]) -> impl Strategy<Value = Vec<Hostname>> {
    prop::collection::vec(select(names).prop_map(|h| h.parse().unwrap()), 1..3)
}

fn calls_asked_for() -> impl Strategy<Value = PathMatch> {
    let part = || {
        prop::option::weighted(
            0.7,
            prop_oneof![
                2 => select(&NAMES[..]).prop_map(|name| TextMatch::Exact(name.to_owned())),
                1 => select(&NAME_PATTERNS[..]).prop_map(|p| TextMatch::Regex(pattern(p))),
            ],
        )
    };
    (part(), part())
        .prop_map(|(service, method)| PathMatch::Call(Box::new(CallMatch { service, method })))
}

fn paths() -> impl Strategy<Value = PathMatch> {
    let text = || select(&PATHS[..]).prop_map(str::to_owned);
    prop_oneof![
        2 => text().prop_map(PathMatch::Exact),
        4 => text().prop_map(PathMatch::Prefix),
        1 => select(&PATTERNS[..]).prop_map(|p| PathMatch::Regex(pattern(p))),
    ]
}

fn texts() -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        4 => select(&["1", "2", "1,2", "a b", ""][..]).prop_map(|t| TextMatch::Exact(t.to_owned())),
        1 => select(&["[12]", "1.*", "a b|2"][..]).prop_map(|t| TextMatch::Regex(pattern(t))),
    ]
}

fn matches(kind: RouteKind) -> impl Strategy<Value = RouteMatch> {
    let paths = match kind {
        RouteKind::Http => paths().boxed(),
        RouteKind::Grpc => calls_asked_for().boxed(),
    };
    let headers = (subsequence(vec!["x", "y"], 0..=2), texts()).prop_map(|(names, value)| {
        let header = |name: &str| HeaderMatch {
            name: name.to_owned(),
            value: value.clone(),
        };
        names.into_iter().map(header).collect()
    });
    let query = (subsequence(vec!["q", "Q"], 0..=2), texts()).prop_map(|(names, value)| {
        let parameter = |name: &str| QueryMatch {
            name: name.to_owned(),
            value: value.clone(),
        };
        names.into_iter().map(parameter).collect()
    });
    let method = prop::option::weighted(0.3, select(&["GET", "POST"][..]).prop_map(str::to_owned));
    // A GRPCRoute asks for neither.
    let (method, query) = match kind {
        RouteKind::Http => (method.boxed(), query.boxed()),
        RouteKind::Grpc => (Just(None).boxed(), Just(Vec::new()).boxed()),
    };
    (paths, method, headers, query).prop_map(|(path, method, headers, query)| RouteMatch {
        path,
        method,
        headers,
        query,
    })
}

fn routes(
    kind: RouteKind,
    hostnames: impl Strategy<Value = Vec<Hostname>>,
) -> impl Strategy<Value = Vec<TableRoute>> {
    let rule = prop::collection::vec(matches(kind), 0..4).prop_map(|matches| TableRule {
        matches,
        filters: Vec::new(),
        policy: Default::default(),
        backends: Vec::new(),
    });
    let route = (
        select(&["a", "b", "c"][..]),
        select(&["a", "b"][..]),
        0..2_i64,
        hostnames,
        prop::collection::vec(rule, 0..4),
    )
        .prop_map(
            move |(namespace, name, created, hostnames, rules)| TableRoute {
                key: ObjectKey::new(namespace, name),
                kind,
                created: Timestamp(created),
                hostnames,
                broader: None,
                rules,
            },
        );
    prop::collection::vec(route, 0..5)
}

/// Routes that can be on one listener.
fn attached() -> impl Strategy<Value = Vec<TableRoute>> {
    use RouteKind::{Grpc, Http};
    let apart = (
        routes(Http, hostnames_among(&HOSTNAMES)),
        routes(Grpc, hostnames_among(&HOSTNAMES_APART)),
    );
    prop_oneof![
        2 => routes(Http, hostnames()),
        2 => routes(Grpc, hostnames()),
        1 => apart.prop_map(|(http, grpc)| grpc.into_iter().chain(http).collect()),
    ]
}

/// Routes of one kind as they are attached to a listener with a hostname: what lies outside of it is left out, and some of
/// them have a broader hostname of their own.
fn within(listener: Option<&Hostname>, mut routes: Vec<TableRoute>) -> Vec<TableRoute> {
    let is_mixed = routes.iter().any(|route| route.kind != routes[0].kind);
    let Some(listener) = listener.filter(|_| !is_mixed) else {
        return routes;
    };
    for route in &mut routes {
        let is_within = |name: &Hostname| listener.intersection(name).as_ref() == Some(name);
        route.hostnames.retain(is_within);
        let has_listeners = route.hostnames.is_empty() || route.hostnames.contains(listener);
        route.broader = match route.key.namespace.as_str() {
            "a" if has_listeners => Some(0),
            "b" if has_listeners => Some(6),
            _ => None,
        };
    }
    routes
}

fn tables() -> impl Strategy<Value = RouteTable> {
    let protocols = [
        Protocol::Http,
        Protocol::Https,
        Protocol::Other("TCP".into()),
    ];
    let listener = (
        select(vec![80_u16, 80, 443]),
        prop::sample::select(protocols.to_vec()),
        hostname(),
        attached(),
    )
        .prop_map(|(port, protocol, hostname, routes)| TableListener {
            name: "l".into(),
            port,
            protocol,
            filters: Vec::new(),
            routes: within(hostname.as_ref(), routes),
            hostname,
        });
    prop::collection::vec(listener, 1..5).prop_map(table)
}

#[derive(Debug)]
struct Request {
    scheme: Scheme,
    port: u16,
    host: &'static str,
    method: &'static str,
    path: &'static str,
    query: Option<String>,
    headers: Headers,
}

fn requests() -> impl Strategy<Value = Request> {
    let pieces = vec![
        "q=1", "q=2", "Q=1", "q=a%20b", "Q=a+b", "%71=1", "q", "", "z=1",
    ];
    let headers = prop::collection::vec(
        (select(&["x", "y"][..]), select(&["1", "2", "a b", ""][..])),
        0..4,
    );
    (
        select(vec![Scheme::Http, Scheme::Https]),
        select(vec![80_u16, 80, 443]),
        select(&HOSTS[..]),
        select(&["GET", "POST", "HEAD"][..]),
        select(&PATHS[..]),
        prop::option::of(prop::collection::vec(select(pieces), 0..4).prop_map(|p| p.join("&"))),
        headers.prop_map(Headers::from_iter),
    )
        .prop_map(
            |(scheme, port, host, method, path, query, headers)| Request {
                scheme,
                port,
                host,
                method,
                path,
                query,
                headers,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_answers_as_the_words_of_the_specification_do(
        table in tables(),
        requests in prop::collection::vec(requests(), 1..20),
    ) {
        let table = Arc::new(table);
        let matcher = Matcher::new(Arc::clone(&table));
        for request in &requests {
            let head = RequestHead {
                scheme: request.scheme,
                port: request.port,
                host: request.host,
                method: request.method,
                path: request.path,
                query: request.query.as_deref(),
                headers: &request.headers,
            };
            let expected = oracle(&table, &head).map(|(l, r, k, m)| {
                let route = &table.listeners[l].routes[r];
                (route, &route.rules[k], &route.rules[k].matches[m])
            });
            let found = matcher.select(&head);
            match (expected, found) {
                (None, None) => {}
                (Some((route, rule, matched)), Some(found)) => {
                    prop_assert!(std::ptr::eq(route, found.route), "{request:?}");
                    prop_assert!(std::ptr::eq(rule, found.rule), "{request:?}");
                    prop_assert!(std::ptr::eq(matched, found.matched), "{request:?}");
                    prop_assert!(found.rule_index < matcher.rule_count());
                }
                (expected, found) => prop_assert!(
                    false, "{request:?}: expected {expected:?}, found {found:?}"
                ),
            }
        }
    }
}
