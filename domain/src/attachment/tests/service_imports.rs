//! ServiceImports as backends: Services of several clusters.

use std::net::IpAddr;

use super::fixtures::*;
use crate::gateway::{
    AppProtocol, BackendKind, BackendTlsPolicy, EndpointHost, GrantTo, MULTICLUSTER_GROUP,
    PolicyTarget, ReferenceGrant, Route, ServiceImport, TrustSource,
};
use crate::names::ObjectRef;
use crate::snapshot::{ClusterSnapshot, ObjectKind, Reading, UnreadableObject};
use crate::status::Reason;

fn import_ref(name: &str) -> ObjectRef {
    object(MULTICLUSTER_GROUP, "ServiceImport", name)
}

fn to_import(name: &str, port: Option<u16>) -> Route {
    let route = http_route("shop/store").to(EDGE);
    route.backend_ref(import_ref(name), port)
}

/// Service and ServiceImport `shop/store`, each with an endpoint of its own.
fn both() -> ClusterSnapshot {
    shop()
        .with(slice("shop/store", "here").port("", 8080).ready("10.0.0.1"))
        .with(service_import("shop/store", 80))
        .with(
            imported("shop/store", "there")
                .port("", 8080)
                .ready("10.1.0.1"),
        )
}

fn speaking(protocol: AppProtocol) -> ServiceImport {
    let mut import = service_import("shop/store", 80);
    import.ports[0].protocol = protocol;
    import
}

fn granting(kind: &str) -> ReferenceGrant {
    let grant = grant("infra", ("HTTPRoute", "shop"), (kind, None));
    let to = GrantTo {
        group: MULTICLUSTER_GROUP.to_owned(),
        kind: kind.to_owned(),
        name: None,
    };
    ReferenceGrant {
        to: vec![to],
        ..grant
    }
}

#[test]
fn a_service_import_that_leads_nowhere_says_why_and_how_to_mend_it() {
    let plain = || shop().with(service_import("shop/store", 80));
    let absent = || ClusterSnapshot {
        service_imports: Reading::Absent,
        ..shop()
    };
    let unreadable = || {
        let mut cluster = shop();
        let found = UnreadableObject {
            why: "spec.ports is no list".to_owned(),
            parents: None,
        };
        let objects = &mut cluster.unreadable.objects;
        objects.insert(import_ref("shop/store"), found);
        cluster
    };
    let infra = || shop().with(service_import("infra/api", 80));
    let not_found = |words: Words| Some((Reason::BackendNotFound, words));
    let not_permitted: Expected = Some((
        Reason::RefNotPermitted,
        &["ServiceImport infra/api", "to ServiceImport"],
    ));
    let table: Vec<(&str, ClusterSnapshot, Route, Expected)> = vec![
        ("a port", plain(), to_import("shop/store", Some(80)), None),
        (
            "a cluster without the kind",
            absent(),
            to_import("shop/store", Some(80)),
            Some((
                Reason::InvalidKind,
                &["multicluster.x-k8s.io/ServiceImport", "install its CRD"],
            )),
        ),
        (
            "one that is not there, beside a Service of that name",
            shop(),
            to_import("shop/store", Some(80)),
            not_found(&["ServiceImport shop/store does not exist"]),
        ),
        (
            "one that cannot be read",
            unreadable(),
            to_import("shop/store", Some(80)),
            not_found(&["ServiceImport shop/store cannot be read", "no list"]),
        ),
        (
            "another port",
            plain(),
            to_import("shop/store", Some(81)),
            not_found(&["ServiceImport shop/store has no port 81; it has 80"]),
        ),
        (
            "no port",
            plain(),
            to_import("shop/store", None),
            not_found(&["a port of ServiceImport shop/store is needed"]),
        ),
        (
            "a protocol that is not served",
            shop().with(speaking(AppProtocol::Other("tcp".to_owned()))),
            to_import("shop/store", Some(80)),
            Some((
                Reason::UnsupportedProtocol,
                &["port 80 of ServiceImport shop/store"],
            )),
        ),
        (
            "another namespace",
            infra(),
            to_import("infra/api", Some(80)),
            not_permitted,
        ),
        (
            "a grant for Services",
            infra().with(grant("infra", ("HTTPRoute", "shop"), ("Service", None))),
            to_import("infra/api", Some(80)),
            not_permitted,
        ),
        (
            "a grant",
            infra().with(granting("ServiceImport")),
            to_import("infra/api", Some(80)),
            None,
        ),
    ];
    for (given, cluster, route, expected) in table {
        let resolution = resolved(&cluster.with(route));
        assert_verdict(given, resolution.unresolved("shop/store"), expected);
    }
}

/// Addresses of the only upstream of a kind.
fn addresses(cluster: &ClusterSnapshot, kind: BackendKind) -> Vec<IpAddr> {
    let resolution = resolved(cluster);
    let mut upstreams = resolution.gateway(EDGE).table.upstreams.iter();
    let (_, upstream) = upstreams.find(|(key, _)| key.kind == kind).unwrap();
    let hosts = upstream.endpoints.iter().map(|endpoint| &endpoint.host);
    hosts
        .map(|host| match host {
            EndpointHost::Address(address) => *address,
            EndpointHost::Name(name) => panic!("{name}"),
        })
        .collect()
}

#[test]
fn a_service_and_a_service_import_of_one_name_have_their_own_endpoints() {
    let route = to_import("shop/store", Some(80)).backend("shop/store", 80);
    // Some controllers make a Service of another name for the endpoints of a ServiceImport.
    let mut derived = imported("shop/store", "derived")
        .port("", 8080)
        .ready("10.1.0.2");
    derived.service = "derived-1234".to_owned();
    let cluster = both().with(derived).with(route);
    let parsed = |addresses: &[&str]| -> Vec<IpAddr> {
        addresses.iter().map(|it| it.parse().unwrap()).collect()
    };
    assert_eq!(
        addresses(&cluster, BackendKind::Service),
        parsed(&["10.0.0.1"])
    );
    assert_eq!(
        addresses(&cluster, BackendKind::ServiceImport),
        parsed(&["10.1.0.1", "10.1.0.2"])
    );
}

#[test]
fn an_endpoint_of_a_service_import_where_no_request_may_go_is_left_out_and_told() {
    let bad = imported("shop/store", "bad")
        .port("", 80)
        .ready("169.254.169.254");
    let cluster = both().with(bad).with(to_import("shop/store", Some(80)));
    assert_eq!(addresses(&cluster, BackendKind::ServiceImport).len(), 1);
    let expected: Expected = Some((
        Reason::EndpointNotAllowed,
        &["EndpointSlice shop/store-bad", "link-local"],
    ));
    let told = resolved(&cluster).unresolved("shop/store");
    assert_verdict("link-local", told, expected);
}

#[test]
fn a_policy_for_tls_is_for_the_kind_that_it_names() {
    let policy = |target: ObjectRef| BackendTlsPolicy {
        key: key("shop/tls"),
        is_inline: false,
        generation: 1,
        created: crate::names::Timestamp(1),
        targets: vec![PolicyTarget {
            object: target,
            section: None,
        }],
        trust: TrustSource::System,
        hostname: Some(host("store.internal")),
        names: Vec::new(),
        field_errors: Vec::new(),
    };
    let route = || to_import("shop/store", Some(80)).backend("shop/store", 80);
    for (given, target, over_tls) in [
        (
            "a Service",
            object("", "Service", "shop/store"),
            BackendKind::Service,
        ),
        (
            "a ServiceImport",
            import_ref("shop/store"),
            BackendKind::ServiceImport,
        ),
    ] {
        let resolution = resolved(&both().with(policy(target)).with(route()));
        for (key, upstream) in &resolution.gateway(EDGE).table.upstreams {
            assert_eq!(upstream.tls.is_some(), key.kind == over_tls, "{given}");
        }
        assert_eq!(resolution.backend_tls[0].ancestors.len(), 1, "{given}");
    }
}

#[test]
fn service_imports_that_could_not_be_read_matter_only_where_a_route_names_one() {
    let unread = || ClusterSnapshot {
        service_imports: Reading::Unknown("forbidden".to_owned()),
        ..shop()
    };
    let plain = http_route("shop/store").to(EDGE).backend("shop/store", 80);
    assert!(resolved(&unread().with(plain)).is_complete());
    let resolution = resolved(&unread().with(to_import("shop/store", Some(80))));
    let unread: Vec<_> = resolution.unread.keys().copied().collect();
    assert_eq!(unread, [ObjectKind::ServiceImport]);
    assert_eq!(
        resolution.unresolved("shop/store"),
        None,
        "nothing is known"
    );
}
