use super::fixtures::*;
use crate::gateway::{AppProtocol, EndpointSlice, Route};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

fn cluster_with(service_protocol: AppProtocol) -> ClusterSnapshot {
    cluster()
        .with(gateway(EDGE).listening(https("web")))
        .with(service("shop/store").port(80).speaking(service_protocol))
        .with(service("infra/api").port(80))
        .with(service("shop/outside").external("example.com"))
}

#[test]
fn a_backend_that_leads_nowhere_says_why_and_how_to_mend_it() {
    let http = || http_route("shop/store").to(EDGE);
    let grpc = || grpc_route("shop/store").to(EDGE);
    let plain = || cluster_with(AppProtocol::Http1);
    let other = || AppProtocol::Other("kubernetes.io/wss".to_owned());
    let to_service = ("Service", None);
    let foreign = || http().backend("infra/api", 80);
    let not_permitted: Expected = Some((
        Reason::RefNotPermitted,
        &[
            "HTTPRoute shop/store",
            "spec.rules[0].backendRefs[0]",
            "Service infra/api",
            "ReferenceGrant in namespace infra from HTTPRoute in namespace shop",
        ],
    ));
    let invalid_kind = |words: Words| Some((Reason::InvalidKind, words));
    let not_found = |words: Words| Some((Reason::BackendNotFound, words));
    let unsupported = |words: Words| Some((Reason::UnsupportedProtocol, words));
    let table: Vec<(&str, ClusterSnapshot, Route, Expected)> = vec![
        (
            "a Service port",
            plain(),
            http().backend("shop/store", 80),
            None,
        ),
        ("no backends", plain(), http(), None),
        (
            "group written as core",
            plain(),
            http().backend_ref(object("core", "Service", "shop/store"), Some(80)),
            None,
        ),
        (
            "another kind",
            plain(),
            http().backend_ref(object("example.com", "Bucket", "shop/store"), Some(80)),
            invalid_kind(&[
                "spec.rules[0].backendRefs[0]",
                "example.com/Bucket",
                "Service",
            ]),
        ),
        (
            "an ExternalName Service in a cluster",
            plain(),
            http().backend("shop/outside", 80),
            invalid_kind(&[
                "Service shop/outside",
                "host outside of the cluster",
                "use a Service with endpoints",
                "endpoints.external_hosts",
            ]),
        ),
        (
            "an ExternalName Service without a cluster, with a port that it does not declare",
            plain().standalone(),
            http().backend("shop/outside", 8080),
            None,
        ),
        ("another namespace", plain(), foreign(), not_permitted),
        (
            "another namespace, a Service that is not there: nothing is revealed",
            cluster().with(gateway(EDGE).listening(https("web"))),
            foreign(),
            not_permitted,
        ),
        (
            "a grant",
            plain().with(grant("infra", ("HTTPRoute", "shop"), to_service)),
            foreign(),
            None,
        ),
        (
            "a grant, with the group written as core",
            plain().with(grant("infra", ("HTTPRoute", "shop"), to_service)),
            http().backend_ref(object("core", "Service", "infra/api"), Some(80)),
            None,
        ),
        (
            "a grant for GRPCRoutes",
            plain().with(grant("infra", ("GRPCRoute", "shop"), to_service)),
            foreign(),
            not_permitted,
        ),
        (
            "a grant for another namespace",
            plain().with(grant("infra", ("HTTPRoute", "apps"), to_service)),
            foreign(),
            not_permitted,
        ),
        (
            "a grant for another kind",
            plain().with(grant("infra", ("HTTPRoute", "shop"), ("Secret", None))),
            foreign(),
            not_permitted,
        ),
        (
            "a grant for another name",
            plain().with(grant(
                "infra",
                ("HTTPRoute", "shop"),
                ("Service", Some("web")),
            )),
            foreign(),
            not_permitted,
        ),
        (
            "a grant in the wrong namespace",
            plain().with(grant("shop", ("HTTPRoute", "shop"), to_service)),
            foreign(),
            not_permitted,
        ),
        (
            "no such Service",
            plain(),
            http().backend("shop/none", 80),
            not_found(&[
                "backendRefs[0]",
                "Service shop/none does not exist",
                "create it",
            ]),
        ),
        (
            "no such port",
            plain(),
            http().backend("shop/store", 81),
            not_found(&["Service shop/store has no port 81", "it has 80"]),
        ),
        (
            "no port written",
            plain(),
            http().backend_ref(object("", "Service", "shop/store"), None),
            not_found(&["backendRefs[0]", "set `port`"]),
        ),
        (
            "h2c",
            cluster_with(AppProtocol::H2c),
            http().backend("shop/store", 80),
            None,
        ),
        (
            "WebSocket",
            cluster_with(AppProtocol::WebSocket),
            http().backend("shop/store", 80),
            None,
        ),
        (
            "a protocol that is not served",
            cluster_with(other()),
            http().backend("shop/store", 80),
            unsupported(&["port 80 of Service shop/store", "kubernetes.io/wss", "h2c"]),
        ),
        (
            "gRPC over an unmarked port",
            plain(),
            grpc().backend("shop/store", 80),
            None,
        ),
        (
            "gRPC over WebSocket",
            cluster_with(AppProtocol::WebSocket),
            grpc().backend("shop/store", 80),
            unsupported(&["GRPCRoute shop/store", "kubernetes.io/ws"]),
        ),
        (
            "a mirror",
            plain(),
            http().backend("shop/store", 80).mirror("shop/store", 80),
            None,
        ),
        (
            "a mirror without a Service",
            plain(),
            http().backend("shop/store", 80).mirror("shop/none", 80),
            not_found(&[
                "spec.rules[0].filters[0].requestMirror.backendRef",
                "Service shop/none does not exist",
            ]),
        ),
        (
            "a mirror of a GRPCRoute in another namespace",
            plain(),
            grpc().backend("shop/store", 80).mirror("infra/api", 80),
            Some((
                Reason::RefNotPermitted,
                &["GRPCRoute shop/store", "requestMirror", "Service infra/api"],
            )),
        ),
        (
            "a mirror in another namespace with a grant",
            plain().with(grant("infra", ("HTTPRoute", "shop"), to_service)),
            http().backend("shop/store", 80).mirror("infra/api", 80),
            None,
        ),
        (
            "an authorizer",
            plain(),
            http()
                .backend("shop/store", 80)
                .authorized("shop/store", by_http()),
            None,
        ),
        (
            "an authorizer without a Service",
            plain(),
            http()
                .backend("shop/store", 80)
                .authorized("shop/none", by_http()),
            not_found(&[
                "spec.rules[0].filters[0].externalAuth.backendRef",
                "Service shop/none does not exist",
            ]),
        ),
        (
            "an authorizer in another namespace",
            plain(),
            http()
                .backend("shop/store", 80)
                .authorized("infra/api", by_grpc()),
            Some((
                Reason::RefNotPermitted,
                &["HTTPRoute shop/store", "externalAuth", "Service infra/api"],
            )),
        ),
        (
            "an authorizer in another namespace with a grant",
            plain().with(grant("infra", ("HTTPRoute", "shop"), to_service)),
            http()
                .backend("shop/store", 80)
                .authorized("infra/api", by_grpc()),
            None,
        ),
        (
            "an authorizer by gRPC over WebSocket",
            cluster_with(AppProtocol::WebSocket),
            http()
                .backend("shop/store", 80)
                .authorized("shop/store", by_grpc()),
            unsupported(&["externalAuth", "kubernetes.io/ws"]),
        ),
        (
            "several at once: the first in rank, all named",
            cluster_with(other()),
            http()
                .backend("shop/store", 80)
                .backend("shop/none", 80)
                .backend("infra/api", 80)
                .backend_ref(object("", "Pod", "shop/store"), None),
            invalid_kind(&[
                "backendRefs[0]",
                "backendRefs[1]",
                "backendRefs[2]",
                "backendRefs[3]",
            ]),
        ),
    ];
    for (given, cluster, route, expected) in table {
        let resolution = resolved(&cluster.with(route));
        assert_verdict(given, resolution.unresolved("shop/store"), expected);
        assert_eq!(resolution.refused("shop/store"), None, "{given}");
    }
}

#[test]
fn the_rank_of_reasons_does_not_depend_on_the_order_of_backends() {
    let refs = ["shop/none", "infra/api"];
    for refs in [refs, [refs[1], refs[0]]] {
        let route = refs
            .iter()
            .fold(http_route("shop/store").to(EDGE), |r, name| {
                r.backend(name, 80)
            });
        let resolution = resolved(&cluster_with(AppProtocol::Http1).with(route));
        let unresolved = resolution
            .unresolved("shop/store")
            .map(|(reason, _)| reason);
        assert_eq!(unresolved, Some(Reason::RefNotPermitted));
    }
}

#[test]
fn backends_are_judged_also_where_the_route_is_refused() {
    let route = |backend| {
        http_route("shop/store")
            .to_section(EDGE, "none")
            .backend(backend, 80)
    };
    for (backend, expected) in [
        ("shop/store", None),
        ("shop/x", Some(Reason::BackendNotFound)),
    ] {
        let resolution = resolved(&shop().with(route(backend)));
        let refused = resolution.refused("shop/store").map(|(reason, _)| reason);
        assert_eq!(refused, Some(Reason::NoMatchingParent));
        let unresolved = resolution
            .unresolved("shop/store")
            .map(|(reason, _)| reason);
        assert_eq!(unresolved, expected, "{backend}");
    }
}

#[test]
fn an_endpoint_where_no_request_may_go_is_left_out_and_told() {
    let of = |address: &str| slice("shop/store", "1").port("", 8080).ready(address);
    let named = slice("shop/store", "1").port("", 8080).named("db.internal");
    let mixed = of("10.0.0.1").ready("169.254.169.254").ready("::1");
    type Case<'a> = (&'a str, EndpointSlice, (usize, Words), (usize, Words));
    let table: Vec<Case<'_>> = vec![
        ("a pod", of("10.0.0.1"), (1, &[]), (1, &[])),
        (
            "the machine itself",
            of("127.0.0.1"),
            (
                0,
                &[
                    "EndpointSlice shop/store-1",
                    "endpoints[0].addresses[0]",
                    "loopback",
                ],
            ),
            (1, &[]),
        ),
        (
            "the metadata service beside a pod",
            mixed,
            (
                1,
                &["endpoints[1]", "169.254.169.254", "endpoints[2]", "::1"],
            ),
            (2, &["endpoints[1]", "link-local"]),
        ),
        (
            "the metadata service as IPv6",
            of("::ffff:169.254.169.254"),
            (0, &["link-local"]),
            (0, &["link-local"]),
        ),
        (
            "a name",
            named,
            (0, &["\"db.internal\"", "endpoints.names"]),
            (1, &[]),
        ),
    ];
    for (given, slice, in_cluster, standalone) in table {
        let cluster = cluster()
            .with(gateway(EDGE).listening(https("web")))
            .with(service("shop/store").port(80))
            .with(http_route("shop/store").to(EDGE).backend("shop/store", 80))
            .with(slice);
        for (cluster, (count, words)) in [
            (cluster.clone(), in_cluster),
            (cluster.standalone(), standalone),
        ] {
            let resolution = resolved(&cluster);
            let expected = (!words.is_empty()).then_some((Reason::EndpointNotAllowed, words));
            assert_verdict(given, resolution.unresolved("shop/store"), expected);
            let upstreams = &resolution.gateway(EDGE).table.upstreams;
            let endpoints = upstreams.values().map(|upstream| upstream.endpoints.len());
            assert_eq!(endpoints.sum::<usize>(), count, "{given}");
        }
    }
}
