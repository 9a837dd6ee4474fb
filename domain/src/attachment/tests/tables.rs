use super::fixtures::*;
use crate::gateway::{
    AppProtocol, BackendKind, EndpointHost, EndpointSlice, Filter, HeaderModifier, PathMatch,
    Route, RouteKind, Service,
};
use crate::names::{Hostname, ObjectKey};
use crate::route_table::{
    BackendTarget, RouteTable, TableListener, TableRoute, UpstreamEndpoint, UpstreamKey,
    UpstreamProtocol,
};
use crate::snapshot::ClusterSnapshot;

fn table(cluster: &ClusterSnapshot) -> RouteTable {
    RouteTable::clone(&resolved(cluster).gateway(EDGE).table)
}

fn upstream(service: &str, port: u16, protocol: UpstreamProtocol) -> UpstreamKey {
    UpstreamKey {
        kind: BackendKind::Service,
        service: key(service),
        port,
        protocol,
    }
}

fn targets(route: &TableRoute) -> Vec<&BackendTarget> {
    let backends = route.rules.iter().flat_map(|rule| &rule.backends);
    backends.map(|backend| &backend.target).collect()
}

fn route_names(listener: &TableListener) -> Vec<(RouteKind, &ObjectKey, &[Hostname])> {
    let routes = listener.routes.iter();
    routes
        .map(|route| (route.kind, &route.key, route.hostnames.as_slice()))
        .collect()
}

#[test]
fn a_route_for_the_listeners_hostname_says_how_broad_its_own_is() {
    let edge = gateway(EDGE).listening(https("web").named("*.a.org"));
    for (names, hostnames, broader) in [
        (&[][..], &["*.a.org"][..], Some(0)),
        (&["*.org"], &["*.a.org"], Some(5)),
        (&["*.a.org"], &["*.a.org"], None),
        (&["*.org", "*.a.org"], &["*.a.org"], None),
        (&["x.a.org"], &["x.a.org"], None),
        (&["x.a.org", "*.org"], &["*.a.org", "x.a.org"], Some(5)),
    ] {
        let route = http_route("shop/r").to(EDGE);
        let route = names.iter().fold(route, |route, name| route.named(name));
        let table = table(&cluster().with(edge.clone()).with(route));
        let found = &table.listeners[0].routes[0];
        let expected: Vec<Hostname> = hostnames.iter().map(|name| host(name)).collect();
        assert_eq!(found.hostnames, expected, "{names:?}");
        assert_eq!(found.broader, broader, "{names:?}");
    }
}

#[test]
fn an_address_that_a_gateway_asks_for_is_a_hostname_of_it() {
    let edge = gateway(EDGE).listening(https("web").named("b.org"));
    let edge = edge
        .asking_for("a.org")
        .asking_for("")
        .asking_for("x.invalid");
    let found = resolved(&cluster().with(edge));
    let names: Vec<&str> = found
        .gateway(EDGE)
        .hostnames
        .keys()
        .map(Hostname::as_str)
        .collect();
    assert_eq!(names, ["a.org"]);
}

#[test]
fn a_table_has_the_listeners_that_serve_with_their_routes_oldest_first() {
    let edge = gateway(EDGE)
        .listening(https("web").named("*.a.org"))
        .listening(https("broken").named("b.org").passing_tls_through())
        .listening(
            https("locked")
                .named("c.org")
                .certificate(object("", "Secret", "infra/c")),
        )
        .listening(http("plain"));
    let table = table(
        &cluster()
            .with(edge)
            .with(http_route("shop/new").to(EDGE).named("x.a.org").born(2))
            .with(
                http_route("shop/old")
                    .to(EDGE)
                    .to_section(EDGE, "web")
                    .born(1),
            ),
    );
    assert_eq!(table.gateway, key(EDGE));
    let names: Vec<(&str, u16)> = table
        .listeners
        .iter()
        .map(|l| (l.name.as_str(), l.port))
        .collect();
    assert_eq!(names, [("web", 443), ("plain", 80)]);
    let (old, new) = (key("shop/old"), key("shop/new"));
    assert_eq!(
        route_names(&table.listeners[0]),
        [
            (RouteKind::Http, &old, &[host("*.a.org")][..]),
            (RouteKind::Http, &new, &[host("x.a.org")][..]),
        ]
    );
    assert_eq!(
        route_names(&table.listeners[1]),
        [
            (RouteKind::Http, &old, &[][..]),
            (RouteKind::Http, &new, &[host("x.a.org")][..]),
        ]
    );
}

#[test]
fn a_hostname_that_is_written_twice_stands_in_the_table_once() {
    let route = http_route("shop/store").to(EDGE);
    let table = table(&shop().with(route.named("b.org").named("a.org").named("b.org")));
    let hostnames = &table.listeners[0].routes[0].hostnames;
    assert_eq!(hostnames, &[host("a.org"), host("b.org")]);
}

#[test]
fn a_backend_that_does_not_resolve_keeps_its_share() {
    let mut route = http_route("shop/store")
        .to(EDGE)
        .backend("shop/store", 80)
        .backend("shop/none", 80);
    route.rules[0].backends[0].weight = 9;
    route.rules[0].backends[1].weight = 3;
    let table = table(&shop().with(route));
    let backends = &table.listeners[0].routes[0].rules[0].backends;
    let shares: Vec<_> = backends.iter().map(|b| (b.weight, &b.target)).collect();
    let store = upstream("shop/store", 80, UpstreamProtocol::Http1);
    assert_eq!(
        shares,
        [
            (9, &BackendTarget::Upstream(store.clone())),
            (3, &BackendTarget::Invalid),
        ]
    );
    let upstreams: Vec<_> = table.upstreams.into_keys().collect();
    assert_eq!(upstreams, [store]);
}

#[test]
fn a_bad_rule_keeps_its_matches_and_answers_500_and_the_others_are_served() {
    use crate::gateway::FieldErrorKind::Unsupported;
    let prefix = |path: &str| PathMatch::Prefix(path.to_owned());
    let whole = || {
        http_route("shop/store")
            .to(EDGE)
            .backend("shop/store", 80)
            .rule(rule(prefix("/pay")))
            .backend("shop/store", 80)
            .filter(Filter::RequestHeaders(HeaderModifier::default()))
    };
    let no_more = "its requests get 500";
    // For each: the fields, then whether the first and the second rule are served. Without any of them the route is refused,
    // and has its requests all the same; `None`: it has none.
    for (fields, served) in [
        (&[][..], Some([true, true])),
        (&["spec.rules[1].filters[0].type"], Some([true, false])),
        (&["spec.rules[0].filters[0].type"], Some([false, true])),
        (
            &["spec.rules[0].retry", "spec.rules[1].filters[0].type"],
            Some([false, false]),
        ),
        (&["spec.rules[1].matches[0].path"], None),
        (&["spec.rules[1]"], None),
        (&["spec.rules"], None),
        (&["spec.shape", "spec.rules[1].filters[0].type"], None),
    ] {
        let route = fields
            .iter()
            .fold(whole(), |route, field| route.flawed(field, Unsupported));
        let resolution = resolved(&shop().with(route));
        let parent = &resolution.parents("shop/store")[0];
        let is_accepted = served.is_some_and(|served| served.contains(&true));
        assert_eq!(parent.refusal.is_none(), is_accepted, "{fields:?}");
        let told = parent.without_rules.as_ref().map(|it| it.message.as_str());
        let is_partial = is_accepted && served.is_some_and(|served| served.contains(&false));
        assert_eq!(told.is_some(), is_partial, "{fields:?}: {told:?}");
        if let Some(told) = told {
            assert!(told.starts_with("Dropped Rule"), "{told}");
            assert!(
                told.contains(fields[0]) && told.ends_with(no_more),
                "{told}"
            );
        }
        let routes = &resolution.gateway(EDGE).table.listeners[0].routes;
        let Some(served) = served else {
            assert!(routes.is_empty(), "{fields:?}");
            continue;
        };
        let rules = &routes[0].rules;
        for ((rule, path), is_served) in rules.iter().zip(["/", "/pay"]).zip(served) {
            assert_eq!(rule.matches[0].path, prefix(path), "{fields:?}");
            assert_eq!(!rule.backends.is_empty(), is_served, "{fields:?}");
            assert_eq!(!rule.filters.is_empty(), is_served && path == "/pay");
        }
    }
}

#[test]
fn a_mirror_that_does_not_resolve_is_left_out_and_another_has_its_upstream() {
    let route = grpc_route("shop/store").to(EDGE).backend("shop/store", 80);
    let route = route.mirror("shop/none", 80).mirror("shop/copy", 81);
    let cluster = cluster()
        .with(gateway(EDGE).listening(https("web")))
        .with(service("shop/store").port(80))
        .with(service("shop/copy").port(81))
        .with(route);
    let table = table(&cluster);
    let copy = upstream("shop/copy", 81, UpstreamProtocol::H2c);
    assert!(table.upstreams.contains_key(&copy));
    let rule = &table.listeners[0].routes[0].rules[0];
    let mirrors: Vec<_> = rule.filters.iter().filter_map(Filter::mirror).collect();
    let to: Vec<_> = mirrors.iter().map(|mirror| &mirror.to).collect();
    assert_eq!(to, [&copy]);
}

#[test]
fn an_authorizer_stays_in_its_rule_and_leads_nowhere_where_it_does_not_resolve() {
    let route = http_route("shop/store").to(EDGE).backend("shop/store", 80);
    let route = route
        .authorized("shop/none", by_http())
        .authorized("shop/auth", by_http())
        .authorized("shop/auth", by_grpc());
    let cluster = cluster()
        .with(gateway(EDGE).listening(https("web")))
        .with(service("shop/store").port(80))
        .with(service("shop/auth").port(80))
        .with(route);
    let table = table(&cluster);
    let http = upstream("shop/auth", 80, UpstreamProtocol::Http1);
    let grpc = upstream("shop/auth", 80, UpstreamProtocol::H2c);
    for key in [&http, &grpc] {
        assert!(table.upstreams.contains_key(key), "{key:?}");
    }
    let rule = &table.listeners[0].routes[0].rules[0];
    let auths = rule.filters.iter().map(|filter| match filter {
        Filter::ExternalAuth(auth) => auth.to.as_ref(),
        other => panic!("{other:?}"),
    });
    let auths: Vec<_> = auths.collect();
    assert_eq!(auths, [None, Some(&http), Some(&grpc)]);
}

#[test]
fn an_upstream_speaks_what_its_port_says_and_h2c_for_grpc() {
    let http: fn(&str) -> Route = http_route;
    let grpc: fn(&str) -> Route = grpc_route;
    let cases = [
        (http, AppProtocol::Http1, UpstreamProtocol::Http1),
        (http, AppProtocol::WebSocket, UpstreamProtocol::Http1),
        (http, AppProtocol::H2c, UpstreamProtocol::H2c),
        (grpc, AppProtocol::Http1, UpstreamProtocol::H2c),
        (grpc, AppProtocol::H2c, UpstreamProtocol::H2c),
    ];
    for (route, says, speaks) in cases {
        let table = table(
            &cluster()
                .with(gateway(EDGE).listening(https("web")))
                .with(service("shop/store").port(80).speaking(says))
                .with(route("shop/store").to(EDGE).backend("shop/store", 80)),
        );
        let expected = upstream("shop/store", 80, speaks);
        assert!(table.upstreams.contains_key(&expected), "{expected:?}");
    }
}

#[test]
fn an_http_route_and_a_grpc_route_may_share_a_service_port() {
    let table = table(
        &shop()
            .with(slice("shop/store", "1").port("", 8080).ready("10.0.0.1"))
            .with(
                http_route("shop/http")
                    .to(EDGE)
                    .named("a.org")
                    .backend("shop/store", 80),
            )
            .with(
                grpc_route("shop/grpc")
                    .to(EDGE)
                    .named("b.org")
                    .backend("shop/store", 80),
            ),
    );
    let keys = [
        upstream("shop/store", 80, UpstreamProtocol::Http1),
        upstream("shop/store", 80, UpstreamProtocol::H2c),
    ];
    assert_eq!(
        table.upstreams.keys().collect::<Vec<_>>(),
        keys.iter().collect::<Vec<_>>()
    );
    assert_eq!(table.upstreams[&keys[0]], table.upstreams[&keys[1]]);
    let routes = &table.listeners[0].routes;
    assert_eq!(
        targets(&routes[1]),
        [&BackendTarget::Upstream(keys[0].clone())]
    );
    assert_eq!(
        targets(&routes[0]),
        [&BackendTarget::Upstream(keys[1].clone())]
    );
}

fn at(address: &str, port: u16) -> UpstreamEndpoint {
    UpstreamEndpoint {
        host: EndpointHost::Address(address.parse().expect("an address")),
        port,
    }
}

#[test]
fn endpoints_are_the_ready_ones_of_the_ports_slices_else_those_that_still_serve() {
    let store = || {
        service("shop/store")
            .named_port("web", 80)
            .named_port("admin", 81)
    };
    let web = |suffix| slice("shop/store", suffix).port("web", 8080);
    let cases: Vec<(&str, Service, Vec<EndpointSlice>, Vec<UpstreamEndpoint>)> = vec![
        ("no slice", store(), vec![], vec![]),
        (
            "sorted, and each once",
            store(),
            vec![
                web("1").ready("10.0.0.2").ready("10.0.0.1"),
                web("2").ready("10.0.0.2"),
            ],
            vec![at("10.0.0.1", 8080), at("10.0.0.2", 8080)],
        ),
        (
            "slices of one port with different targets, and of both families",
            store(),
            vec![
                web("1").ready("10.0.0.1"),
                slice("shop/store", "2").port("web", 9090).ready("fd00::1"),
            ],
            vec![at("10.0.0.1", 8080), at("fd00::1", 9090)],
        ),
        (
            "a slice of another port",
            store(),
            vec![
                slice("shop/store", "1")
                    .port("admin", 9000)
                    .ready("10.0.0.1"),
            ],
            vec![],
        ),
        (
            "an unnamed port joins the unnamed port of a slice",
            service("shop/store").port(80),
            vec![slice("shop/store", "1").port("", 8080).ready("10.0.0.1")],
            vec![at("10.0.0.1", 8080)],
        ),
        (
            "terminating ones stay out while another is ready",
            store(),
            vec![web("1").terminating("10.0.0.1").ready("10.0.0.2")],
            vec![at("10.0.0.2", 8080)],
        ),
        (
            "terminating ones serve while none is ready",
            store(),
            vec![web("1").terminating("10.0.0.1").unready("10.0.0.2")],
            vec![at("10.0.0.1", 8080)],
        ),
        (
            "slices of Services of the same name elsewhere, and of other Services",
            store(),
            vec![
                slice("apps/store", "1").port("web", 8080).ready("10.0.0.1"),
                slice("shop/other", "1").port("web", 8080).ready("10.0.0.2"),
            ],
            vec![],
        ),
    ];
    for (given, service, slices, expected) in cases {
        let cluster = cluster()
            .with(gateway(EDGE).listening(https("web")))
            .with(service)
            .with(http_route("shop/store").to(EDGE).backend("shop/store", 80));
        let cluster = slices.into_iter().fold(cluster, ClusterSnapshot::with);
        let key = upstream("shop/store", 80, UpstreamProtocol::Http1);
        assert_eq!(
            table(&cluster).upstreams[&key].endpoints,
            expected,
            "{given}"
        );
    }
}

#[test]
fn an_external_name_stands_for_a_service_without_slices_only_where_that_is_allowed() {
    let named = EndpointHost::Name("app.internal".to_owned());
    let address = EndpointHost::Address("127.0.0.1".parse().expect("an address"));
    let there = [slice("shop/out", "1").port("", 8080).ready("10.0.0.1")];
    let cases = [
        (
            "a name",
            "app.internal",
            &there[..0],
            UpstreamEndpoint {
                host: named,
                port: 3000,
            },
        ),
        (
            "an address",
            "127.0.0.1",
            &there[..0],
            UpstreamEndpoint {
                host: address,
                port: 3000,
            },
        ),
        (
            "a slice goes first",
            "app.internal",
            &there[..],
            at("10.0.0.1", 8080),
        ),
    ];
    let cluster = |name: &str, slices: &[EndpointSlice]| {
        let cluster = cluster()
            .with(gateway(EDGE).listening(https("web")))
            .with(service("shop/out").port(3000).external(name))
            .with(http_route("shop/store").to(EDGE).backend("shop/out", 3000));
        slices.iter().cloned().fold(cluster, ClusterSnapshot::with)
    };
    let key = upstream("shop/out", 3000, UpstreamProtocol::Http1);
    for (given, name, slices, expected) in cases {
        let allowed = table(&cluster(name, slices).standalone());
        assert_eq!(allowed.upstreams[&key].endpoints, [expected], "{given}");
        let refused = table(&cluster(name, slices));
        assert!(refused.upstreams.is_empty(), "{given}");
        assert_eq!(
            targets(&refused.listeners[0].routes[0]),
            [&BackendTarget::Invalid]
        );
    }
}
