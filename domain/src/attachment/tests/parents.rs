use super::fixtures::*;
use crate::gateway::{
    AllowedKind, AllowedNamespaces, COMPILATIONS, FieldErrorKind, Filter, HttpPathModifier,
    LabelSelector, ParentRef, PathMatch, Pattern, PatternRoom, Redirect, Route, RouteKind, Rule,
    SelectorRule,
};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// Two listeners: `web` on 443 for `*.example.com`, `plain` on 80 for every name.
fn two_listeners() -> ClusterSnapshot {
    let edge = gateway(EDGE)
        .listening(https("web").named("*.example.com"))
        .listening(http("plain"));
    cluster().with(edge)
}

fn with_port(section: Option<&str>, port: u16) -> ParentRef {
    ParentRef {
        section: section.map(str::to_owned),
        port: Some(port),
        ..parent(EDGE)
    }
}

fn listeners_of(cluster: &ClusterSnapshot) -> Vec<String> {
    resolved(cluster).parents("shop/store")[0].listeners.clone()
}

#[test]
fn a_parent_ref_names_listeners_by_section_and_port_and_both_must_agree() {
    let route = || http_route("shop/store");
    let table: Vec<(&str, Route, &[&str])> = vec![
        ("neither", route().to(EDGE), &["web", "plain"]),
        ("a section", route().to_section(EDGE, "web"), &["web"]),
        ("a port", route().through(with_port(None, 80)), &["plain"]),
        (
            "both",
            route().through(with_port(Some("web"), 443)),
            &["web"],
        ),
        ("no such section", route().to_section(EDGE, "none"), &[]),
        ("no such port", route().through(with_port(None, 81)), &[]),
        (
            "a section on another port",
            route().through(with_port(Some("web"), 80)),
            &[],
        ),
    ];
    for (given, route, expected) in table {
        let cluster = two_listeners().with(route);
        assert_eq!(listeners_of(&cluster), expected, "{given}");
        let reason = resolved(&cluster)
            .refused("shop/store")
            .map(|(reason, _)| reason);
        let refused = expected.is_empty().then_some(Reason::NoMatchingParent);
        assert_eq!(reason, refused, "{given}");
    }
}

#[test]
fn a_refusal_to_match_names_what_was_asked_for_and_what_is_there() {
    let route = http_route("shop/store").to_section(EDGE, "none");
    let refused = resolved(&two_listeners().with(route)).refused("shop/store");
    let words: Words = &[
        "HTTPRoute shop/store",
        "spec.parentRefs",
        "Gateway shop/edge",
        "sectionName none",
        "web:443, plain:80",
    ];
    assert_verdict("message", refused, Some((Reason::NoMatchingParent, words)));
}

#[test]
fn parents_that_are_no_gateway_of_ours_are_passed_over() {
    let other_kind = ParentRef {
        target: object("", "Service", EDGE),
        ..parent(EDGE)
    };
    let other_group = ParentRef {
        target: object("example.com", "Gateway", EDGE),
        ..parent(EDGE)
    };
    let route = http_route("shop/store")
        .through(other_kind)
        .through(other_group)
        .to("shop/none")
        .to(EDGE);
    let resolution = resolved(&shop().with(route));
    let parents = resolution.parents("shop/store");
    assert_eq!(parents.len(), 1);
    assert_eq!(parents[0].parent, parent(EDGE));
}

#[test]
fn every_parent_ref_gets_its_own_entry_in_the_order_written() {
    let route = http_route("shop/store")
        .to_section(EDGE, "plain")
        .to_section(EDGE, "none")
        .to_section(EDGE, "web");
    let resolution = resolved(&two_listeners().with(route));
    let entries: Vec<(Option<&str>, bool)> = resolution
        .parents("shop/store")
        .iter()
        .map(|p| (p.parent.section.as_deref(), p.refusal.is_none()))
        .collect();
    assert_eq!(
        entries,
        [
            (Some("plain"), true),
            (Some("none"), false),
            (Some("web"), true)
        ]
    );
}

fn selecting(label: &str, value: &str) -> AllowedNamespaces {
    AllowedNamespaces::Selector(LabelSelector {
        rules: vec![SelectorRule::In(label.to_owned(), vec![value.to_owned()])],
    })
}

#[test]
fn a_listener_lets_in_the_namespaces_that_it_allows() {
    let team = [("team", "shop")];
    let refused: Option<Words> = Some(&["listener web", "allowedRoutes.namespaces"]);
    let table: Vec<(&str, AllowedNamespaces, &str, Option<Words>)> = vec![
        ("Same, its own", AllowedNamespaces::Same, "shop/store", None),
        (
            "Same, another",
            AllowedNamespaces::Same,
            "apps/store",
            refused,
        ),
        ("All, another", AllowedNamespaces::All, "apps/store", None),
        (
            "None, its own",
            AllowedNamespaces::None,
            "shop/store",
            refused,
        ),
        (
            "Selector, labels fit",
            selecting("team", "shop"),
            "apps/store",
            None,
        ),
        (
            "Selector, labels do not fit",
            selecting("team", "other"),
            "apps/store",
            refused,
        ),
        (
            "Selector, own namespace does not fit",
            selecting("team", "x"),
            "shop/store",
            refused,
        ),
        (
            "Selector, namespace not there",
            selecting("team", "shop"),
            "gone/store",
            Some(&["there is no Namespace gone"]),
        ),
    ];
    for (given, namespaces, route, words) in table {
        let resolution = resolved(
            &cluster()
                .with(gateway(EDGE).listening(https("web").open_to(namespaces)))
                .with(namespace("apps", &team))
                .with(namespace("shop", &[]))
                .with(http_route(route).to(EDGE)),
        );
        let expected = words.map(|words| (Reason::NotAllowedByListeners, words));
        assert_verdict(given, resolution.refused(route), expected);
    }
}

#[test]
fn a_listener_takes_the_kinds_that_it_allows() {
    let grpc_only = https("web").taking(AllowedKind::Route(RouteKind::Grpc));
    let resolution = resolved(
        &cluster()
            .with(gateway(EDGE).listening(grpc_only))
            .with(http_route("shop/http").to(EDGE))
            .with(grpc_route("shop/grpc").to(EDGE)),
    );
    let words: Words = &["listener web", "HTTPRoute", "allowedRoutes.kinds"];
    let refused = Some((Reason::NotAllowedByListeners, words));
    assert_verdict("HTTPRoute", resolution.refused("shop/http"), refused);
    assert_verdict("GRPCRoute", resolution.refused("shop/grpc"), None);
}

#[test]
fn effective_hostnames_are_what_listener_and_route_have_in_common() {
    type Names<'a> = &'a [&'a str];
    let table: Vec<(&str, Option<&str>, Names<'_>, Option<Names<'_>>)> = vec![
        ("neither names any", None, &[], Some(&[])),
        (
            "only the route",
            None,
            &["b.org", "a.org", "b.org"],
            Some(&["a.org", "b.org"]),
        ),
        (
            "only the listener",
            Some("*.a.org"),
            &[],
            Some(&["*.a.org"]),
        ),
        ("the same", Some("a.org"), &["a.org"], Some(&["a.org"])),
        (
            "route within",
            Some("*.a.org"),
            &["x.y.a.org"],
            Some(&["x.y.a.org"]),
        ),
        (
            "listener within",
            Some("x.a.org"),
            &["*.a.org"],
            Some(&["x.a.org"]),
        ),
        (
            "others are left out",
            Some("*.a.org"),
            &["x.a.org", "b.org"],
            Some(&["x.a.org"]),
        ),
        (
            "a wildcard never covers the apex",
            Some("*.a.org"),
            &["a.org"],
            None,
        ),
        ("nothing in common", Some("a.org"), &["b.org"], None),
    ];
    for (given, listener, names, expected) in table {
        let mut web = https("web");
        web.hostname = listener.map(host);
        let route = names
            .iter()
            .fold(http_route("shop/store").to(EDGE), |r, name| r.named(name));
        let resolution = resolved(&cluster().with(gateway(EDGE).listening(web)).with(route));
        let refused = expected.is_none().then_some((
            Reason::NoMatchingListenerHostname,
            &["HTTPRoute shop/store", "spec.hostnames"][..],
        ));
        assert_verdict(given, resolution.refused("shop/store"), refused);
        let hostnames: Vec<_> = expected
            .unwrap_or(&[])
            .iter()
            .map(|name| host(name))
            .collect();
        assert_eq!(
            resolution.parents("shop/store")[0].hostnames,
            hostnames,
            "{given}"
        );
    }
}

#[test]
fn the_earliest_obstacle_is_the_reason() {
    let flawed = || {
        http_route("apps/store")
            .named("b.org")
            .flawed("spec.rules[0].retry", FieldErrorKind::Unsupported)
    };
    let closed = https("web").named("a.org");
    let open = https("web").named("a.org").open_to(AllowedNamespaces::All);
    let wide = https("web").open_to(AllowedNamespaces::All);
    let table = [
        (
            closed.clone(),
            flawed().to_section(EDGE, "none"),
            Reason::NoMatchingParent,
        ),
        (closed, flawed().to(EDGE), Reason::NotAllowedByListeners),
        (open, flawed().to(EDGE), Reason::NoMatchingListenerHostname),
        (wide, flawed().to(EDGE), Reason::UnsupportedValue),
    ];
    for (listener, route, expected) in table {
        let resolution = resolved(
            &cluster()
                .with(gateway(EDGE).listening(listener))
                .with(route),
        );
        let refused = resolution.refused("apps/store").map(|(reason, _)| reason);
        assert_eq!(refused, Some(expected));
    }
}

fn redirecting(path: HttpPathModifier) -> Filter {
    Filter::Redirect(Redirect {
        scheme: None,
        hostname: None,
        path: Some(path),
        port: None,
        status: 302,
    })
}

#[test]
fn a_route_with_anything_that_cannot_be_served_is_refused_and_every_field_named() {
    let route = || http_route("shop/store").to(EDGE);
    let only = |rule| Route {
        rules: vec![rule],
        ..route()
    };
    let prefix = || PathMatch::Prefix("/a".to_owned());
    let replace = || redirecting(HttpPathModifier::Prefix("/b".to_owned()));
    let both = Rule {
        matches: vec![path_match(prefix()), path_match(prefix())],
        ..rule(prefix())
    };
    let exact = rule(PathMatch::Exact("/a".to_owned()));
    let table: Vec<(&str, Route, Option<Words>)> = vec![
        (
            "fields not served and malformed",
            route()
                .flawed("spec.rules[1].timeouts", FieldErrorKind::Unsupported)
                .flawed("spec.hostnames[0]", FieldErrorKind::Invalid),
            Some(&[
                "HTTPRoute shop/store",
                "spec.rules[1].timeouts",
                "spec.hostnames[0]",
            ]),
        ),
        (
            "a hostname below a reserved name beside one that is not",
            route()
                .named("app.example.com")
                .named("note.certificates.invalid"),
            Some(&[
                "spec.hostnames: Invalid value: note.certificates.invalid",
                "reserved",
                "use a hostname of a zone",
            ]),
        ),
        (
            "a replaced prefix where a prefix is matched",
            route().rule(rule(prefix())).filter(replace()),
            None,
        ),
        (
            "a replaced prefix where the whole path is matched",
            only(exact.clone()).filter(replace()),
            Some(&["spec.rules[0].filters.requestRedirect.path", "PathPrefix"]),
        ),
        (
            "a replaced prefix where two are matched",
            only(both).filter(replace()),
            Some(&["spec.rules[0].filters.requestRedirect.path"]),
        ),
        (
            "a whole path replaced",
            route()
                .rule(exact)
                .filter(redirecting(HttpPathModifier::Full("/b".to_owned()))),
            None,
        ),
    ];
    for (given, route, words) in table {
        let resolution = resolved(&shop().with(route));
        let expected = words.map(|words| (Reason::UnsupportedValue, words));
        assert_verdict(given, resolution.refused("shop/store"), expected);
        let count = u32::from(words.is_none());
        assert_eq!(attached_routes(&resolution, "web"), count, "{given}");
    }
}

#[test]
fn patterns_are_not_compiled_again_when_routes_are_looked_at() {
    let like = |text: &str| rule(PathMatch::Regex(Pattern::parse(text).unwrap()));
    let cluster = (0..20).fold(shop(), |cluster, n| {
        let route = http_route(&format!("shop/r{n}")).to(EDGE);
        cluster.with(route.rule(like(&format!("/r{n}/[0-9]+"))))
    });
    let before = COMPILATIONS.get();
    let resolution = resolved(&cluster);
    assert_eq!(attached_routes(&resolution, "web"), 20);
    assert_eq!(COMPILATIONS.get() - before, 0);
}

#[test]
fn beyond_what_a_gateway_has_room_for_the_older_routes_keep_their_patterns() {
    let with = |name: &str, kib: usize| {
        let mut route = http_route(name).to(EDGE).to(EDGE);
        route.pattern_room = PatternRoom(kib * 1024);
        route
    };
    type Case<'a> = (&'a str, Vec<Route>, &'a [&'a str]);
    let table: Vec<Case<'_>> = vec![
        ("one that fills it", vec![with("shop/a", 8 * 1024)], &[]),
        (
            "one that is larger",
            vec![with("shop/a", 8 * 1024 + 1)],
            &["shop/a"],
        ),
        (
            "the youngest is one too many",
            vec![
                with("shop/a", 4 * 1024).born(3),
                with("shop/b", 4 * 1024).born(2),
                with("shop/c", 4 * 1024).born(1),
            ],
            &["shop/a"],
        ),
        (
            "of one age the last by name, and a smaller one still fits",
            vec![
                with("shop/a", 5 * 1024),
                with("shop/b", 4 * 1024),
                with("shop/c", 3 * 1024),
            ],
            &["shop/b"],
        ),
        (
            "a refused route takes none",
            vec![
                with("shop/a", 5 * 1024).flawed("spec.shape", FieldErrorKind::Unsupported),
                with("shop/b", 5 * 1024),
            ],
            &["shop/a"],
        ),
    ];
    for (given, routes, refused) in table {
        let names: Vec<String> = routes.iter().map(|route| route.key.to_string()).collect();
        let resolution = resolved(&routes.into_iter().fold(shop(), ClusterSnapshot::with));
        for name in names {
            let refusal = resolution.refused(&name);
            assert_eq!(
                refusal.is_some(),
                refused.contains(&name.as_str()),
                "{given}: {name}"
            );
        }
    }
    let resolution = resolved(&shop().with(with("shop/a", 9 * 1024)));
    let words: Words = &[
        "HTTPRoute shop/a: spec.rules: Too many",
        "8192 KiB",
        "9216 KiB",
        "another Gateway",
    ];
    let expected = Some((Reason::UnsupportedValue, words));
    assert_verdict("its words", resolution.refused("shop/a"), expected);
}

#[test]
fn of_an_http_route_and_a_grpc_route_on_one_hostname_the_older_wins() {
    let http = || http_route("shop/b").to(EDGE);
    let grpc = || grpc_route("shop/a").to(EDGE);
    type Refused<'a> = Option<&'a str>;
    let table: Vec<(&str, Route, Route, Refused<'_>)> = vec![
        ("the older", http().born(1), grpc().born(2), Some("shop/a")),
        (
            "the older, the other way",
            http().born(2),
            grpc().born(1),
            Some("shop/b"),
        ),
        (
            "of one age the first by name",
            http(),
            grpc(),
            Some("shop/b"),
        ),
        (
            "a wildcard over a name",
            http().born(1).named("*.a.org"),
            grpc().born(2).named("x.a.org"),
            Some("shop/a"),
        ),
        (
            "hostnames apart",
            http().named("a.org"),
            grpc().named("b.org"),
            None,
        ),
        (
            "a route that is refused is in nobody's way",
            http()
                .born(1)
                .flawed("spec.rules[0].retry", FieldErrorKind::Unsupported),
            grpc().born(2),
            Some("shop/b"),
        ),
    ];
    for (given, http, grpc, refused) in table {
        let resolution = resolved(&shop().with(http).with(grpc));
        for route in ["shop/a", "shop/b"] {
            let accepted = resolution.refused(route).is_none();
            assert_eq!(accepted, refused != Some(route), "{given}: {route}");
        }
    }
}

#[test]
fn a_conflict_names_the_other_route_and_costs_only_the_listener_it_is_on() {
    let edge = gateway(EDGE)
        .listening(https("web"))
        .listening(https("other").on(8443));
    let cluster = cluster()
        .with(edge)
        .with(http_route("shop/old").to_section(EDGE, "web").born(1))
        .with(
            grpc_route("shop/new")
                .to_section(EDGE, "web")
                .to(EDGE)
                .born(2),
        );
    let resolution = resolved(&cluster);
    let words: Words = &[
        "GRPCRoute shop/new",
        "HTTPRoute shop/old is older",
        "Gateway shop/edge",
        "use another hostname",
    ];
    let conflict = Some((Reason::HostnameConflict, words));
    assert_verdict("on web", resolution.refused("shop/new"), conflict);
    let elsewhere = &resolution.parents("shop/new")[1];
    assert_eq!(elsewhere.refusal, None);
    assert_eq!(elsewhere.listeners, ["other"]);
}
