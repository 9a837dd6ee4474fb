//! Settings of the broker, and what is said about mistakes in them.

#![allow(
    clippy::unwrap_used,
    reason = "what a test cannot go on without may panic"
)]

use config::{BrokerSettings, ProgramSettings};

/// Reads settings; `TOKEN` is a file that exists.
fn load(yaml: &str) -> Result<BrokerSettings, String> {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let text = yaml.replace("TOKEN", &token.display().to_string());
    let file = folder.path().join("broker.yaml");
    std::fs::write(&file, text).unwrap();
    BrokerSettings::load(Some(&file), std::iter::empty(), ()).map_err(|error| error.to_string())
}

#[test]
fn a_broker_needs_keys_only() {
    let settings = load("keys_file: TOKEN").unwrap();
    assert_eq!(settings.store.as_str(), "sqlite:broker.db");
    let of_server = load("keys_file: TOKEN\nstore: 'postgres://cfgw@db.example.com/cfgw'");
    assert!(of_server.is_ok());
}

#[test]
fn what_cannot_be_is_refused_with_the_key_that_is_wrong() {
    for (yaml, wanted) in [
        ("", "`keys_file`"),
        ("keys_file: TOKEN\nstore: broker.db", "`store`"),
        ("keys_file: TOKEN\nstore: 'sqlite:'", "`store`"),
        ("keys_file: TOKEN\nstore: 'mysql://a@b/c'", "`store`"),
        ("keys_file: TOKEN\nlisten: 0.0.0.0:8443", "tls.cert_file"),
        ("keys_file: TOKEN\ntls: {cert_file: TOKEN}", "tls.key_file"),
        ("keys_file: /nowhere/at/all", "`keys_file`"),
        ("keys_file: TOKEN\nseed: /nowhere/at/all", "`seed`"),
        (
            "keys_file: TOKEN\npatience: {stale: 599s}",
            "`patience.stale`",
        ),
        (
            "keys_file: TOKEN\npatience: {stale: 1h, expired: 1h}",
            "`patience.expired`",
        ),
        (
            "keys_file: TOKEN\nstore_password_file: TOKEN",
            "`store_password_file`",
        ),
    ] {
        let refused = load(yaml).unwrap_err();
        assert!(refused.contains(wanted), "{yaml}: {refused}");
    }
}

#[test]
fn a_password_in_the_address_of_the_store_is_refused_and_not_repeated() {
    for address in [
        "postgres://cfgw:canary@db/cfgw",
        "postgres://db/cfgw?password=canary",
    ] {
        let refused = load(&format!("keys_file: TOKEN\nstore: '{address}'")).unwrap_err();
        assert!(refused.contains("store_password_file"), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
}
