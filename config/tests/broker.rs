//! Settings of the broker, and what is said about mistakes in them.

#![allow(
    clippy::unwrap_used,
    reason = "what a test cannot go on without may panic"
)]

use config::{BrokerSettings, ProgramSettings};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Reads settings; `TOKEN` is a file that exists, `HASH` and `OTHER` are two hashes.
fn load(yaml: &str) -> Result<BrokerSettings, String> {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let text = yaml
        .replace("TOKEN", &token.display().to_string())
        .replace("HASH", &"a".repeat(64))
        .replace("OTHER", &"b".repeat(64));
    let file = folder.path().join("broker.yaml");
    std::fs::write(&file, text).unwrap();
    BrokerSettings::load(Some(&file), std::iter::empty(), ()).map_err(|error| error.to_string())
}

fn credentials() -> String {
    format!("credentials: {{account: {ACCOUNT}, token_file: TOKEN}}\n")
}

#[test]
fn a_broker_needs_credentials_and_clusters_only() {
    let settings = load(&format!(
        "{}clusters:
- {{name: one, token_sha256: HASH}}
- {{name: other, token_sha256: OTHER, expires: '2027-01-31T13:00:00+01:00', hostnames: ['*.Other.example.com'],
   max_gateways: 5}}
",
        credentials()
    ));
    let settings = settings.unwrap();
    assert_eq!(settings.clusters[0].expires, None);
    let expires = settings.clusters[1].expires.unwrap();
    assert_eq!(expires.to_string(), "2027-01-31T12:00:00Z");
    let (one, other) = (&settings.clusters[0], &settings.clusters[1]);
    assert_eq!((&one.hostnames, one.max_gateways), (&None, None));
    let patterns = other.hostnames.as_deref().unwrap();
    assert_eq!(patterns[0].as_str(), "*.other.example.com");
    assert_eq!(other.max_gateways, Some(5));
}

#[test]
fn what_cannot_be_is_refused_with_the_key_that_is_wrong() {
    let one = "clusters: [{name: one, token_sha256: HASH}]\n";
    let with = |rest: &str| format!("{}{rest}", credentials());
    for (yaml, wanted) in [
        (one.to_owned(), "`credentials.account`"),
        (with(""), "`clusters`"),
        (with("clusters: [{name: One, token_sha256: HASH}]"), "name"),
        (with("clusters: [{name: one}]"), "token_sha256"),
        (with("clusters: [{name: one, token: HASH}]"), "token"),
        (
            with("clusters: [{name: one, token_sha256: HASH, expires: soon}]"),
            "expires",
        ),
        (
            with("clusters: [{name: one, token_sha256: HASH, hostnames: ['*']}]"),
            "*.example.com for every name",
        ),
        (
            with("clusters: [{name: one, token_sha256: HASH, hostnames: [a.example.com.]}]"),
            "a.example.com.",
        ),
        (
            with("clusters: [{name: one, token_sha256: HASH, max_gateways: -1}]"),
            "max_gateways",
        ),
        (
            with("clusters: [{name: one, token_sha256: HASH}, {name: one, token_sha256: OTHER}]"),
            "two clusters are called one",
        ),
        (
            with("clusters: [{name: one, token_sha256: HASH}, {name: two, token_sha256: HASH}]"),
            "token of another",
        ),
        (with(&format!("{one}listen: 0.0.0.0:8443")), "tls.cert_file"),
        (
            with(&format!("{one}tls: {{cert_file: TOKEN}}")),
            "tls.key_file",
        ),
    ] {
        let refused = load(&yaml).unwrap_err();
        assert!(refused.contains(wanted), "{yaml}: {refused}");
    }
}

#[test]
fn a_token_in_the_place_of_its_hash_is_not_repeated() {
    let yaml = format!(
        "{}clusters: [{{name: one, token_sha256: canary-token}}]",
        credentials()
    );
    let refused = load(&yaml).unwrap_err();
    assert!(refused.contains("sha256sum"), "{refused}");
    assert!(!refused.contains("canary"), "{refused}");
}
