//! BackendTLSPolicies, and the certificate authorities that they trust.

use adapter_gateway_api::{Object, read};
use domain::Hostname;
use domain::certificate::{LARGEST_CA_BUNDLE, TrustBundle};
use domain::gateway::{BackendTlsPolicy, SubjectName, TrustSource};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::json;

use crate::{object, reference, summary, value};

fn text(spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: tls, namespace: apps}}\n\
         spec: {{{spec}}}"
    )
}

fn policy(spec: &str) -> BackendTlsPolicy {
    match object(&text(spec)) {
        Object::BackendTlsPolicy(policy) => policy,
        other => panic!("{other:?}"),
    }
}

const TARGET: &str = "targetRefs: [{group: '', kind: Service, name: store}]";

#[test]
fn a_policy_is_read_as_it_is_written() {
    let policy = policy(
        "targetRefs: [{group: '', kind: Service, name: store, sectionName: web}], \
         validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}], hostname: store.internal, \
         subjectAltNames: [{type: Hostname, hostname: '*.internal'}, {type: URI, uri: 'spiffe://a/b'}]}",
    );
    assert_eq!(policy.field_errors, []);
    let target = &policy.targets[0];
    assert_eq!(target.object, reference("", "Service", "apps", "store"));
    assert_eq!(target.section.as_deref(), Some("web"));
    let trusted = vec![reference("", "ConfigMap", "apps", "ca")];
    assert_eq!(policy.trust, TrustSource::Objects(trusted));
    assert_eq!(policy.hostname, Hostname::parse("store.internal").ok());
    let wildcard = SubjectName::Hostname(Hostname::parse("*.internal").unwrap());
    let uri = SubjectName::Uri("spiffe://a/b".to_owned());
    assert_eq!(policy.names, [wildcard, uri]);
}

#[test]
fn what_is_wrong_in_a_policy_is_told_by_its_field() {
    let validation = "validation: {wellKnownCACertificates: System, hostname: a.internal";
    for (spec, expected) in [
        (format!("{TARGET}, {validation}}}"), vec![]),
        (
            format!("{TARGET}, {validation}}}, options: {{a/b: c}}"),
            vec!["unsupported spec.options"],
        ),
        (
            format!("{TARGET}, {validation}, subjectAltNames: [{{type: Email}}]}}"),
            vec!["unsupported spec.validation.subjectAltNames[0].type"],
        ),
        (
            format!("{TARGET}, {validation}, subjectAltNames: [{{type: URI, hostname: a.b}}]}}"),
            vec![
                "invalid spec.validation.subjectAltNames[0].hostname",
                "invalid spec.validation.subjectAltNames[0].uri",
            ],
        ),
        (
            format!(
                "{TARGET}, {validation}, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}"
            ),
            vec!["invalid spec.validation.wellKnownCACertificates"],
        ),
        (
            format!(
                "{TARGET}, validation: {{wellKnownCACertificates: example.com/own, hostname: a.internal}}"
            ),
            vec!["unsupported spec.validation.wellKnownCACertificates"],
        ),
        (
            format!(
                "{TARGET}, validation: {{wellKnownCACertificates: System, hostname: '*.internal'}}"
            ),
            vec!["invalid spec.validation.hostname"],
        ),
        (
            format!(
                "targetRefs: [{{group: '', kind: Service, name: store}}, {{group: '', kind: Service, name: store, sectionName: a}}], {validation}}}"
            ),
            vec!["invalid spec.targetRefs[1]"],
        ),
        (
            format!("{TARGET}, validation: store"),
            vec!["invalid spec.validation"],
        ),
        (
            TARGET.to_owned(),
            vec![
                "invalid spec.validation",
                "invalid spec.validation.hostname",
            ],
        ),
    ] {
        let policy = policy(&spec);
        let mut found = summary(&policy.field_errors);
        found.dedup();
        assert_eq!(found, expected, "{spec}");
        // Whatever else is wrong, it is known what the policy is for.
        assert!(!policy.targets.is_empty(), "{spec}");
    }
    assert!(read(value(&text("targetRefs: store"))).is_err());
}

fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    params.self_signed(&key).expect("a certificate").pem()
}

fn trust(kind: &str, pem: &str) -> TrustBundle {
    let field = match kind {
        "Secret" => "stringData",
        _ => "data",
    };
    let written = json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": "ca", "namespace": "apps"},
        field: {"ca.crt": pem, "other": "x"},
    });
    match read(written).expect("an object") {
        Object::ConfigMap(config) => config.trust,
        Object::Secret(secret) => secret.facts().trust,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_certificates_are_kept_of_a_bundle() {
    let (one, two) = (authority(), authority());
    let key = KeyPair::generate().unwrap().serialize_pem();
    for kind in ["ConfigMap", "Secret"] {
        let written = format!("# ours\n{one}\n{key}\n# and theirs\r\n{two}");
        let TrustBundle::Usable(bundle) = trust(kind, &written) else {
            panic!("{kind}");
        };
        let lines = |text: &str| text.replace("\r\n", "\n");
        assert_eq!(bundle.as_pem(), lines(&format!("{one}{two}")), "{kind}");
        assert!(!bundle.as_pem().contains("PRIVATE"));
    }
    for version in ["v1", "v1beta1"] {
        let written = json!({
            "apiVersion": format!("certificates.k8s.io/{version}"), "kind": "ClusterTrustBundle",
            "metadata": {"name": "example.com:ca:1"},
            "spec": {"signerName": "example.com/ca", "trustBundle": format!("# ours\n{one}")},
        });
        let Ok(Object::ClusterTrustBundle(bundle)) = read(written) else {
            panic!("a ClusterTrustBundle");
        };
        assert_eq!(bundle.name, "example.com:ca:1");
        assert!(matches!(bundle.trust, TrustBundle::Usable(trust) if trust.as_pem() == one));
    }
    let empty = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
        "metadata": {"name": "ca"}, "spec": {"trustBundle": " \n"},
    });
    let Ok(Object::ClusterTrustBundle(empty)) = read(empty) else {
        panic!("a ClusterTrustBundle");
    };
    assert_eq!(empty.trust, TrustBundle::Absent);
    let none = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}});
    let Ok(Object::ConfigMap(none)) = read(none) else {
        panic!("a ConfigMap");
    };
    assert_eq!(none.trust, TrustBundle::Absent);
}

#[test]
fn what_is_no_bundle_says_why_and_quotes_nothing() {
    let large = "# a comment\n".repeat(LARGEST_CA_BUNDLE / 12 + 1);
    let in_pem =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (pem, word) in [
        (String::new(), "holds no certificate"),
        ("hunter2".to_owned(), "holds no certificate"),
        (in_pem("hunter2!"), "not PEM"),
        (in_pem("aHVudGVyMg=="), "not an X.509 certificate"),
        (
            format!("{}{}", authority(), in_pem("aHVudGVyMg==")),
            "not an X.509 certificate",
        ),
        (format!("{large}{}", authority()), "Too long"),
    ] {
        let TrustBundle::Malformed(problem) = trust("ConfigMap", &pem) else {
            panic!("{word}");
        };
        assert!(problem.contains(word), "{problem}");
        assert!(
            problem.contains("ca.crt") && !problem.contains("hunter2"),
            "{problem}"
        );
    }
}
