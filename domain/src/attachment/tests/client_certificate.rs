use super::fixtures::*;
use crate::attachment::Resolution;
use crate::certificate::{CaBundle, Fingerprint, TlsPair, TrustBundle};
use crate::gateway::{BackendTlsPolicy, PolicyTarget, TrustSource};
use crate::names::{ObjectKey, ObjectRef, Timestamp};
use crate::report::report;
use crate::route_table::Upstream;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Reason, Truth};

/// Gateway `shop/edge` with this `clientCertificateRef`, in front of Services `store` (over TLS) and `clear`.
fn cluster_showing(target: Option<ObjectRef>) -> ClusterSnapshot {
    let mut gateway = gateway(EDGE).listening(https("web"));
    gateway.client_certificate = target;
    let ca = object("", "ConfigMap", "shop/ca");
    let policy = BackendTlsPolicy {
        key: ObjectKey::new("shop", "tls"),
        is_inline: false,
        generation: 1,
        created: Timestamp(0),
        targets: vec![PolicyTarget {
            object: object("", "Service", "shop/store"),
            section: None,
        }],
        trust: TrustSource::Objects(vec![ca.clone()]),
        hostname: Some(host("store.internal")),
        names: Vec::new(),
        field_errors: Vec::new(),
    };
    let mut cluster = cluster()
        .with(gateway)
        .with(service("shop/store").port(80))
        .with(slice("shop/store", "1").port("", 8080).ready("10.0.0.1"))
        .with(service("shop/clear").port(80))
        .with(slice("shop/clear", "1").port("", 8080).ready("10.0.0.2"))
        .with(
            http_route("shop/store")
                .to(EDGE)
                .backend("shop/store", 80)
                .backend("shop/clear", 80),
        )
        .with(policy);
    let bundle = TrustBundle::Usable(CaBundle::from("A".to_owned()));
    cluster.trust.insert(ca, Reading::Known(bundle));
    cluster
}

fn upstream<'r>(resolution: &'r Resolution, name: &str) -> &'r Upstream {
    let mut upstreams = resolution.gateway(EDGE).table.upstreams.iter();
    let found = upstreams.find(|(key, _)| key.service.name == name);
    found.expect("an upstream of that name").1
}

fn secret(name: &str) -> Option<ObjectRef> {
    Some(object("", "Secret", name))
}

#[test]
fn the_certificate_is_shown_to_backends_over_tls_and_to_no_other() {
    let cluster = cluster_showing(secret("shop/client")).certificate("shop/client", &[]);
    let resolution = resolved(&cluster);
    let tls = upstream(&resolution, "store").tls.as_ref().unwrap();
    let client = tls.client.as_ref().unwrap();
    assert_eq!(client.secret, key("shop/client"));
    assert_eq!(client.fingerprint, Fingerprint::of(b"shop/client"));
    assert_eq!(upstream(&resolution, "clear").tls, None);
    let table = &resolution.gateway(EDGE).table;
    assert_eq!(table.client_certificate(), Some(client));
}

#[test]
fn a_certificate_that_does_not_resolve_is_told_and_no_backend_is_spoken_to_over_tls() {
    let invalid = |words: Words| Some((Reason::InvalidClientCertificateRef, words));
    let malformed = TlsPair::Malformed("tls.key is not the key".to_owned());
    let granted = || grant("infra", ("Gateway", "shop"), ("Secret", None));
    let foreign = || cluster_showing(secret("infra/client")).certificate("infra/client", &[]);
    for (given, cluster, expected) in [
        (
            "no Secret",
            cluster_showing(secret("shop/client")).secret_reading("shop/client", Reading::Absent),
            invalid(&[
                "Gateway shop/edge: spec.tls.backend.clientCertificateRef",
                "Secret shop/client does not exist",
            ]),
        ),
        (
            "another group",
            cluster_showing(Some(object("example.com", "Secret", "shop/client"))),
            invalid(&["example.com/Secret is not served"]),
        ),
        (
            "another kind",
            cluster_showing(Some(object("", "ConfigMap", "shop/client"))),
            invalid(&["ConfigMap is not served"]),
        ),
        (
            "another kind of another namespace",
            cluster_showing(Some(object("", "ConfigMap", "infra/client"))),
            Some((
                Reason::RefNotPermitted,
                &["ConfigMap infra/client may not be referred to"],
            )),
        ),
        (
            "another kind of another namespace, granted",
            cluster_showing(Some(object("", "ConfigMap", "infra/client"))).with(grant(
                "infra",
                ("Gateway", "shop"),
                ("ConfigMap", None),
            )),
            invalid(&["ConfigMap is not served"]),
        ),
        (
            "without a certificate",
            cluster_showing(secret("shop/client")).secret("shop/client", &[]),
            invalid(&["needs a certificate chain under tls.crt"]),
        ),
        (
            "malformed",
            cluster_showing(secret("shop/client")).tls("shop/client", malformed),
            invalid(&["tls.key is not the key"]),
        ),
        (
            "of another namespace",
            foreign(),
            Some((
                Reason::RefNotPermitted,
                &["add a ReferenceGrant in namespace infra"],
            )),
        ),
        ("granted", foreign().with(granted()), None),
    ] {
        let resolution = resolved(&cluster);
        let gateway = resolution.gateway(EDGE);
        let certificate = gateway.client_certificate.clone().unwrap();
        let refusal = certificate.refusal.map(|it| (it.reason, it.message));
        assert_verdict(given, refusal, expected);
        assert_eq!(gateway.refusal, None, "{given}");
        let count = |name| upstream(&resolution, name).endpoints.len();
        let is_refused = expected.is_some();
        assert_eq!(count("store"), usize::from(!is_refused), "{given}");
        assert_eq!(count("clear"), 1, "{given}");
        assert!(!gateway.awaits_trust, "{given}");
        let updates = report(&resolution, &facts(serving(&[])));
        let parts = parts_of(updates, "Gateway");
        let (truth, reason) = match expected {
            Some((reason, _)) => (Truth::False, reason),
            None => (Truth::True, Reason::ResolvedRefs),
        };
        let told = verdict(&parts[0].conditions, ConditionType::ResolvedRefs);
        assert_eq!(told, (truth, reason), "{given}");
        let accepted = verdict(&parts[0].conditions, ConditionType::Accepted);
        assert_eq!(accepted.0, Truth::True, "{given}");
    }
}

#[test]
fn a_secret_that_was_not_read_holds_the_table_back_and_is_followed() {
    let resolution = resolved(&cluster_showing(secret("shop/client")));
    assert!(resolution.gateway(EDGE).awaits_trust);
    assert!(upstream(&resolution, "store").endpoints.is_empty());
    let followed = resolution.referenced_secrets();
    assert!(followed.contains(&object("", "Secret", "shop/client")));
    let without = resolved(&cluster_showing(None));
    assert!(!without.gateway(EDGE).awaits_trust);
    assert_eq!(without.gateway(EDGE).client_certificate, None);
}
