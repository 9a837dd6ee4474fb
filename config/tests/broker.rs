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
        ("keys_file: TOKEN\nkeys_variable: KEYS", "`seal_with`"),
        ("keys_file: TOKEN\nseal_with: vault", "`seal_with`"),
        ("keys_file: TOKEN\nseal_with: hand", "`seal_with`"),
        ("keys_variable: CFGW_KEYS", "`keys_variable`"),
        ("pkcs11: {module: TOKEN, pin_file: TOKEN}", "pkcs11.token"),
        ("pkcs11: {module: TOKEN, token: one}", "pkcs11.pin_file"),
        (
            "pkcs11: {module: /nowhere, token: one, pin_file: TOKEN}",
            "pkcs11.module",
        ),
        ("vault: {address: 'https://vault'}", "vault.token_file"),
        (
            "vault: {address: 'http://vault', token_file: TOKEN}",
            "`vault.address`",
        ),
        (
            "vault: {address: 'https://vault', token_file: TOKEN, mount: a/../b}",
            "`vault.mount`",
        ),
        (
            "keys_file: TOKEN\naudit: {export_folder: TOKEN}",
            "`audit.export_folder`",
        ),
        ("keys_file: TOKEN\naudit: {keep: 10m}", "`audit.keep`"),
        (
            "keys_file: TOKEN\naudit: {max_entries: 9}",
            "`audit.max_entries`",
        ),
    ] {
        let refused = load(yaml).unwrap_err();
        assert!(refused.contains(wanted), "{yaml}: {refused}");
    }
}

#[test]
fn the_kind_of_keys_that_seals_stands_before_the_others() {
    for (yaml, kinds) in [
        ("keys_file: TOKEN", "file"),
        ("keys_variable: BROKER_KEYS", "variable"),
        (
            "keys_file: TOKEN\nvault: {address: 'https://vault', token_file: TOKEN}\nseal_with: vault",
            "vault file",
        ),
        (
            "keys_file: TOKEN\nkeys_variable: KEYS\npkcs11: {module: TOKEN, token: one, pin_file: TOKEN}\nseal_with: variable",
            "variable file pkcs11",
        ),
    ] {
        let kinds_of_keys = load(yaml).unwrap().kinds_of_keys();
        let found: Vec<_> = kinds_of_keys.iter().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), kinds, "{yaml}");
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

/// Settings with one provider, of which something is replaced.
fn with_provider(part: &str, by: &str) -> String {
    let provider = "
    name: work
    issuer: https://login.example.com
    client_id: cfgwctl
    rules:
    - {when: {groups: platform}, roles: [operator]}";
    format!(
        "keys_file: TOKEN\npeople:\n  oidc:{}",
        provider.replace(part, by)
    )
}

#[test]
fn identity_providers_are_a_list_or_one_and_a_text_in_the_environment() {
    let one = load(&with_provider("", "")).unwrap().people.oidc;
    let [provider] = one.all() else {
        panic!("{one:?}");
    };
    assert_eq!(provider.audience(), Some("cfgwctl"));
    assert_eq!(provider.scopes, ["openid", "profile", "email"]);
    let text = "[{name: work, issuer: 'https://login.example.com', client_id: cfgwctl, \
                rules: [{when: {groups: platform}, roles: [operator]}]}]";
    let list = load(&format!("keys_file: TOKEN\npeople: {{oidc: {text}}}")).unwrap();
    assert_eq!(list.people.oidc, one);
    let variables = [
        ("CFGW_PEOPLE__OIDC".to_owned(), text.to_owned()),
        (
            "CFGW_KEYS_FILE".to_owned(),
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned(),
        ),
    ];
    let environment = BrokerSettings::load(None, variables.into_iter(), ());
    assert_eq!(environment.unwrap().people.oidc, one);
}

#[test]
fn what_cannot_be_of_a_provider_is_named() {
    let rule = "{when: {groups: platform}, roles: [operator]}";
    for (part, by, named) in [
        ("https:", "http:", "issuer"),
        (
            "issuer: https://login.example.com",
            "issuer: none",
            "issuer",
        ),
        ("client_id: cfgwctl", "", "client_id"),
        ("client_id", "clientId", "clientId"),
        ("client_id: cfgwctl", "client_id: ''", "client_id"),
        ("name: work", "name: At Work", "name"),
        ("name: work", "name: work\n    scopes: [email]", "openid"),
        ("name: work", "name: work\n    lasts: 9h", "8h"),
        (
            "name: work",
            "name: work\n    ca_file: /nowhere/at/all",
            "ca_file",
        ),
        (rule, "{when: {}, roles: [operator]}", "rules[0].when"),
        (
            rule,
            "{when: {groups: platform}, roles: []}",
            "rules[0].roles",
        ),
        (
            rule,
            "{when: {groups: platform}, roles: [admin]}",
            "credential-admin",
        ),
        (
            rule,
            "{when: {groups: ''}, roles: [operator]}",
            "rules[0].when",
        ),
        (rule, "{roles: [operator]}", "when"),
        (
            rule,
            "{when: {groups: platform}, roles: [operator], tenant: A B}",
            "tenant",
        ),
    ] {
        let refused = load(&with_provider(part, by)).unwrap_err();
        assert!(refused.contains("people.oidc"), "{by}: {refused}");
        assert!(refused.contains(named), "{by}: {refused}");
    }
    let one = "{name: NAME, issuer: 'https://login.example.com', client_id: cfgwctl, rules: []}";
    for (names, named) in [
        (["one", "one"], "called one"),
        (["one", "two"], "same issuer"),
    ] {
        let list = names.map(|name| one.replace("NAME", name)).join(", ");
        let refused = load(&format!("keys_file: TOKEN\npeople: {{oidc: [{list}]}}")).unwrap_err();
        assert!(refused.contains(named), "{names:?}: {refused}");
    }
    for text in ["none", "1"] {
        let refused = load(&format!("keys_file: TOKEN\npeople: {{oidc: {text}}}")).unwrap_err();
        assert!(refused.contains("`people.oidc`"), "{text}: {refused}");
    }
}
