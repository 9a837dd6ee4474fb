use super::fixtures::*;
use crate::attachment::{GatewayDefaults, ListenerResolution, resolve};
use crate::capabilities::EdgeKind;
use crate::certificate::TlsPair;
use crate::gateway::{
    AllowedKind, AllowedNamespaces, BackendTlsPolicy, CONTROLLER_NAME, FieldErrorKind, Gateway,
    Listener, PolicyTarget, Protocol, ReferenceGrant, RouteKind, TrustSource,
};
use crate::names::Timestamp;
use crate::route_table::UpstreamProtocol;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::Reason;

fn resolve_one(listener: Listener) -> ListenerResolution {
    let resolution = resolved(&cluster().with(gateway(EDGE).listening(listener)));
    resolution.gateway(EDGE).listeners[0].clone()
}

#[test]
fn a_listener_is_refused_for_what_the_edge_cannot_do() {
    let table: Vec<(&str, Listener, Expected)> = vec![
        ("HTTPS without tls", https("web"), None),
        ("HTTPS on another port", https("web").on(8443), None),
        ("HTTP", http("web"), None),
        ("HTTP on another port", http("web").on(8080), None),
        (
            "a port that Cloudflare does not serve",
            http("web").on(8090),
            Some((
                Reason::PortUnavailable,
                &[
                    "spec.listeners[0].port",
                    "Invalid value: 8090: must be one of 80, 8080,",
                ],
            )),
        ),
        (
            "a port that Cloudflare serves for HTTP",
            https("web").on(8080),
            Some((
                Reason::PortUnavailable,
                &["Invalid value: 8080: must be one of 443, 2053,"],
            )),
        ),
        (
            "HTTP for gRPC alone",
            http("web").taking(AllowedKind::Route(RouteKind::Grpc)),
            Some((
                Reason::UnsupportedProtocol,
                &[
                    "spec.listeners[0].protocol",
                    "gRPC needs HTTP/2",
                    "use an HTTPS listener",
                ],
            )),
        ),
        (
            "HTTPS with a certificate",
            https("web").certificate(object("", "Secret", "shop/cert")),
            None,
        ),
        (
            "TLS passthrough",
            https("web").passing_tls_through(),
            Some((
                Reason::UnsupportedValue,
                &[
                    "Gateway shop/edge",
                    "spec.listeners[0].tls.mode",
                    "Terminate",
                ],
            )),
        ),
        (
            "tls on HTTP",
            http("web").certificate(object("", "Secret", "shop/cert")),
            Some((Reason::Invalid, &["spec.listeners[0].tls", "remove it"])),
        ),
        (
            "another protocol",
            listener("web", Protocol::Other("TCP".into()), 80),
            Some((
                Reason::UnsupportedProtocol,
                &["spec.listeners[0].protocol", "TCP", "use HTTPS or HTTP"],
            )),
        ),
        (
            "a malformed hostname",
            https("web").flawed("spec.listeners[0].hostname", FieldErrorKind::Invalid),
            Some((
                Reason::Invalid,
                &["Gateway shop/edge", "spec.listeners[0].hostname"],
            )),
        ),
        (
            "a hostname below a reserved name",
            https("web").named("*.certificates.invalid"),
            Some((
                Reason::UnsupportedValue,
                &[
                    "spec.listeners[0].hostname",
                    "Invalid value: *.certificates.invalid",
                    "reserved",
                    "use a hostname of a zone",
                ],
            )),
        ),
        (
            "a field that is not served",
            https("web").flawed("spec.listeners[0].tls.options", FieldErrorKind::Unsupported),
            Some((Reason::UnsupportedValue, &["spec.listeners[0].tls.options"])),
        ),
        (
            "a filter that is not served",
            https("web").flawed(
                "spec.listeners[0].filters.requests[0].type",
                FieldErrorKind::Unsupported,
            ),
            Some((
                Reason::UnsupportedValue,
                &["spec.listeners[0].filters.requests[0].type"],
            )),
        ),
        (
            "a filter that is not as it must be",
            https("web").flawed(
                "spec.listeners[0].filters.requests[1].externalAuth.http.path",
                FieldErrorKind::Invalid,
            ),
            Some((
                Reason::InvalidListenerFilter,
                &["spec.listeners[0].filters.requests[1].externalAuth.http.path"],
            )),
        ),
    ];
    for (given, listener, expected) in table {
        let listener = resolve_one(listener);
        let refusal = listener.refusal.map(|r| (r.reason, r.message));
        assert_verdict(given, refusal, expected);
    }
}

#[test]
fn a_filter_that_leads_nowhere_says_why_and_its_listener_serves_all_the_same() {
    let plain = || {
        cluster()
            .with(service("shop/auth").port(80))
            .with(service("infra/auth").port(80))
    };
    let to_service = ("Service", None);
    let not_permitted: Expected = Some((
        Reason::RefNotPermitted,
        &[
            "Gateway shop/edge",
            "spec.listeners[0].filters.requests[0].externalAuth.backendRef (listener web)",
            "ReferenceGrant in namespace infra from Gateway in namespace shop",
        ],
    ));
    let table: Vec<(&str, ClusterSnapshot, &[&str], Expected)> = vec![
        ("an authorizer", plain(), &["shop/auth"], None),
        (
            "none of that name",
            plain(),
            &["shop/auth", "shop/none"],
            Some((
                Reason::InvalidListenerFilterRef,
                &[
                    "Gateway shop/edge",
                    "spec.listeners[0].filters.requests[1]",
                    "Service shop/none does not exist",
                ],
            )),
        ),
        ("another namespace", plain(), &["infra/auth"], not_permitted),
        (
            "a grant for routes",
            plain().with(grant("infra", ("HTTPRoute", "shop"), to_service)),
            &["infra/auth"],
            not_permitted,
        ),
        (
            "a grant",
            plain().with(grant("infra", ("Gateway", "shop"), to_service)),
            &["infra/auth"],
            None,
        ),
        (
            "several: the first in rank, all named",
            plain(),
            &["shop/none", "infra/auth"],
            Some((
                Reason::RefNotPermitted,
                &["requests[0]", "requests[1]", "shop/none", "infra/auth"],
            )),
        ),
    ];
    for (given, cluster, services, expected) in table {
        let listener = services
            .iter()
            .fold(https("web"), |it, service| it.authorized(service));
        let resolution = resolved(&cluster.with(gateway(EDGE).listening(listener)));
        let listener = &resolution.gateway(EDGE).listeners[0];
        let unresolved = listener.unresolved.clone();
        assert_verdict(
            given,
            unresolved.map(|it| (it.reason, it.message)),
            expected,
        );
        assert!(listener.is_served(), "{given}");
        let table = &resolution.gateway(EDGE).table;
        let filters = &table.listeners[0].filters;
        assert_eq!(filters.len(), services.len(), "none is skipped: {given}");
        let leading = filters.iter().filter_map(|filter| filter.to.as_ref());
        assert!(leading.clone().all(|key| table.upstreams.contains_key(key)));
        let is_whole = leading.count() == services.len();
        assert_eq!(is_whole, expected.is_none(), "{given}");
    }
}

#[test]
fn a_filter_of_a_listener_set_is_referred_to_by_the_set() {
    let edge = gateway(EDGE)
        .listening(https("web").named("a.org"))
        .admitting(AllowedNamespaces::All);
    let set = listener_set("team/set").adding(https("own").named("b.org").authorized("infra/auth"));
    let cluster = cluster()
        .with(edge)
        .with(service("infra/auth").port(80))
        .with(set);
    for (kind, expected) in [
        ("Gateway", Some(Reason::RefNotPermitted)),
        ("ListenerSet", None),
    ] {
        let granted = cluster
            .clone()
            .with(grant("infra", (kind, "team"), ("Service", None)));
        let resolution = resolved(&granted);
        let listener = &resolution.gateway(EDGE).listeners[1];
        let reason = listener.unresolved.as_ref().map(|refusal| refusal.reason);
        assert_eq!(reason, expected, "{kind}");
        let leads = listener.filters[0].to.is_some();
        assert_eq!(leads, expected.is_none(), "{kind}");
    }
}

#[test]
fn an_edge_of_its_own_serves_every_port_and_grpc_without_tls() {
    let grpc = || AllowedKind::Route(RouteKind::Grpc);
    let edge = gateway(EDGE)
        .listening(http("a").on(8090).taking(grpc()))
        .listening(https("b").on(9443))
        .listening(http("c").on(8091));
    let defaults = GatewayDefaults {
        edge: EdgeKind::TellingArrival,
        ..GatewayDefaults::default()
    };
    let resolution = resolve(&cluster().with(edge), CONTROLLER_NAME, &defaults);
    for (name, kinds) in [
        ("a", &[RouteKind::Grpc][..]),
        ("b", &[RouteKind::Http, RouteKind::Grpc]),
        ("c", &[RouteKind::Http, RouteKind::Grpc]),
    ] {
        let listener = resolution.listener(name);
        assert!(listener.is_served(), "{listener:?}");
        assert_eq!(listener.supported_kinds, kinds, "{name}");
    }
}

#[test]
fn an_authorizer_of_a_listener_is_spoken_to_as_its_policy_says() {
    let policy = BackendTlsPolicy {
        key: key("shop/tls"),
        is_inline: false,
        generation: 3,
        created: Timestamp(100),
        targets: vec![PolicyTarget {
            object: object("", "Service", "shop/auth"),
            section: None,
        }],
        trust: TrustSource::System,
        hostname: Some(host("auth.internal")),
        names: Vec::new(),
        field_errors: Vec::new(),
    };
    let cluster = cluster()
        .with(gateway(EDGE).listening(https("web").authorized("shop/auth")))
        .with(service("shop/auth").port(80))
        .with(policy);
    let resolution = resolved(&cluster);
    let table = &resolution.gateway(EDGE).table;
    let to = table.listeners[0].filters[0].to.as_ref().unwrap();
    assert_eq!(to.protocol, UpstreamProtocol::Negotiated);
    assert!(table.upstreams[to].tls.is_some());
    assert_eq!(resolution.backend_tls[0].ancestors, [key(EDGE)].into());
}

#[test]
fn listeners_that_cannot_be_told_apart_are_all_refused() {
    let hostname = Some(Reason::HostnameConflict);
    let protocol = Some(Reason::ProtocolConflict);
    let other = |name| listener(name, Protocol::Other("TCP".into()), 443);
    type Case = (&'static str, Vec<Listener>, Vec<Option<Reason>>);
    let table: Vec<Case> = vec![
        (
            "different ports",
            vec![https("a"), https("b").on(8443)],
            vec![None, None],
        ),
        (
            "different hostnames",
            vec![
                https("a").named("a.org"),
                https("b").named("*.a.org"),
                https("c"),
            ],
            vec![None, None, None],
        ),
        (
            "the same hostname",
            vec![
                https("a").named("a.org"),
                https("b").named("a.org"),
                https("c"),
            ],
            vec![hostname, hostname, None],
        ),
        (
            "no hostname twice",
            vec![https("a"), https("b")],
            vec![hostname, hostname],
        ),
        (
            "the same hostname with another certificate, and with none",
            vec![
                https("a").certificate(object("", "Secret", "shop/a")),
                https("b").certificate(object("", "Secret", "shop/b")),
                https("c"),
            ],
            vec![hostname, hostname, hostname],
        ),
        (
            "HTTP and HTTPS on one port, hostnames apart",
            vec![
                https("a").named("a.org"),
                http("b").on(443).named("b.org"),
                http("c"),
            ],
            vec![protocol, protocol, None],
        ),
        (
            "a protocol that is not served takes nothing from others",
            vec![https("a"), other("b")],
            vec![None, None],
        ),
        (
            "a reserved hostname takes nothing from others",
            vec![
                https("a").named("a.localhost"),
                https("b").named("a.localhost"),
            ],
            vec![None, None],
        ),
        (
            "a malformed hostname takes nothing from others",
            vec![
                https("a"),
                https("b").flawed("spec.listeners[1].hostname", FieldErrorKind::Invalid),
            ],
            vec![None, None],
        ),
    ];
    for (given, listeners, expected) in table {
        let edge: Gateway = listeners
            .into_iter()
            .fold(gateway(EDGE), Gateway::listening);
        let resolution = resolved(&cluster().with(edge));
        let listeners = &resolution.gateway(EDGE).listeners;
        let conflicts: Vec<_> = listeners
            .iter()
            .map(|l| l.conflict.as_ref().map(|c| c.reason))
            .collect();
        assert_eq!(conflicts, expected, "{given}");
        for listener in listeners.iter().filter(|l| l.conflict.is_some()) {
            // Of HTTP on a port for HTTPS that is said first.
            let is_at_its_port = listener.listener != http("b").on(443).named("b.org");
            let is_told = listener.refusal == listener.conflict;
            assert_eq!(is_told, is_at_its_port, "{given}");
            assert!(listener.refusal.is_some(), "{given}");
        }
    }
}

#[test]
fn a_conflict_names_the_other_listener_and_the_remedy() {
    let edge = gateway(EDGE).listening(https("a")).listening(https("b"));
    let resolution = resolved(&cluster().with(edge));
    let conflict = resolution
        .listener("b")
        .conflict
        .clone()
        .expect("a conflict");
    for word in [
        "shop/edge",
        "spec.listeners[1].hostname",
        "443",
        "those of a;",
        "change",
    ] {
        assert!(
            conflict.message.contains(word),
            "{word} in {}",
            conflict.message
        );
    }
}

#[test]
fn kinds_that_are_not_served_are_named_and_the_others_taken() {
    let http = || AllowedKind::Route(RouteKind::Http);
    let unknown = || AllowedKind::Other("example.com/FooRoute".to_owned());
    let invalid: Expected = Some((
        Reason::InvalidRouteKinds,
        &[
            "spec.listeners[0].allowedRoutes.kinds",
            "example.com/FooRoute",
        ],
    ));
    let table = [
        (
            "nothing written",
            https("web"),
            vec![RouteKind::Http, RouteKind::Grpc],
            None,
        ),
        (
            "HTTP",
            super::fixtures::http("web"),
            vec![RouteKind::Http],
            None,
        ),
        (
            "HTTP for both kinds",
            super::fixtures::http("web")
                .taking(http())
                .taking(AllowedKind::Route(RouteKind::Grpc)),
            vec![RouteKind::Http],
            Some((
                Reason::InvalidRouteKinds,
                &["GRPCRoute not served; gRPC needs HTTP/2"][..],
            )),
        ),
        (
            "one kind, twice",
            https("web").taking(http()).taking(http()),
            vec![RouteKind::Http],
            None,
        ),
        (
            "a kind that is not served beside one that is",
            https("web").taking(unknown()).taking(http()),
            vec![RouteKind::Http],
            invalid,
        ),
        (
            "only a kind that is not served",
            https("web").taking(unknown()),
            vec![],
            invalid,
        ),
        (
            "a protocol that is not served",
            listener("web", Protocol::Other("UDP".into()), 53).taking(http()),
            vec![],
            None,
        ),
    ];
    for (given, listener, kinds, expected) in table {
        let listener = resolve_one(listener);
        assert_eq!(listener.supported_kinds, kinds, "{given}");
        let unresolved = listener.unresolved.map(|r| (r.reason, r.message));
        assert_verdict(given, unresolved, expected);
    }
}

#[test]
fn a_certificate_must_be_a_secret_that_is_there_and_may_be_referred_to() {
    let own = || https("web").certificate(object("", "Secret", "shop/cert"));
    let foreign = || https("web").certificate(object("", "Secret", "infra/cert"));
    let from_us = ("Gateway", "shop");
    let with = |listener| cluster().with(gateway(EDGE).listening(listener));
    let not_permitted: Expected = Some((
        Reason::RefNotPermitted,
        &[
            "spec.listeners[0].tls.certificateRefs[0]",
            "Secret infra/cert",
            "ReferenceGrant in namespace infra from Gateway in namespace shop",
        ],
    ));
    let invalid = |words: Words| Some((Reason::InvalidCertificateRef, words));
    // The last entries of both lists permit it, and no other.
    let several = || {
        let grants = [
            grant("infra", ("Gateway", "blog"), ("ConfigMap", None)),
            grant("infra", ("HTTPRoute", "shop"), ("Secret", Some("other"))),
            grant("infra", from_us, ("Secret", Some("cert"))),
        ];
        ReferenceGrant {
            from: grants.iter().flat_map(|it| it.from.clone()).collect(),
            to: grants.iter().flat_map(|it| it.to.clone()).collect(),
            ..grants[0].clone()
        }
    };
    let table: Vec<(&str, _, Expected)> = vec![
        ("there", with(own()).certificate("shop/cert", &[]), None),
        (
            "there without its key",
            with(own()).secret("shop/cert", &["tls.crt"]),
            invalid(&["certificateRefs[0]", "Secret shop/cert", "tls.key"]),
        ),
        (
            "malformed",
            with(own()).tls("shop/cert", TlsPair::Malformed("tls.crt is no PEM".into())),
            invalid(&[
                "certificateRefs[0]",
                "Secret shop/cert",
                "tls.crt is no PEM",
            ]),
        ),
        ("not read yet", with(own()), None),
        (
            "could not be read",
            with(own()).secret_reading("shop/cert", Reading::Unknown("timeout".into())),
            None,
        ),
        (
            "not there",
            with(own()).secret_reading("shop/cert", Reading::Absent),
            invalid(&["certificateRefs[0]", "Secret shop/cert does not exist"]),
        ),
        (
            "another kind",
            with(https("web").certificate(object("", "ConfigMap", "shop/cert"))),
            invalid(&["ConfigMap", "name a Secret"]),
        ),
        (
            "another group",
            with(https("web").certificate(object("example.com", "Secret", "shop/cert"))),
            invalid(&["example.com/Secret"]),
        ),
        (
            "another namespace without a grant",
            with(foreign()),
            not_permitted,
        ),
        (
            "another kind in another namespace without a grant",
            with(https("web").certificate(object("", "ConfigMap", "infra/cert"))),
            Some((
                Reason::RefNotPermitted,
                &["ConfigMap infra/cert may not be referred to"],
            )),
        ),
        (
            "another kind in another namespace with a grant",
            with(https("web").certificate(object("", "ConfigMap", "infra/cert"))).with(grant(
                "infra",
                from_us,
                ("ConfigMap", None),
            )),
            invalid(&["ConfigMap is not served"]),
        ),
        (
            "ReferenceGrant is not installed",
            {
                let mut cluster = with(foreign());
                cluster.grants = Reading::Absent;
                cluster
            },
            not_permitted,
        ),
        (
            "a grant for all Secrets",
            with(foreign()).with(grant("infra", from_us, ("Secret", None))),
            None,
        ),
        (
            "a grant for this Secret",
            with(foreign()).with(grant("infra", from_us, ("Secret", Some("cert")))),
            None,
        ),
        (
            "a grant for another Secret",
            with(foreign()).with(grant("infra", from_us, ("Secret", Some("other")))),
            not_permitted,
        ),
        (
            "a grant for another kind of referrer",
            with(foreign()).with(grant("infra", ("ListenerSet", "shop"), ("Secret", None))),
            not_permitted,
        ),
        (
            "a grant for several referrers and several kinds, of which these are the last",
            with(foreign()).with(several()),
            None,
        ),
        (
            "a grant for several, of which none is the referrer",
            with(foreign()).with(ReferenceGrant {
                from: several().from[..2].to_vec(),
                ..several()
            }),
            not_permitted,
        ),
        (
            "a grant for several, of which none is the Secret",
            with(foreign()).with(ReferenceGrant {
                to: several().to[..2].to_vec(),
                ..several()
            }),
            not_permitted,
        ),
        (
            "several problems: the one that hides most comes first",
            with(foreign().certificate(object("", "ConfigMap", "shop/cert"))),
            Some((
                Reason::RefNotPermitted,
                &["certificateRefs[0]", "certificateRefs[1]", "ConfigMap"],
            )),
        ),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster);
        let listener = resolution.listener("web");
        assert!(listener.refusal.is_none(), "{given}");
        assert_eq!(listener.is_served(), expected.is_none(), "{given}");
        let unresolved = listener.unresolved.clone();
        assert_verdict(given, unresolved.map(|r| (r.reason, r.message)), expected);
    }
}

#[test]
fn routes_are_counted_once_per_listener_also_where_it_cannot_serve() {
    let edge = gateway(EDGE)
        .listening(https("web").certificate(object("", "Secret", "infra/cert")))
        .listening(http("plain").named("*.example.com"))
        .listening(http("twin").named("*.example.com"));
    let resolution = resolved(
        &cluster()
            .with(edge)
            .with(http_route("shop/all").to(EDGE).to_section(EDGE, "web"))
            .with(http_route("shop/other").to(EDGE).named("other.org"))
            .with(
                http_route("shop/nowhere")
                    .to_section(EDGE, "plain")
                    .named("nowhere.org"),
            )
            .with(
                http_route("shop/refused")
                    .to(EDGE)
                    .flawed("spec.rules[0].filters[0].type", FieldErrorKind::Unsupported),
            ),
    );
    for (listener, count) in [("web", 2), ("plain", 1), ("twin", 1)] {
        assert_eq!(attached_routes(&resolution, listener), count, "{listener}");
    }
}

#[test]
fn https_listeners_of_one_port_with_overlapping_hostnames_are_told_of_it() {
    let https = |name: &str, hostname: &str| {
        let listener = super::fixtures::https(name);
        match hostname {
            "" => listener,
            hostname => listener.named(hostname),
        }
    };
    let rows: [(&[&str], &[&str]); 8] = [
        (
            &["foo.example.com", "foo.example.org", "*.example.com"],
            &["0", "2"],
        ),
        (&["example.com", "*.example.com"], &[]),
        (&["*.a.example.com", "*.example.com"], &["0", "1"]),
        (
            &["x.y.example.com", "*.example.com", "*.y.example.com"],
            &["0", "1", "2"],
        ),
        (&["a.org", ""], &["0", "1"]),
        (&[""], &[]),
        (&["*.a.org", "*.b.org"], &[]),
        (&["a.org", "b.a.org"], &[]),
    ];
    for (hostnames, overlapping) in rows {
        let listeners = hostnames.iter().enumerate();
        let edge = listeners.fold(gateway(EDGE), |edge, (index, hostname)| {
            edge.listening(https(&index.to_string(), hostname))
        });
        // Neither HTTP, nor another port, nor one that is refused.
        let edge = edge
            .listening(http("plain"))
            .listening(https("elsewhere", "").on(8443))
            .listening(https("refused", "*.com").passing_tls_through());
        let resolution = resolved(&cluster().with(edge));
        let told = resolution.gateway(EDGE).listeners.iter();
        let told = told.filter(|judged| judged.overlaps);
        let told: Vec<&str> = told.map(|judged| judged.listener.name.as_str()).collect();
        assert_eq!(told, overlapping, "{hostnames:?}");
    }
}
