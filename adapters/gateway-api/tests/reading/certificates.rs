//! TLS Secrets: what is known of them, and what is wrong with them.

use adapter_gateway_api::{Object, Secret};
use domain::Hostname;
use domain::certificate::{Fingerprint, TlsPair};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

use crate::object;

fn secret(chain: &str, key: &str) -> Secret {
    let indented = |text: &str| text.replace('\n', "\n    ");
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: shop}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(chain),
        indented(key)
    );
    match object(&text) {
        Object::Secret(secret) => secret,
        other => panic!("{other:?}"),
    }
}

/// A self-signed certificate and its key, in PEM.
fn pair(names: &[&str], key: &KeyPair) -> (String, String) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let params = CertificateParams::new(names).expect("names");
    (
        params.self_signed(key).expect("a certificate").pem(),
        key.serialize_pem(),
    )
}

#[test]
fn a_certificate_tells_its_names_its_end_and_a_fingerprint() {
    for key in [KeyPair::generate(), KeyPair::generate_for(&PKCS_ED25519)] {
        let (chain, key) = pair(&["App.example.com", "*.org", "*"], &key.unwrap());
        let secret = secret(&chain, &key);
        let TlsPair::Usable(facts) = secret.facts().tls else {
            panic!("{:?}", secret.facts());
        };
        let names: Vec<_> = facts.names.iter().map(Hostname::as_str).collect();
        assert_eq!(names, ["*.org", "app.example.com"]);
        assert!(facts.not_after.0 > 0);
        let pair = secret.certificate_pair().unwrap();
        assert_eq!(pair.fingerprint, facts.fingerprint);
        assert_eq!(pair.fingerprint, Fingerprint::of(pair.chain.as_bytes()));
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
}

#[test]
fn a_pair_that_cannot_be_served_says_which_half_is_wrong_and_quotes_nothing() {
    let (chain, key) = pair(&["app.example.com"], &KeyPair::generate().unwrap());
    let (_, other) = pair(&["app.example.com"], &KeyPair::generate().unwrap());
    let empty = "-----BEGIN CERTIFICATE-----\naHVzaA==\n-----END CERTIFICATE-----";
    for (case, chain, key, named) in [
        ("no PEM at all", "hush", "hush", "tls.crt"),
        ("no certificate in it", empty, &*key, "tls.crt"),
        ("no key", &*chain, "hush", "tls.key"),
        ("the certificate twice", &*chain, &*chain, "tls.key"),
        ("another's key", &*chain, &*other, "tls.key"),
    ] {
        let secret = secret(chain, key);
        let TlsPair::Malformed(problem) = secret.facts().tls else {
            panic!("{case}: {:?}", secret.facts());
        };
        assert!(problem.contains(named), "{case}: {problem}");
        assert!(!problem.contains("hush"), "{case}: {problem}");
        assert_eq!(secret.certificate_pair().unwrap_err(), problem);
    }
}

#[test]
fn another_value_is_another_edition() {
    let first = secret("one", "two").facts().edition;
    assert_eq!(secret("one", "two").facts().edition, first);
    assert_ne!(secret("one", "three").facts().edition, first);
    assert_ne!(secret("two", "one").facts().edition, first);
}
