//! What Gateways ask of visitors.

use super::fixtures::*;
use crate::attachment::{GatewayDefaults, ListenerResolution, Resolution, resolve};
use crate::capabilities::EdgeKind;
use crate::certificate::{CaBundle, TrustBundle};
use crate::gateway::{
    AllowedNamespaces, CONTROLLER_NAME, ClusterTrustBundle, FrontendMode, FrontendTls,
    FrontendValidation, Gateway,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::report::report;
use crate::route_table::ClientValidation;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Reason, Truth};

fn config_map(name: &str) -> ObjectRef {
    object("", "ConfigMap", name)
}

fn asking(field: &str, authorities: Vec<ObjectRef>) -> FrontendValidation {
    FrontendValidation {
        field: field.to_owned(),
        mode: FrontendMode::ValidOnly,
        authorities,
    }
}

/// Gateway `shop/edge` with an HTTP listener and HTTPS listeners on ports 443 and 8443, that asks this by default.
fn edge(default: Option<FrontendValidation>) -> Gateway {
    let mut gateway = gateway(EDGE)
        .listening(http("clear"))
        .listening(https("web"))
        .listening(https("other").on(8443));
    gateway.frontend = Some(FrontendTls {
        default,
        ..FrontendTls::default()
    });
    gateway
}

fn usable(pem: &str) -> Reading<TrustBundle> {
    Reading::Known(TrustBundle::Usable(CaBundle::from(pem.to_owned())))
}

/// A cluster where ConfigMap `shop/ca` holds `A`.
fn cluster_with(gateway: Gateway) -> ClusterSnapshot {
    let mut cluster = cluster().with(gateway);
    cluster.trust.insert(config_map("shop/ca"), usable("A"));
    cluster
}

fn resolved_behind(edge: EdgeKind, cluster: &ClusterSnapshot) -> Resolution {
    let defaults = GatewayDefaults {
        edge,
        ..GatewayDefaults::default()
    };
    resolve(cluster, CONTROLLER_NAME, &defaults)
}

fn behind_handing(cluster: &ClusterSnapshot) -> Resolution {
    resolved_behind(EdgeKind::HandingCertificates, cluster)
}

fn asked(ports: &[u16], authorities: &[&str]) -> ClientValidation {
    let authorities = authorities
        .iter()
        .map(|pem| CaBundle::from((*pem).to_owned()));
    ClientValidation {
        ports: ports.iter().copied().collect(),
        authorities: authorities.collect(),
    }
}

#[test]
fn visitors_of_https_listeners_are_asked_by_port_or_by_default() {
    let mut gateway = edge(Some(asking("default", vec![config_map("shop/ca")])));
    let frontend = gateway.frontend.as_mut().unwrap();
    let of_port = |field, mode| FrontendValidation {
        mode,
        ..asking(field, vec![config_map("shop/other")])
    };
    let cases = [
        ("default alone", None, vec![asked(&[443, 8443], &["A"])]),
        (
            "another at a port",
            Some(Some(of_port("perPort[0]", FrontendMode::ValidOnly))),
            vec![asked(&[443], &["A"]), asked(&[8443], &["B"])],
        ),
        ("nothing at a port", Some(None), vec![asked(&[443], &["A"])]),
        (
            "nobody is refused at a port",
            Some(Some(of_port("perPort[0]", FrontendMode::InsecureFallback))),
            vec![asked(&[443], &["A"])],
        ),
    ];
    let frontend = frontend.clone();
    for (given, at_port, expected) in cases {
        let mut frontend = frontend.clone();
        frontend.per_port.extend(at_port.map(|it| (8443, it)));
        gateway.frontend = Some(frontend);
        let mut cluster = cluster_with(gateway.clone());
        cluster.trust.insert(config_map("shop/other"), usable("B"));
        let resolution = behind_handing(&cluster);
        let found = resolution.gateway(EDGE);
        assert_eq!(found.table.client_validation, expected, "{given}");
        assert!(
            found.listeners.iter().all(ListenerResolution::is_served),
            "{given}"
        );
        assert!(!found.awaits_trust, "{given}");
    }
}

#[test]
fn what_cannot_be_trusted_is_told_at_https_listeners_and_refuses_every_visitor() {
    type Told = Option<(Reason, Words)>;
    type Row = (
        &'static str,
        Vec<ObjectRef>,
        Option<(ObjectRef, Reading<TrustBundle>)>,
        Told,
        Told,
        Words,
    );
    let no_valid: fn(Words) -> Told = |words| Some((Reason::NoValidCaCertificate, words));
    let malformed = TrustBundle::Malformed("ca.crt is no PEM".to_owned());
    let granted = || grant("infra", ("Gateway", "shop"), ("ConfigMap", None));
    let cases: [Row; 9] = [
        (
            "good",
            vec![config_map("shop/ca")],
            None,
            None,
            None,
            &["A"],
        ),
        (
            "not there",
            vec![config_map("shop/gone")],
            Some((config_map("shop/gone"), Reading::Absent)),
            Some((
                Reason::InvalidCaCertificateRef,
                &[
                    "Gateway shop/edge: field.caCertificateRefs[0]: ConfigMap shop/gone does not exist",
                ],
            )),
            no_valid(&["ConfigMap shop/gone does not exist"]),
            &[],
        ),
        (
            "malformed",
            vec![config_map("shop/bad")],
            Some((config_map("shop/bad"), Reading::Known(malformed))),
            Some((Reason::InvalidCaCertificateRef, &["ca.crt is no PEM"])),
            no_valid(&[]),
            &[],
        ),
        (
            "without the key",
            vec![config_map("shop/bad")],
            Some((config_map("shop/bad"), Reading::Known(TrustBundle::Absent))),
            Some((Reason::InvalidCaCertificateRef, &["has no key ca.crt"])),
            no_valid(&[]),
            &[],
        ),
        (
            "another kind",
            vec![object("", "Service", "shop/ca")],
            None,
            Some((Reason::InvalidCaCertificateKind, &["Service is not served"])),
            no_valid(&[]),
            &[],
        ),
        (
            "another namespace",
            vec![config_map("infra/ca")],
            Some((config_map("infra/ca"), usable("B"))),
            Some((
                Reason::RefNotPermitted,
                &["add a ReferenceGrant in namespace infra"],
            )),
            no_valid(&[]),
            &[],
        ),
        (
            "another kind in another namespace",
            vec![object("", "Service", "infra/ca")],
            None,
            Some((Reason::RefNotPermitted, &[])),
            no_valid(&[]),
            &[],
        ),
        (
            "one of two",
            vec![config_map("shop/gone"), config_map("shop/ca")],
            Some((config_map("shop/gone"), Reading::Absent)),
            Some((Reason::InvalidCaCertificateRef, &["caCertificateRefs[0]"])),
            None,
            &["A"],
        ),
        (
            "none is named",
            vec![],
            None,
            None,
            no_valid(&["Required value"]),
            &[],
        ),
    ];
    for (given, refs, reading, unresolved, refusal, authorities) in cases {
        let mut cluster = cluster_with(edge(Some(asking("field", refs))));
        cluster.trust.extend(reading);
        let resolution = behind_handing(&cluster);
        for name in ["web", "other"] {
            let listener = resolution.listener(name);
            let told = |refusal: &Option<crate::attachment::Refusal>| {
                refusal.clone().map(|it| (it.reason, it.message))
            };
            assert_verdict(given, told(&listener.unresolved), unresolved);
            assert_verdict(given, told(&listener.refusal), refusal);
            assert_eq!(listener.is_served(), refusal.is_none(), "{given}");
        }
        assert!(resolution.listener("clear").is_served(), "{given}");
        let gateway = resolution.gateway(EDGE);
        assert_eq!(gateway.refusal, None, "{given}");
        let expected = [asked(&[443, 8443], authorities)];
        assert_eq!(gateway.table.client_validation, expected, "{given}");
    }
    let refs = vec![config_map("infra/ca")];
    let mut cluster = cluster_with(edge(Some(asking("field", refs)))).with(granted());
    cluster.trust.insert(config_map("infra/ca"), usable("B"));
    let resolution = behind_handing(&cluster);
    assert!(resolution.listener("web").is_served(), "granted");
}

#[test]
fn an_edge_that_hands_on_no_certificate_has_listeners_refused_that_ask_for_one() {
    let cluster = cluster_with(edge(Some(asking("field", vec![config_map("shop/ca")]))));
    let resolution = resolved_behind(EdgeKind::Cloudflare, &cluster);
    let refusal = resolution.listener("web").refusal.clone().unwrap();
    assert_eq!(refusal.reason, Reason::UnsupportedValue);
    assert!(refusal.message.contains("tunnel.edge_hands_certificates"));
    assert!(resolution.listener("clear").is_served());
    let table = &resolution.gateway(EDGE).table;
    assert_eq!(table.client_validation, [asked(&[443, 8443], &[])]);
}

#[test]
fn authorities_that_were_not_read_hold_the_table_back_and_are_followed() {
    let mut cluster = cluster_with(edge(Some(asking("field", vec![config_map("shop/ca")]))));
    cluster.trust.clear();
    let resolution = behind_handing(&cluster);
    let gateway = resolution.gateway(EDGE);
    assert!(gateway.awaits_trust);
    assert_eq!(gateway.table.client_validation, [asked(&[443, 8443], &[])]);
    let followed = [config_map("shop/ca")].into();
    assert_eq!(resolution.trusted_objects(), followed);
}

#[test]
fn a_gateway_has_a_limit_of_authorities_and_of_their_size() {
    let names: Vec<_> = (0..65)
        .map(|n| config_map(&format!("shop/ca-{n}")))
        .collect();
    let large = "A".repeat(300 << 10);
    for (given, pem, refs, told) in [
        (
            "too many",
            "A",
            names.as_slice(),
            "a Gateway may name 64 objects",
        ),
        (
            "too large",
            large.as_str(),
            &names[..16],
            "at most 4194304 bytes",
        ),
    ] {
        let mut cluster = cluster_with(edge(Some(asking("field", refs.to_vec()))));
        for name in &names {
            cluster.trust.insert(name.clone(), usable(pem));
        }
        let resolution = behind_handing(&cluster);
        let listener = resolution.listener("web");
        let refusal = listener.refusal.as_ref().or(listener.unresolved.as_ref());
        let message = &refusal.expect("it is told").message;
        assert!(message.contains(told), "{given}: {message}");
    }
}

#[test]
fn listeners_of_a_listener_set_are_asked_too_and_told_no_name_of_the_gateways() {
    let mut gateway = edge(Some(asking("field", vec![config_map("shop/gone")])));
    gateway.allowed_listeners = AllowedNamespaces::All;
    let set = listener_set("team/set").adding(https("theirs").on(2053));
    let mut cluster = cluster_with(gateway).with(set);
    cluster
        .trust
        .insert(config_map("shop/gone"), Reading::Absent);
    let resolution = behind_handing(&cluster);
    let theirs = resolution.listener("theirs");
    let refusal = theirs.refusal.as_ref().unwrap();
    assert_eq!(refusal.reason, Reason::NoValidCaCertificate);
    assert!(!refusal.message.contains("gone"), "{}", refusal.message);
    let expected = [asked(&[443, 2053, 8443], &[])];
    assert_eq!(resolution.gateway(EDGE).table.client_validation, expected);
}

#[test]
fn a_gateway_that_refuses_nobody_says_so_until_it_does() {
    for (mode, expected) in [
        (FrontendMode::ValidOnly, None),
        (
            FrontendMode::InsecureFallback,
            Some((Truth::True, Reason::ConfigurationChanged)),
        ),
    ] {
        let validation = FrontendValidation {
            mode,
            ..asking(
                "spec.tls.frontend.default.validation",
                vec![config_map("shop/ca")],
            )
        };
        let resolution = behind_handing(&cluster_with(edge(Some(validation))));
        let updates = report(&resolution, &facts(serving(&[])));
        let parts = parts_of(updates, "Gateway");
        let mut conditions = parts[0].conditions.iter();
        let told = conditions.find(|it| it.kind == ConditionType::InsecureFrontendValidationMode);
        assert_eq!(told.map(|it| (it.truth, it.reason)), expected);
    }
}

#[test]
fn a_cluster_trust_bundle_is_trusted_for_visitors_where_the_cluster_has_the_kind() {
    let named = ObjectRef {
        key: ObjectKey::new("", "corp"),
        ..object("certificates.k8s.io", "ClusterTrustBundle", "shop/corp")
    };
    let bundle = ClusterTrustBundle {
        name: "corp".to_owned(),
        trust: TrustBundle::Usable(CaBundle::from("C".to_owned())),
    };
    let missing = Some(Reason::InvalidCaCertificateRef);
    let no_kind = Some(Reason::InvalidCaCertificateKind);
    for (given, bundles, unresolved, authorities) in [
        ("there", Reading::Known(vec![bundle]), None, &["C"][..]),
        ("not there", Reading::Known(Vec::new()), missing, &[]),
        ("no such kind", Reading::Absent, no_kind, &[]),
    ] {
        let mut cluster = cluster_with(edge(Some(asking("field", vec![named.clone()]))));
        cluster.trust_bundles = bundles;
        let resolution = behind_handing(&cluster);
        let listener = resolution.listener("web");
        let told = listener.unresolved.as_ref().map(|it| it.reason);
        assert_eq!(told, unresolved, "{given}");
        assert_eq!(listener.is_served(), unresolved.is_none(), "{given}");
        let table = &resolution.gateway(EDGE).table;
        let expected = [asked(&[443, 8443], authorities)];
        assert_eq!(table.client_validation, expected, "{given}");
    }
}
