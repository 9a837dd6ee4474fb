//! Hosts outside of the cluster as backends: XBackends and Services of type ExternalName.

use super::fixtures::*;
use crate::endpoint_policy::AddressRange;
use crate::gateway::{
    AppProtocol, BackendTlsPolicy, EXPERIMENTAL_GROUP, EndpointHost, ExternalAuth, ExternalBackend,
    ExternalHosts, FieldErrorKind, Filter, GatewayParameters, LabelSelector, Listener, OWN_GROUP,
    PARAMETERS_KIND, PolicyTarget, Route, SelectorRule, ServicePort, TrustSource,
};
use crate::names::{AllowedHostnames, ObjectRef, Timestamp};
use crate::report::report;
use crate::route_table::{BackendTarget, RouteTable};
use crate::snapshot::{ClusterSnapshot, Outside, Reading};
use crate::status::{ConditionType, Reason, Truth};

fn external_ref(name: &str) -> ObjectRef {
    object(EXPERIMENTAL_GROUP, "XBackend", name)
}

/// An XBackend that is spoken to in clear text on port 8080.
fn external(name: &str, hostname: &str) -> ExternalBackend {
    ExternalBackend {
        key: key(name),
        generation: 6,
        created: Timestamp(3),
        hostname: Some(host(hostname)),
        ports: vec![ServicePort {
            name: String::new(),
            port: 8080,
            protocol: AppProtocol::Http1,
        }],
        tls: None,
        field_errors: Vec::new(),
    }
}

fn over_tls(backend: ExternalBackend) -> ExternalBackend {
    let tls = BackendTlsPolicy {
        key: backend.key.clone(),
        is_inline: true,
        generation: backend.generation,
        created: backend.created,
        targets: vec![PolicyTarget {
            object: ObjectRef {
                key: backend.key.clone(),
                ..external_ref("a/b")
            },
            section: None,
        }],
        trust: TrustSource::System,
        hostname: Some(host("api.example.com")),
        names: Vec::new(),
        field_errors: Vec::new(),
    };
    ExternalBackend {
        tls: Some(Box::new(tls)),
        ..backend
    }
}

fn hosts(labels: Option<(&str, &str)>, names: Option<&[&str]>) -> ExternalHosts {
    let rule = labels.map(|(label, value)| {
        SelectorRule::In(label.to_owned(), [value.to_owned()].into_iter().collect())
    });
    ExternalHosts {
        namespaces: LabelSelector {
            rules: rule.into_iter().collect(),
        },
        hostnames: names.map_or(AllowedHostnames::Any, |names| {
            AllowedHostnames::listed(names.iter().map(|name| host(name)))
        }),
    }
}

/// A cluster with hosts outside of it: the parameters of the class permit these.
fn permitting(external_hosts: Option<Vec<ExternalHosts>>) -> ClusterSnapshot {
    let parameters = GatewayParameters {
        external_hosts,
        ..parameters()
    };
    let mut cluster = empty_cluster()
        .with(class().credentials(object(OWN_GROUP, PARAMETERS_KIND, "shop/p")))
        .with(parameters)
        .with(gateway(EDGE).listening(https("web")))
        .with(namespace("shop", &[("team", "shop")]))
        .with(service("shop/outside").external("api.example.com"))
        .with(external("shop/api", "api.example.com"));
    cluster.endpoint_rules.outside =
        Outside::Permitted(vec![AddressRange::parse("198.51.100.0/24").unwrap()]);
    cluster
}

fn to_external() -> Route {
    let route = http_route("shop/store").to(EDGE);
    route.backend_ref(external_ref("shop/api"), None)
}

fn to_service() -> Route {
    http_route("shop/store")
        .to(EDGE)
        .backend("shop/outside", 8080)
}

fn table(cluster: &ClusterSnapshot) -> RouteTable {
    RouteTable::clone(&resolved(cluster).gateway(EDGE).table)
}

#[test]
fn a_host_outside_is_a_backend_only_where_setting_and_class_permit_it() {
    let all = || vec![hosts(None, None)];
    let off = || {
        let mut cluster = permitting(Some(all()));
        cluster.endpoint_rules.outside = Outside::No;
        cluster
    };
    let unread = || {
        let mut cluster = permitting(Some(vec![hosts(Some(("team", "shop")), None)]));
        cluster.namespaces = Reading::Unknown("forbidden".to_owned());
        cluster
    };
    let not_served: Expected = Some((
        Reason::InvalidKind,
        &["host outside of the cluster", "endpoints.external_hosts"],
    ));
    let forbidden: Expected = Some((
        Reason::EndpointNotAllowed,
        &["Forbidden: api.example.com", "spec.externalHosts"],
    ));
    let listed = |names: &[&str]| permitting(Some(vec![hosts(None, Some(names))]));
    let table_of: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("the setting is off", off(), not_served),
        ("the class says nothing", permitting(None), forbidden),
        ("an empty list", permitting(Some(vec![])), forbidden),
        ("any host", permitting(Some(all())), None),
        ("the host", listed(&["api.example.com"]), None),
        ("every name below", listed(&["*.example.com"]), None),
        ("another host", listed(&["www.example.com"]), forbidden),
        ("no host", listed(&[]), forbidden),
        (
            "its namespace",
            permitting(Some(vec![hosts(Some(("team", "shop")), None)])),
            None,
        ),
        (
            "other namespaces",
            permitting(Some(vec![hosts(Some(("team", "blog")), None)])),
            forbidden,
        ),
        (
            "two entries",
            permitting(Some(vec![
                hosts(Some(("team", "blog")), None),
                hosts(Some(("team", "shop")), Some(&["api.example.com"])),
            ])),
            None,
        ),
        (
            "labels that are not known",
            unread(),
            Some((Reason::Pending, &["labels that are not known"])),
        ),
    ];
    for (given, cluster, expected) in table_of {
        for (kind, route) in [("XBackend", to_external()), ("ExternalName", to_service())] {
            let given = format!("{given}: {kind}");
            let cluster = cluster.clone().with(route);
            let resolution = resolved(&cluster);
            assert_verdict(&given, resolution.unresolved("shop/store"), expected);
            let table = table(&cluster);
            let target = &table.listeners[0].routes[0].rules[0].backends[0].target;
            let is_served = *target != BackendTarget::Invalid;
            assert_eq!(is_served, expected.is_none(), "{given}");
            for upstream in table.upstreams.values() {
                let outside = upstream.outside.as_deref().expect("it is held to rules");
                assert_eq!(outside.cluster_ranges.len(), 1, "{given}");
                let name = EndpointHost::Name("api.example.com".to_owned());
                assert_eq!(upstream.endpoints[0].host, name, "{given}");
            }
            assert_eq!(table.upstreams.len(), usize::from(is_served), "{given}");
            let workload = &resolution.gateway(EDGE).parameters.workload;
            let ports: Vec<u16> = workload.outside_ports.iter().copied().collect();
            let expected = if is_served { &[8080][..] } else { &[] };
            assert_eq!(ports, expected, "{given}");
        }
    }
}

#[test]
fn an_authorizer_outside_is_asked_only_where_the_class_permits_its_host() {
    let auth = |place: &str| {
        let mut auth: ExternalAuth = external_auth("shop/api", by_http(), place);
        let to = auth.to.as_mut().unwrap();
        (to.target, to.port) = (external_ref("shop/api"), None);
        auth
    };
    for (given, external_hosts) in [("permitted", Some(vec![hosts(None, None)])), ("not", None)] {
        let is_permitted = external_hosts.is_some();
        let of_listener = Listener {
            filters: vec![auth("spec.listeners[0].filters.requests[0]")],
            ..https("web")
        };
        let of_rule = Filter::ExternalAuth(auth("spec.rules[0].filters[0]"));
        let mut cluster = permitting(external_hosts);
        cluster.gateways = Reading::default();
        let cluster = cluster.with(gateway(EDGE).listening(of_listener));
        let ancestors = &resolved(&cluster).external_backends[0].ancestors;
        assert_eq!(ancestors.len(), 1, "{given}: of a listener alone");
        let cluster = cluster.with(http_route("shop/store").to(EDGE).filter(of_rule));
        let resolution = resolved(&cluster);
        let told = |reason, field| -> Expected {
            let told = Some((reason, field));
            told.filter(|_| !is_permitted)
        };
        assert_verdict(
            given,
            resolution.unresolved("shop/store"),
            told(
                Reason::EndpointNotAllowed,
                &[
                    "spec.rules[0].filters[0].externalAuth.backendRef",
                    "Forbidden: api.example.com",
                ],
            ),
        );
        let unresolved = resolution.gateway(EDGE).listeners[0].unresolved.clone();
        assert_verdict(
            given,
            unresolved.map(|it| (it.reason, it.message)),
            told(
                Reason::InvalidListenerFilterRef,
                &[
                    "spec.listeners[0].filters.requests[0].externalAuth.backendRef",
                    "Forbidden: api.example.com",
                ],
            ),
        );
        let table = table(&cluster);
        let listener = &table.listeners[0];
        assert_eq!(listener.filters[0].to.is_some(), is_permitted, "{given}");
        let of_rule = listener.routes[0].rules[0].filters[0].leads_to();
        assert_eq!(of_rule.is_some(), is_permitted, "{given}");
        assert_eq!(table.upstreams.len(), usize::from(is_permitted), "{given}");
    }
}

#[test]
fn a_name_of_the_cluster_or_an_address_is_no_host_outside() {
    for name in [
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "store.shop.svc.cluster.local",
        "store.shop.svc.cluster.local.",
        "kubernetes.default.svc",
        "localhost",
        "metadata",
        "a b.example.com",
        "",
    ] {
        let mut cluster = permitting(Some(vec![hosts(None, None)]));
        cluster.services = Reading::default();
        let cluster = cluster
            .with(service("shop/outside").external(name))
            .with(to_service());
        let resolution = resolved(&cluster);
        let expected: Expected = Some((Reason::EndpointNotAllowed, &["Service shop/outside"]));
        assert_verdict(name, resolution.unresolved("shop/store"), expected);
        assert!(table(&cluster).upstreams.is_empty(), "{name}");
    }
}

#[test]
fn an_external_backend_is_for_its_namespace_and_says_how_it_is_spoken_to() {
    let any = || permitting(Some(vec![hosts(None, None)]));
    let elsewhere = http_route("blog/store")
        .to(EDGE)
        .backend_ref(external_ref("shop/api"), None);
    let granting = grant("shop", ("HTTPRoute", "blog"), ("XBackend", None));
    let resolution = resolved(&any().with(elsewhere).with(granting));
    let expected: Expected = Some((Reason::RefNotPermitted, &["XBackend shop/api"]));
    assert_verdict("elsewhere", resolution.unresolved("blog/store"), expected);

    let mut absent = any();
    absent.external_backends = Reading::Absent;
    let resolution = resolved(&absent.with(to_external()));
    let expected: Expected = Some((Reason::InvalidKind, &["XBackend", "install its CRD"]));
    assert_verdict("no CRD", resolution.unresolved("shop/store"), expected);

    for (given, backend, has_tls) in [
        ("clear text", external("shop/api", "api.example.com"), false),
        (
            "TLS",
            over_tls(external("shop/api", "api.example.com")),
            true,
        ),
    ] {
        let mut cluster = any();
        cluster.external_backends = Reading::default();
        let resolution = resolved(&cluster.with(backend).with(to_external()));
        assert_eq!(resolution.unresolved("shop/store"), None, "{given}");
        let upstreams = &resolution.gateway(EDGE).table.upstreams;
        let upstream = upstreams.values().next().unwrap();
        assert_eq!(upstream.tls.is_some(), has_tls, "{given}");
        assert!(resolution.backend_tls.is_empty(), "{given}");
    }
}

#[test]
fn an_external_backend_tells_each_gateway_whether_it_is_accepted_there() {
    let flawed = |mut backend: ExternalBackend| {
        let kind = FieldErrorKind::Unsupported;
        backend.field_errors = vec![field_error("spec.protocol", kind)];
        backend
    };
    let permitted = || permitting(Some(vec![hosts(None, None)]));
    let off = || {
        let mut cluster = permitted();
        cluster.endpoint_rules.outside = Outside::No;
        cluster
    };
    for (given, cluster, expected) in [
        (
            "permitted",
            permitted(),
            Some((Truth::True, Reason::Accepted)),
        ),
        (
            "switched off",
            off(),
            Some((Truth::False, Reason::InvalidKind)),
        ),
        (
            "forbidden",
            permitting(None),
            Some((Truth::False, Reason::EndpointNotAllowed)),
        ),
    ] {
        let updates = report(
            &resolved(&cluster.with(to_external())),
            &facts(serving(&[])),
        );
        let part = parts_of(updates, "XBackend").remove(0);
        let found = verdict(&part.conditions, ConditionType::Accepted);
        assert_eq!(Some(found), expected, "{given}");
    }
    let mut cluster = permitted();
    cluster.external_backends = Reading::default();
    let cluster = cluster
        .with(flawed(external("shop/api", "api.example.com")))
        .with(to_external());
    let resolution = resolved(&cluster);
    let expected: Expected = Some((
        Reason::UnsupportedProtocol,
        &["XBackend shop/api: spec.protocol"],
    ));
    assert_verdict("flawed", resolution.unresolved("shop/store"), expected);
    let refusal = resolution.external_backends[0].refusal.as_ref();
    assert_eq!(refusal.map(|it| it.reason), Some(Reason::Invalid));
    assert_eq!(resolution.external_backends[0].ancestors.len(), 1);
}
