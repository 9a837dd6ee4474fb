mod calls;
mod listeners;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{HeaderLookup, Matcher, RequestHead};
use crate::gateway::{
    BackendKind, COMPILATIONS, HeaderMatch, PathMatch, Pattern, Protocol, QueryMatch, RouteKind,
    RouteMatch, TextMatch,
};
use crate::names::{ObjectKey, Timestamp};
use crate::route_table::{
    BackendTarget, RouteTable, Scheme, TableBackend, TableListener, TableRoute, TableRule,
    UpstreamKey, UpstreamProtocol,
};

/// Headers of a test's request.
#[derive(Debug, Default)]
pub(super) struct Headers(Vec<(String, String)>);

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(headers.into_iter().map(owned).collect())
    }
}

impl HeaderLookup for Headers {
    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let values: Vec<&str> = self
            .0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(",").into_bytes()))
    }
}

pub(super) fn table(listeners: Vec<TableListener>) -> RouteTable {
    RouteTable {
        client_validation: Vec::new(),
        gateway: ObjectKey::new("default", "gateway"),
        listeners,
        upstreams: BTreeMap::new(),
    }
}

fn listener(hostname: &str, routes: Vec<TableRoute>) -> TableListener {
    TableListener {
        name: hostname.to_owned(),
        port: 443,
        protocol: Protocol::Https,
        hostname: (!hostname.is_empty()).then(|| hostname.parse().unwrap()),
        filters: Vec::new(),
        routes,
    }
}

fn route(name: &str, hostnames: &[&str], rules: Vec<Vec<RouteMatch>>) -> TableRoute {
    let rule = |matches| TableRule {
        matches,
        filters: Vec::new(),
        policy: Default::default(),
        backends: Vec::new(),
    };
    TableRoute {
        broader: None,
        key: ObjectKey::new("default", name),
        kind: RouteKind::Http,
        created: Timestamp(0),
        hostnames: hostnames.iter().map(|h| h.parse().unwrap()).collect(),
        rules: rules.into_iter().map(rule).collect(),
    }
}

fn path(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    }
}

fn exact(text: &str) -> RouteMatch {
    path(PathMatch::Exact(text.to_owned()))
}

fn prefix(text: &str) -> RouteMatch {
    path(PathMatch::Prefix(text.to_owned()))
}

fn regex(text: &str) -> RouteMatch {
    path(PathMatch::Regex(pattern(text)))
}

impl RouteMatch {
    fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    fn header(mut self, name: &str, value: TextMatch) -> Self {
        let name = name.to_owned();
        self.headers.push(HeaderMatch { name, value });
        self
    }

    fn query(mut self, name: &str, value: TextMatch) -> Self {
        let name = name.to_owned();
        self.query.push(QueryMatch { name, value });
        self
    }
}

fn is(text: &str) -> TextMatch {
    TextMatch::Exact(text.to_owned())
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn like(pattern: &str) -> TextMatch {
    TextMatch::Regex(self::pattern(pattern))
}

/// A request as one line, `GET host/path?query`, over HTTPS to port 443.
fn selected(matcher: &Matcher, request: &str, headers: &Headers) -> Option<String> {
    let (method, url) = request.split_once(' ').unwrap();
    let (host, path) = url.split_at(url.find('/').unwrap());
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let head = RequestHead {
        scheme: Scheme::Https,
        port: 443,
        host,
        method,
        path,
        query,
        headers,
    };
    let found = matcher.select(&head)?;
    let rule = found
        .route
        .rules
        .iter()
        .position(|rule| std::ptr::eq(rule, found.rule))
        .unwrap();
    Some(format!("{}#{rule}", found.route.key.name))
}

/// Asks a table of one listener for every hostname; expects `route#rule`, or `-` for a 404.
fn check(routes: Vec<TableRoute>, cases: &[(&str, &str)]) {
    check_listeners(vec![listener("", routes)], cases);
}

fn check_listeners(listeners: Vec<TableListener>, cases: &[(&str, &str)]) {
    let matcher = Matcher::new(Arc::new(table(listeners)));
    for (request, expected) in cases {
        let found = selected(&matcher, request, &Headers::default());
        assert_eq!(found.as_deref().unwrap_or("-"), *expected, "{request}");
    }
}

#[test]
fn a_prefix_takes_whole_segments_and_ignores_its_trailing_slash() {
    check(
        vec![route(
            "r",
            &[],
            vec![vec![prefix("/v2/")], vec![prefix("/v2/deep")]],
        )],
        &[
            ("GET a.test/v2", "r#0"),
            ("GET a.test/v2/", "r#0"),
            ("GET a.test/v2/x", "r#0"),
            ("GET a.test/v2example", "-"),
            ("GET a.test/v2/deep", "r#1"),
            ("GET a.test/v2/deeper", "r#0"),
            ("GET a.test/v2/deep/x", "r#1"),
            ("GET a.test/", "-"),
            ("GET a.test/V2", "-"),
        ],
    );
}

#[test]
fn a_path_is_compared_raw() {
    check(
        vec![route(
            "r",
            &[],
            vec![
                vec![exact("/a/b")],
                vec![exact("/a%2Fb")],
                vec![prefix("/x")],
            ],
        )],
        &[
            ("GET a.test/a/b", "r#0"),
            ("GET a.test/a%2Fb", "r#1"),
            ("GET a.test/a%2fb", "-"),
            ("GET a.test/a//b", "-"),
            ("GET a.test/y/../x", "-"),
            ("GET a.test/x/../y", "r#2"),
        ],
    );
}

#[test]
fn exact_beats_regular_expression_beats_longest_prefix() {
    check(
        vec![route(
            "r",
            &[],
            vec![
                vec![prefix("/")],
                vec![prefix("/one/two")],
                vec![regex("/one/.*")],
                vec![exact("/one/two")],
                vec![prefix("/two/three")],
                vec![prefix("/two")],
            ],
        )],
        &[
            ("GET a.test/one/two", "r#3"),
            ("GET a.test/one/two/", "r#2"),
            ("GET a.test/one", "r#0"),
            ("GET a.test/two/three/x", "r#4"),
            ("GET a.test/two/x", "r#5"),
        ],
    );
}

#[test]
fn a_regular_expression_holds_for_the_whole_text_only() {
    check(
        vec![route(
            "r",
            &[],
            vec![
                vec![regex("/a|/ab")],
                vec![regex("(?x) /x+ # a comment")],
                vec![regex("(?m)^/m$")],
            ],
        )],
        &[
            ("GET a.test/a", "r#0"),
            ("GET a.test/ab", "r#0"),
            ("GET a.test/abc", "-"),
            ("GET a.test/q/a", "-"),
            ("GET a.test/xx", "r#1"),
            ("GET a.test/m", "r#2"),
            ("GET a.test/m\nx", "-"),
        ],
    );
}

#[test]
fn a_pattern_is_compiled_once_however_many_rules_and_later_tables_have_it() {
    let of = |path: &str| {
        let rules = (0..10).map(|_| vec![regex(path).header("x", like("b+"))]);
        let routes = vec![route("r", &[], rules.collect())];
        Arc::new(table(vec![listener("", routes)]))
    };
    let mut matcher = None;
    for (given, path, expected) in [
        ("the first table", "/a+", 2),
        ("the same again", "/a+", 0),
        ("one with another path", "/a*/?a", 1),
        ("the first one, which is forgotten", "/a+", 1),
    ] {
        let table = of(path);
        let before = COMPILATIONS.get();
        let next = Matcher::following(matcher.as_ref(), table);
        assert_eq!(COMPILATIONS.get() - before, expected, "{given}");
        let headers = Headers::from_iter([("x", "bb")]);
        let found = selected(&next, "GET a.test/aa", &headers);
        assert_eq!(found.as_deref(), Some("r#0"), "{given}");
        matcher = Some(next);
    }
}

#[test]
fn after_the_path_come_method_headers_query_age_name_and_order() {
    let older = |mut route: TableRoute| {
        route.created = Timestamp(-1);
        route
    };
    let on = |path: &str| prefix(path);
    let x = || is("1");
    check(
        vec![
            route(
                "b",
                &[],
                vec![
                    vec![on("/m").query("q", x()).query("r", x())],
                    vec![on("/m").method("GET")],
                    vec![on("/same"), on("/same")],
                    vec![on("/same")],
                    vec![on("/age")],
                    vec![on("/one")],
                    vec![on("/one").query("q", x())],
                ],
            ),
            route("a", &[], vec![vec![on("/same")], vec![on("/age")]]),
            older(route("z", &[], vec![vec![on("/age")]])),
        ],
        &[
            ("GET a.test/m?q=1&r=1", "b#1"),
            ("POST a.test/m?q=1&r=1", "b#0"),
            ("HEAD a.test/m", "-"),
            ("GET a.test/same", "a#0"),
            ("GET a.test/age", "z#0"),
            ("GET a.test/one?q=1", "b#6"),
            ("GET a.test/one?q=2", "b#5"),
        ],
    );
}

#[test]
fn precedence_is_per_match_not_per_rule() {
    check(
        vec![route(
            "r",
            &[],
            vec![
                vec![prefix("/long/path"), prefix("/")],
                vec![prefix("/long")],
            ],
        )],
        &[
            ("GET a.test/long/path", "r#0"),
            ("GET a.test/long/other", "r#1"),
            ("GET a.test/other", "r#0"),
        ],
    );
}

#[test]
fn the_better_hostname_wins_and_the_next_one_takes_what_it_leaves() {
    check(
        vec![
            route("every", &[], vec![vec![prefix("/")]]),
            route("wide", &["*.test"], vec![vec![prefix("/wide")]]),
            route("narrow", &["*.a.test"], vec![vec![prefix("/narrow")]]),
            route("exact", &["b.a.test", "*.test"], vec![vec![prefix("/x")]]),
        ],
        &[
            ("GET b.a.test/x", "exact#0"),
            ("GET b.a.test/narrow", "narrow#0"),
            ("GET c.b.a.test/narrow", "narrow#0"),
            ("GET a.test/narrow", "every#0"),
            ("GET b.a.test/wide", "wide#0"),
            ("GET b.test/x", "exact#0"),
            ("GET test/wide", "every#0"),
            ("GET b.a.test/", "every#0"),
        ],
    );
}

#[test]
fn a_request_never_crosses_to_a_less_specific_listener() {
    let all = |name: &str, at: &str| route(name, &[], vec![vec![prefix(at)]]);
    check_listeners(
        vec![
            listener("", vec![all("empty", "/empty")]),
            listener("*.test", vec![all("wildcard", "/wildcard")]),
            listener("*.foo.test", vec![all("foo", "/foo")]),
            listener("abc.foo.test", vec![all("abc", "/abc")]),
        ],
        &[
            ("GET bar.com/empty", "empty#0"),
            ("GET bar.com/wildcard", "-"),
            ("GET bar.test/wildcard", "wildcard#0"),
            ("GET bar.test/empty", "-"),
            ("GET bar.foo.test/foo", "foo#0"),
            ("GET bar.foo.test/wildcard", "-"),
            ("GET abc.foo.test/abc", "abc#0"),
            ("GET abc.foo.test/foo", "-"),
            ("GET foo.test/wildcard", "wildcard#0"),
        ],
    );
}

#[test]
fn scheme_and_port_must_be_the_listeners() {
    let at = |port, protocol| TableListener {
        port,
        protocol,
        ..listener("", vec![route("r", &[], vec![vec![prefix("/")]])])
    };
    let matcher = Matcher::new(Arc::new(table(vec![
        at(443, Protocol::Https),
        at(80, Protocol::Http),
        at(9000, Protocol::Other("TCP".into())),
    ])));
    for (scheme, port, expected) in [
        (Scheme::Https, 443, Some(0)),
        (Scheme::Http, 80, Some(1)),
        (Scheme::Http, 443, None),
        (Scheme::Https, 8443, None),
        (Scheme::Http, 9000, None),
    ] {
        let head = RequestHead {
            scheme,
            port,
            host: "a.test",
            method: "GET",
            path: "/",
            query: None,
            headers: &Headers::default(),
        };
        let found = matcher.select(&head).map(|found| found.rule_index);
        assert_eq!(found, expected, "{scheme:?} {port}");
    }
    assert_eq!(matcher.rule_count(), 3);
}

#[test]
fn headers_are_joined_all_must_hold_and_more_of_them_win() {
    let matcher = Matcher::new(Arc::new(table(vec![listener(
        "",
        vec![route(
            "r",
            &[],
            vec![
                vec![prefix("/").header("version", is("two"))],
                vec![
                    prefix("/")
                        .header("version", is("two"))
                        .header("color", is("blue")),
                ],
                vec![prefix("/").header("color", like("r(ed)?,.*"))],
            ],
        )],
    )])));
    for (headers, expected) in [
        (vec![("version", "two")], Some("r#0")),
        (vec![("version", "TWO")], None),
        (vec![("version", "two"), ("color", "blue")], Some("r#1")),
        (vec![("version", "two"), ("version", "three")], None),
        (vec![("color", "red"), ("color", "blue")], Some("r#2")),
        (vec![("color", "red")], None),
        (vec![], None),
    ] {
        let found = selected(
            &matcher,
            "GET a.test/",
            &Headers::from_iter(headers.clone()),
        );
        assert_eq!(found.as_deref(), expected, "{headers:?}");
    }
}

#[test]
fn query_parameters_are_decoded_and_the_first_of_a_name_counts() {
    check(
        vec![route(
            "r",
            &[],
            vec![
                vec![prefix("/a").query("animal", is("blue whale"))],
                vec![prefix("/b").query("animal", like("w.+e"))],
                vec![prefix("/c").query("é", is(""))],
                vec![prefix("/d").query("p", is("100%"))],
                vec![prefix("/e").query("animal", like(".*whale"))],
            ],
        )],
        &[
            ("GET a.test/a?animal=blue+whale", "r#0"),
            ("GET a.test/a?animal=blue%20whale", "r#0"),
            ("GET a.test/a?%61nimal=blue%20whale", "r#0"),
            ("GET a.test/a?Animal=blue+whale", "-"),
            ("GET a.test/a?animal=Blue+whale", "-"),
            ("GET a.test/a?x&&animal=blue+whale&animal=dog", "r#0"),
            ("GET a.test/a?animal=dog&animal=blue+whale", "-"),
            ("GET a.test/a", "-"),
            ("GET a.test/b?animal=whal%65", "r#1"),
            ("GET a.test/b?animal=%ff", "-"),
            ("GET a.test/b?animal=a+whale", "-"),
            ("GET a.test/c?%C3%A9", "r#2"),
            ("GET a.test/c?%c3%a9=", "r#2"),
            ("GET a.test/d?p=100%", "r#3"),
            ("GET a.test/d?p=100%25", "r#3"),
            ("GET a.test/e?animal=%c3%a9whale", "r#4"),
            ("GET a.test/e?animal=%ffwhale", "r#4"),
        ],
    );
}

#[test]
fn a_rule_with_no_match_left_takes_nothing() {
    check(
        vec![route("r", &[], vec![vec![], vec![prefix("/")]])],
        &[("GET a.test/", "r#1")],
    );
}

#[test]
fn backends_share_by_weight_and_an_invalid_one_keeps_its_share() {
    let upstream = |name: &str| {
        BackendTarget::Upstream(UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("default", name),
            port: 80,
            protocol: UpstreamProtocol::Http1,
        })
    };
    let shares = |weights: &[(u32, BackendTarget)], rolls: u64| {
        let mut with_backends = route("r", &[], vec![vec![prefix("/")]]);
        with_backends.rules[0].backends = weights
            .iter()
            .cloned()
            .map(|(weight, target)| TableBackend {
                weight,
                target,
                filters: vec![],
            })
            .collect();
        let matcher = Matcher::new(Arc::new(table(vec![listener("", vec![with_backends])])));
        let headers = Headers::default();
        let head = RequestHead {
            scheme: Scheme::Https,
            port: 443,
            host: "a.test",
            method: "GET",
            path: "/",
            query: None,
            headers: &headers,
        };
        let found = matcher.select(&head).unwrap();
        weights
            .iter()
            .map(|(_, target)| {
                let hits = (0..rolls).filter(|dice| found.backend(*dice) == Some(target));
                hits.count()
            })
            .collect::<Vec<_>>()
    };
    let (a, b, invalid) = (upstream("a"), upstream("b"), BackendTarget::Invalid);
    assert_eq!(
        shares(
            &[
                (0, b.clone()),
                (7, a.clone()),
                (0, upstream("c")),
                (3, invalid.clone())
            ],
            100
        ),
        [0, 70, 0, 30]
    );
    assert_eq!(shares(&[(0, a.clone()), (0, b)], 10), [0, 0]);
    assert_eq!(shares(&[], 10), [0; 0]);
    assert_eq!(shares(&[(1_000_000, a)], u64::from(u8::MAX)), [255]);
}

#[test]
fn long_hosts_and_paths_are_no_burden() {
    let matcher = Matcher::new(Arc::new(table(vec![listener(
        "",
        vec![route("r", &["*.a.test"], vec![vec![prefix("/a")]])],
    )])));
    let request = format!("GET {}a.test/a{}", "a.".repeat(50_000), "/".repeat(50_000));
    let found = selected(&matcher, &request, &Headers::default());
    assert_eq!(found.as_deref(), Some("r#0"));
}
