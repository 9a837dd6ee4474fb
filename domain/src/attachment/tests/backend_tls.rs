use super::fixtures::*;
use crate::attachment::backend_tls::{CA_ROOM, MOST_CA_OBJECTS};
use crate::attachment::{BackendTlsEffect, MOST_ANCESTORS, PolicyResolution, Resolution};
use crate::certificate::{CaBundle, LARGEST_CA_BUNDLE, TrustBundle};
use crate::gateway::{
    AppProtocol, BACKEND_TLS_POLICY_KIND, BackendTlsPolicy, ClusterTrustBundle, FieldErrorKind,
    GATEWAY_GROUP, PolicyTarget, SubjectName, TrustSource,
};
use crate::names::{ObjectKey, ObjectRef, Timestamp};
use crate::route_table::{BackendTarget, RouteTable, Trust, UpstreamKey, UpstreamProtocol};
use crate::snapshot::{ClusterSnapshot, Reading, UnreadableObject};
use crate::status::Reason;

/// A policy in namespace `shop` for Service `store`, that trusts ConfigMap `ca`.
fn policy(name: &str) -> BackendTlsPolicy {
    BackendTlsPolicy {
        key: ObjectKey::new("shop", name),
        is_inline: false,
        generation: 3,
        created: Timestamp(100),
        targets: vec![target("store", None)],
        trust: TrustSource::Objects(vec![config_map("ca")]),
        hostname: Some(host("store.internal")),
        names: Vec::new(),
        field_errors: Vec::new(),
    }
}

fn target(service: &str, section: Option<&str>) -> PolicyTarget {
    PolicyTarget {
        object: object("", "Service", &format!("shop/{service}")),
        section: section.map(str::to_owned),
    }
}

fn config_map(name: &str) -> ObjectRef {
    object("", "ConfigMap", &format!("shop/{name}"))
}

fn bundle(text: &str) -> CaBundle {
    CaBundle::from(text.to_owned())
}

fn usable(text: &str) -> Reading<TrustBundle> {
    Reading::Known(TrustBundle::Usable(bundle(text)))
}

/// Service `shop/store` with ports `web` and `api`, a route to both, and what ConfigMap `ca` holds.
fn cluster_trusting(reading: Option<Reading<TrustBundle>>) -> ClusterSnapshot {
    let store = service("shop/store")
        .named_port("web", 80)
        .named_port("api", 81);
    let mut cluster = cluster()
        .with(gateway(EDGE).listening(https("web")))
        .with(store)
        .with(
            slice("shop/store", "1")
                .port("web", 8080)
                .port("api", 8081)
                .ready("10.0.0.1"),
        )
        .with(
            http_route("shop/store")
                .to(EDGE)
                .backend("shop/store", 80)
                .backend("shop/store", 81),
        );
    let reading = reading.map(|reading| (config_map("ca"), reading));
    cluster.trust.extend(reading);
    cluster
}

fn found<'r>(resolution: &'r Resolution, name: &str) -> &'r PolicyResolution {
    let mut policies = resolution.backend_tls.iter();
    let found = policies.find(|policy| policy.policy.key.name == name);
    found.expect("a policy of that name")
}

fn table(resolution: &Resolution) -> &RouteTable {
    &resolution.gateway(EDGE).table
}

/// The name that is asked for at a port of Service `store`; `None` for clear text. Fails where the port is not spoken to.
fn asked_at(resolution: &Resolution, port: u16) -> Option<String> {
    let mut upstreams = table(resolution).upstreams.iter();
    let (_, upstream) = upstreams.find(|(key, _)| key.port == port).expect("a port");
    assert_eq!(upstream.endpoints.len(), 1);
    let tls = upstream.tls.as_ref();
    tls.map(|tls| tls.hostname.as_str().to_owned())
}

fn targets(resolution: &Resolution) -> Vec<BackendTarget> {
    let rule = &table(resolution).listeners[0].routes[0].rules[0];
    rule.backends
        .iter()
        .map(|backend| backend.target.clone())
        .collect()
}

#[test]
fn a_policy_has_its_service_spoken_to_over_tls_and_tells_the_gateways_that_do() {
    let mut named = policy("tls");
    named.names = vec![SubjectName::Uri("spiffe://a/b".to_owned())];
    let resolution = resolved(&cluster_trusting(Some(usable("A"))).with(named));
    let upstream = table(&resolution).upstreams.values().next().unwrap();
    let tls = upstream.tls.as_deref().unwrap();
    assert_eq!(tls.trust, Trust::Bundles(vec![bundle("A")]));
    assert_eq!(tls.hostname, host("store.internal"));
    assert_eq!(tls.names.len(), 1);
    let policy = found(&resolution, "tls");
    assert_eq!(policy.refusal, None);
    assert_eq!(policy.references, Some(Ok(())));
    assert_eq!(policy.ancestors, [key(EDGE)].into());
    assert_eq!(resolution.trusted_objects(), [config_map("ca")].into());
    assert!(!resolution.gateway(EDGE).awaits_trust);
    let effect = resolution.parents("shop/store")[0].backend_tls.clone();
    let expected = BackendTlsEffect {
        policies: vec![key("shop/tls")],
        unusable: None,
    };
    assert_eq!(effect, Some(expected));
}

#[test]
fn what_cannot_be_trusted_has_a_reason_and_its_service_is_not_spoken_to() {
    let malformed = || Reading::Known(TrustBundle::Malformed("ca.crt is not PEM".to_owned()));
    let invalid_ref = |words: Words| Some((Reason::InvalidCaCertificateRef, words));
    let with = |refs: Vec<ObjectRef>| BackendTlsPolicy {
        trust: TrustSource::Objects(refs),
        ..policy("tls")
    };
    let no_authority = Some(Reason::NoValidCaCertificate);
    let flawed = BackendTlsPolicy {
        field_errors: vec![field_error("spec.options", FieldErrorKind::Unsupported)],
        ..policy("tls")
    };
    let two = || with(vec![config_map("none"), config_map("ca")]);
    type Row = (
        &'static str,
        Reading<TrustBundle>,
        BackendTlsPolicy,
        Option<Reason>,
        Expected,
    );
    let table: Vec<Row> = vec![
        ("a bundle", usable("A"), policy("tls"), None, None),
        (
            "no ConfigMap",
            Reading::Absent,
            policy("tls"),
            no_authority,
            invalid_ref(&[
                "BackendTLSPolicy shop/tls",
                "spec.validation.caCertificateRefs[0]",
                "ConfigMap shop/ca does not exist",
            ]),
        ),
        (
            "no key",
            Reading::Known(TrustBundle::Absent),
            policy("tls"),
            no_authority,
            invalid_ref(&["ConfigMap shop/ca has no key ca.crt"]),
        ),
        (
            "not PEM",
            malformed(),
            policy("tls"),
            no_authority,
            invalid_ref(&["ConfigMap shop/ca: ca.crt is not PEM"]),
        ),
        (
            "another kind",
            usable("A"),
            with(vec![object("example.com", "Vault", "shop/ca")]),
            no_authority,
            Some((Reason::InvalidKind, &["example.com/Vault", "ConfigMap"])),
        ),
        (
            "one of two",
            usable("A"),
            two(),
            None,
            invalid_ref(&["caCertificateRefs[0]"]),
        ),
        (
            "neither of two",
            malformed(),
            two(),
            no_authority,
            invalid_ref(&["ConfigMap shop/none", "ca.crt is not PEM"]),
        ),
        (
            "could not be read",
            Reading::Unknown("no answer".to_owned()),
            policy("tls"),
            Some(Reason::Pending),
            Some((Reason::Pending, &["no answer"])),
        ),
        ("a field", usable("A"), flawed, Some(Reason::Invalid), None),
        (
            "nothing",
            usable("A"),
            with(Vec::new()),
            Some(Reason::Invalid),
            None,
        ),
    ];
    for (given, reading, policy, accepted, resolved_refs) in table {
        let mut cluster = cluster_trusting(Some(reading)).with(policy);
        let absent = (config_map("none"), Reading::Absent);
        cluster.trust.extend([absent]);
        let resolution = resolved(&cluster);
        let policy = found(&resolution, "tls");
        let reason = policy.refusal.as_ref().map(|refusal| refusal.reason);
        assert_eq!(reason, accepted, "{given}");
        let unresolved = policy.references.clone().and_then(Result::err);
        let unresolved = unresolved.map(|it| (it.reason, it.message));
        assert_verdict(given, unresolved, resolved_refs);
        let is_spoken_to = targets(&resolution)
            .iter()
            .all(|target| *target != BackendTarget::Invalid);
        assert_eq!(is_spoken_to, accepted.is_none(), "{given}");
        let told = &resolution.parents("shop/store")[0];
        let effect = told.backend_tls.as_ref().expect("a policy holds");
        assert_eq!(effect.policies, [key("shop/tls")], "{given}");
        assert_eq!(effect.unusable.is_none(), accepted.is_none(), "{given}");
        let of_route = accepted.map(|reason| match reason {
            Reason::Pending => Reason::Pending,
            _ => Reason::UnsupportedProtocol,
        });
        let unresolved = told.unresolved.as_ref().map(|refusal| refusal.reason);
        assert_eq!(unresolved, of_route, "{given}");
        assert_eq!(policy.ancestors, [key(EDGE)].into(), "{given}");
        let clear = table_in_clear(&resolution);
        assert!(clear.is_empty(), "{given}: {clear:?}");
    }
}

fn table_in_clear(resolution: &Resolution) -> Vec<UpstreamKey> {
    let upstreams = table(resolution).upstreams.iter();
    let clear = upstreams.filter(|(_, it)| it.tls.is_none() && !it.endpoints.is_empty());
    clear.map(|(key, _)| key.clone()).collect()
}

#[test]
fn authorities_that_are_about_to_be_read_hold_the_table_back() {
    let resolution = resolved(&cluster_trusting(None).with(policy("tls")));
    assert!(resolution.gateway(EDGE).awaits_trust);
    assert!(table_in_clear(&resolution).is_empty());
    assert_eq!(resolution.trusted_objects(), [config_map("ca")].into());
    // One that no route of ours needs is not read.
    let mut other = policy("tls");
    other.targets = vec![target("other", None)];
    let resolution = resolved(&cluster_trusting(None).with(other));
    assert!(!resolution.gateway(EDGE).awaits_trust);
    assert!(resolution.trusted_objects().is_empty());
    assert!(found(&resolution, "tls").ancestors.is_empty());
}

#[test]
fn the_policy_for_a_port_goes_first_then_the_older_one_then_the_name() {
    let asking = |name: &str, created: i64, section: Option<&str>| BackendTlsPolicy {
        created: Timestamp(created),
        targets: vec![target("store", section)],
        hostname: Some(host(&format!("{name}.internal"))),
        ..policy(name)
    };
    let flawed = |name: &str, created| BackendTlsPolicy {
        field_errors: vec![field_error("spec.options", FieldErrorKind::Unsupported)],
        ..asking(name, created, None)
    };
    for (given, policies, conflicted, at_ports) in [
        (
            "the older one",
            vec![asking("a", 2, None), asking("b", 1, None)],
            vec!["a"],
            [Some("b"), Some("b")],
        ),
        (
            "the name",
            vec![asking("b", 1, None), asking("a", 1, None)],
            vec!["b"],
            [Some("a"), Some("a")],
        ),
        (
            "a port and the whole",
            vec![asking("whole", 1, None), asking("web", 2, Some("web"))],
            vec![],
            [Some("web"), Some("whole")],
        ),
        (
            "two for a port",
            vec![
                asking("old", 1, Some("web")),
                asking("young", 2, Some("web")),
            ],
            vec!["young"],
            [Some("old"), None],
        ),
        (
            "a port that is not there",
            vec![asking("a", 1, Some("none"))],
            vec![],
            [None, None],
        ),
        (
            "a younger right one behind one that cannot be carried out",
            vec![flawed("old", 1), asking("young", 2, None)],
            vec!["young"],
            [Some(""), Some("")],
        ),
    ] {
        let mut cluster = cluster_trusting(Some(usable("A")));
        for policy in policies {
            cluster = cluster.with(policy);
        }
        let resolution = resolved(&cluster);
        let refused = resolution.backend_tls.iter().filter(|policy| {
            let reason = policy.refusal.as_ref().map(|refusal| refusal.reason);
            reason == Some(Reason::Conflicted)
        });
        let refused: Vec<&str> = refused.map(|it| it.policy.key.name.as_str()).collect();
        assert_eq!(refused, conflicted, "{given}");
        for (port, name) in [80, 81].into_iter().zip(at_ports) {
            if name == Some("") {
                assert!(table(&resolution).upstreams.is_empty(), "{given}");
                continue;
            }
            let expected = name.map(|name| format!("{name}.internal"));
            assert_eq!(
                asked_at(&resolution, port),
                expected,
                "{given}, port {port}"
            );
        }
    }
}

#[test]
fn a_policy_is_for_its_own_namespace_and_an_unreadable_one_for_all_of_it() {
    let mut foreign = policy("tls");
    foreign.key = ObjectKey::new("infra", "tls");
    foreign.targets[0].object.key = ObjectKey::new("infra", "store");
    let resolution = resolved(&cluster_trusting(Some(usable("A"))).with(foreign));
    assert_eq!(asked_at(&resolution, 80), None);

    for (namespace, is_spoken_to) in [("infra", true), ("shop", false)] {
        let mut cluster = cluster_trusting(Some(usable("A")));
        let unreadable = ObjectRef {
            group: GATEWAY_GROUP.to_owned(),
            kind: BACKEND_TLS_POLICY_KIND.to_owned(),
            key: ObjectKey::new(namespace, "broken"),
        };
        let objects = &mut cluster.unreadable.objects;
        objects.insert(unreadable, UnreadableObject::default());
        let resolution = resolved(&cluster);
        assert_eq!(
            table_in_clear(&resolution).len(),
            if is_spoken_to { 2 } else { 0 }
        );
        let told = resolution.parents("shop/store")[0].backend_tls.clone();
        assert_eq!(told.is_none(), is_spoken_to, "{told:?}");
    }
}

#[test]
fn what_is_spoken_follows_from_the_port_and_tls_is_never_left_out() {
    use UpstreamProtocol::{H2c, Http1, Negotiated};
    for (says, with_policy, over_http, over_grpc) in [
        (AppProtocol::Http1, false, Some(Http1), Some(H2c)),
        (AppProtocol::Http1, true, Some(Negotiated), Some(H2c)),
        (AppProtocol::H2c, true, Some(H2c), Some(H2c)),
        (AppProtocol::WebSocket, true, Some(Http1), None),
        (AppProtocol::Https, true, Some(Negotiated), Some(H2c)),
        (AppProtocol::Https, false, None, None),
        (AppProtocol::Wss, true, Some(Http1), None),
        (AppProtocol::Wss, false, None, None),
        (AppProtocol::Grpcs, true, Some(H2c), Some(H2c)),
        (AppProtocol::Grpcs, false, None, None),
        (AppProtocol::Other("tls".to_owned()), true, None, None),
    ] {
        for (route, speaks) in [
            (http_route("shop/store"), over_http),
            (grpc_route("shop/store"), over_grpc),
        ] {
            let given = format!("{says:?}, {with_policy}, {}", route.kind.as_str());
            let mut cluster = cluster()
                .with(gateway(EDGE).listening(https("web")))
                .with(service("shop/store").port(443).speaking(says.clone()))
                .with(slice("shop/store", "1").port("", 8443).ready("10.0.0.1"))
                .with(route.to(EDGE).backend("shop/store", 443));
            cluster.trust.insert(config_map("ca"), usable("A"));
            if with_policy {
                cluster = cluster.with(policy("tls"));
            }
            let resolution = resolved(&cluster);
            let upstreams = &table(&resolution).upstreams;
            let found = upstreams.iter().next();
            assert_eq!(found.map(|(key, _)| key.protocol), speaks, "{given}");
            if let Some((_, upstream)) = found {
                assert_eq!(upstream.tls.is_some(), with_policy, "{given}");
            }
            let reason = resolution
                .unresolved("shop/store")
                .map(|(reason, _)| reason);
            let refused = speaks.is_none().then_some(Reason::UnsupportedProtocol);
            assert_eq!(reason, refused, "{given}");
        }
    }
}

#[test]
fn a_namespace_brings_no_more_than_it_has_room_for_and_older_policies_keep_theirs() {
    let large = "x".repeat(LARGEST_CA_BUNDLE);
    let mut cluster = cluster_trusting(Some(usable(&large)));
    // Each is for two ports.
    let fit = CA_ROOM / (2 * LARGEST_CA_BUNDLE);
    for index in 0..=fit {
        let name = format!("store-{index:03}");
        let two_ports = service(&format!("shop/{name}"))
            .port(80)
            .named_port("b", 81);
        cluster = cluster.with(two_ports).with(BackendTlsPolicy {
            targets: vec![target(&name, None)],
            ..policy(&name)
        });
    }
    let resolution = resolved(&cluster);
    let refused = resolution
        .backend_tls
        .iter()
        .filter(|it| it.refusal.is_some());
    let refused: Vec<&str> = refused.map(|it| it.policy.key.name.as_str()).collect();
    assert_eq!(refused, [format!("store-{fit:03}")]);

    let mut cluster = cluster_trusting(None);
    for index in 0..=MOST_CA_OBJECTS {
        let name = format!("store-{index:03}");
        cluster.trust.insert(config_map(&name), usable("A"));
        cluster = cluster.with(BackendTlsPolicy {
            targets: vec![target(&name, None)],
            trust: TrustSource::Objects(vec![config_map(&name)]),
            ..policy(&name)
        });
    }
    let resolution = resolved(&cluster);
    let refused = resolution
        .backend_tls
        .iter()
        .filter(|it| it.refusal.is_some());
    let refused: Vec<&str> = refused.map(|it| it.policy.key.name.as_str()).collect();
    assert_eq!(refused, [format!("store-{MOST_CA_OBJECTS:03}")]);
}

#[test]
fn a_cluster_trust_bundle_is_trusted_without_a_grant_where_the_cluster_has_the_kind() {
    let named = ObjectRef {
        key: ObjectKey::new("", "corp"),
        ..object("certificates.k8s.io", "ClusterTrustBundle", "shop/corp")
    };
    let holding = |trust| {
        let name = "corp".to_owned();
        Reading::Known(vec![ClusterTrustBundle { name, trust }])
    };
    let bundle_of = |pem: &str| TrustBundle::Usable(CaBundle::from(pem.to_owned()));
    let malformed = TrustBundle::Malformed("spec.trustBundle is not PEM".to_owned());
    let no_authority = Some(Reason::NoValidCaCertificate);
    let invalid = |words: Words| Some((Reason::InvalidCaCertificateRef, words));
    for (given, bundles, accepted, resolved_refs) in [
        ("there", holding(bundle_of("C")), None, None),
        (
            "not there",
            Reading::Known(Vec::new()),
            no_authority,
            invalid(&["ClusterTrustBundle corp does not exist"]),
        ),
        (
            "empty",
            holding(TrustBundle::Absent),
            no_authority,
            invalid(&["ClusterTrustBundle corp has an empty spec.trustBundle"]),
        ),
        (
            "malformed",
            holding(malformed),
            no_authority,
            invalid(&["spec.trustBundle is not PEM"]),
        ),
        (
            "the cluster does not have the kind",
            Reading::Absent,
            no_authority,
            Some((Reason::InvalidKind, &["this cluster does not serve"])),
        ),
        (
            "not to be read",
            Reading::Unknown("forbidden".to_owned()),
            Some(Reason::Pending),
            Some((Reason::Pending, &["forbidden"])),
        ),
    ] {
        let of_bundle = BackendTlsPolicy {
            trust: TrustSource::Objects(vec![named.clone()]),
            ..policy("tls")
        };
        let mut cluster = cluster_trusting(None).with(of_bundle);
        cluster.trust_bundles = bundles;
        let resolution = resolved(&cluster);
        assert!(resolution.is_complete(), "{given}");
        let policy = found(&resolution, "tls");
        let reason = policy.refusal.as_ref().map(|refusal| refusal.reason);
        assert_eq!(reason, accepted, "{given}");
        let unresolved = policy.references.clone().and_then(Result::err);
        let unresolved = unresolved.map(|it| (it.reason, it.message));
        assert_verdict(given, unresolved, resolved_refs);
        let is_spoken_to = targets(&resolution)
            .iter()
            .all(|target| *target != BackendTarget::Invalid);
        assert_eq!(is_spoken_to, accepted.is_none(), "{given}");
        assert!(resolution.trusted_objects().is_empty(), "{given}");
        assert!(!resolution.gateway(EDGE).awaits_trust, "{given}");
    }
}

#[test]
fn a_policy_for_a_port_that_is_not_there_or_not_for_tcp_says_so_where_the_service_is_used() {
    let with = |targets: Vec<PolicyTarget>| BackendTlsPolicy {
        targets,
        ..policy("tls")
    };
    let store = |section| target("store", section);
    let no_grpc = "spec.targetRefs[0].sectionName: Not found: Service shop/store has no port grpc";
    let no_tcp = "spec.targetRefs[0].sectionName: Invalid value: dns: must be a port for TCP";
    let mixed = "has no effect on ports of Service shop/store that are not for TCP (dns)";
    type Row = (
        &'static str,
        Vec<PolicyTarget>,
        Option<Reason>,
        &'static str,
        bool,
    );
    let rows: Vec<Row> = vec![
        ("a port", vec![store(Some("web"))], None, "", true),
        (
            "no such port",
            vec![store(Some("grpc"))],
            Some(Reason::TargetNotFound),
            no_grpc,
            false,
        ),
        (
            "a port for UDP",
            vec![store(Some("dns"))],
            Some(Reason::Invalid),
            no_tcp,
            false,
        ),
        (
            "no such port, and one that is there",
            vec![store(Some("grpc")), store(Some("web"))],
            None,
            no_grpc,
            true,
        ),
        ("all ports", vec![store(None)], None, mixed, true),
        (
            "no such Service, which nothing leads to",
            vec![target("none", Some("grpc"))],
            None,
            "",
            false,
        ),
    ];
    for (given, targets, expected, told, is_tls) in rows {
        let is_seen = targets[0].object.key == key("shop/store");
        let cluster = cluster_trusting(Some(usable("A"))).with(with(targets));
        let mut cluster = cluster;
        let Reading::Known(services) = &mut cluster.services else {
            panic!("no Services");
        };
        services[0].other_ports.push("dns".to_owned());
        let resolution = resolved(&cluster);
        let found = found(&resolution, "tls");
        let reason = found.refusal.as_ref().map(|refusal| refusal.reason);
        assert_eq!(reason, expected, "{given}");
        let refusal = found
            .refusal
            .as_ref()
            .map(|refusal| refusal.message.clone());
        let text = refusal.unwrap_or_else(|| found.warnings.join("; "));
        assert!(text.contains(told), "{given}: {text}");
        assert_eq!(text.is_empty(), told.is_empty(), "{given}: {text}");
        assert_eq!(found.ancestors.len(), usize::from(is_seen), "{given}");
        let asked = asked_at(&resolution, 80);
        assert_eq!(asked.is_some(), is_tls, "{given}");
    }
    let udp = service("shop/dns").udp_port("dns");
    let cluster = cluster_trusting(Some(usable("A")))
        .with(udp)
        .with(with(vec![target("dns", None)]));
    let resolution = resolved(&cluster);
    let refusal = found(&resolution, "tls").refusal.as_ref();
    assert_eq!(refusal.map(|it| it.reason), Some(Reason::Invalid));
}

#[test]
fn a_policy_is_carried_out_on_sixteen_gateways_the_oldest() {
    let mut cluster = cluster_trusting(Some(usable("A"))).with(policy("tls"));
    // The first by name is the youngest.
    for index in 0..=MOST_ANCESTORS {
        let name = format!("shop/g{index:02}");
        let mut other = gateway(&name).listening(https("web"));
        other.created = Timestamp(1_000 - i64::try_from(index).unwrap());
        let route = http_route(&format!("shop/r{index:02}")).to(&name);
        cluster = cluster.with(other).with(route.backend("shop/store", 80));
    }
    let resolution = resolved(&cluster);
    let policy = found(&resolution, "tls");
    assert_eq!(policy.ancestors.len(), MOST_ANCESTORS);
    for (name, route, has_room) in [
        (EDGE, "shop/store", true),
        ("shop/g16", "shop/r16", true),
        ("shop/g02", "shop/r02", true),
        ("shop/g01", "shop/r01", false),
        ("shop/g00", "shop/r00", false),
    ] {
        assert_eq!(policy.ancestors.contains(&key(name)), has_room, "{name}");
        let upstreams = resolution.gateway(name).table.upstreams.values();
        for upstream in upstreams {
            assert_eq!(upstream.tls.is_some(), has_room, "{name}");
            assert_eq!(upstream.endpoints.is_empty(), !has_room, "{name}");
        }
        let parent = &resolution.parents(route)[0];
        let unusable = parent.backend_tls.as_ref().unwrap().unusable.as_ref();
        assert_eq!(unusable.is_none(), has_room, "{unusable:?}");
        let unresolved = parent.unresolved.as_ref().map(|refusal| refusal.reason);
        let expected = (!has_room).then_some(Reason::UnsupportedProtocol);
        assert_eq!(unresolved, expected, "{name}");
    }
}
