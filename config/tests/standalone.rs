//! Layers, and what is said about mistakes in them.

#![allow(
    clippy::unwrap_used,
    reason = "what a test cannot go on without may panic"
)]

use std::path::Path;

use config::values::EdgeAddresses;
use config::{ProgramSettings, SettingsError, StandaloneSettings};
use serde::Serialize;

/// Flags as a program declares them: what was not given is `None`.
#[derive(Serialize, Default)]
struct Flags {
    installation: Option<String>,
    log: LogFlags,
}

#[derive(Serialize, Default)]
struct LogFlags {
    format: Option<String>,
}

/// Loads settings of which the installation is named somewhere.
fn load(yaml: &str, env: &[(&str, &str)], flags: &Flags) -> Result<StandaloneSettings, String> {
    let key = "CFGW_INSTALLATION";
    let is_named = yaml.contains("installation") || env.iter().any(|(name, _)| *name == key);
    let default = (!is_named && flags.installation.is_none()).then_some((key, "home"));
    let env: Vec<_> = default.into_iter().chain(env.iter().copied()).collect();
    load_as_is(yaml, &env, flags)
}

fn load_as_is(
    yaml: &str,
    env: &[(&str, &str)],
    flags: &Flags,
) -> Result<StandaloneSettings, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cfgw.yaml");
    std::fs::write(&file, yaml).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    StandaloneSettings::load(Some(&file), env, flags).map_err(|error| {
        error
            .to_string()
            .replace(&file.display().to_string(), "FILE")
    })
}

#[test]
fn nothing_set_means_the_documented_defaults() {
    let expected = StandaloneSettings {
        installation: Some("home".parse().unwrap()),
        ..StandaloneSettings::default()
    };
    for yaml in ["", "# a comment\n", "---\n", "{}", "cloudflare: {}\n"] {
        assert_eq!(
            load(yaml, &[], &Flags::default()).as_ref(),
            Ok(&expected),
            "{yaml:?}"
        );
    }
    assert_eq!(expected.manifests, Path::new("manifests"));
    assert_eq!(expected.resync_interval.get().as_secs(), 600);
    assert_eq!(
        expected.cloudflare.base_url.as_str(),
        "https://api.cloudflare.com/client/v4"
    );
    assert_eq!(expected.cloudflare.request_budget.get(), 600);
    assert_eq!(expected.tunnel.edge, EdgeAddresses::Discover);
    assert_eq!(expected.tunnel.connections.get(), 4);
    assert_eq!(expected.tunnel.server_name.as_str(), "h2.cftunnel.com");
    assert_eq!(expected.tunnel.grace_period.get().as_secs(), 30);
    assert_eq!(expected.admin.listen.get().to_string(), "127.0.0.1:8081");
}

#[test]
fn an_installation_has_no_name_unless_it_is_given_one() {
    for yaml in ["", "log: {format: json}\n"] {
        let settings = load_as_is(yaml, &[], &Flags::default()).unwrap();
        let message = settings.installation_name().unwrap_err().to_string();
        for word in ["`installation`", "is not set", "such as `my-cluster`"] {
            assert!(message.contains(word), "{message}");
        }
    }
}

#[test]
fn a_later_layer_wins_key_by_key() {
    let flag = |text: &str| Flags {
        installation: Some(text.to_owned()),
        ..Flags::default()
    };
    let file = "installation: from-file\nlog: {filter: debug, format: json}\n";
    let env = [
        ("CFGW_INSTALLATION", "from-env"),
        ("CFGW_LOG__FORMAT", "text"),
    ];
    for (yaml, env, flags, installation, log) in [
        (file, &[][..], Flags::default(), "from-file", "debug json"),
        (file, &env[..], Flags::default(), "from-env", "debug text"),
        (file, &env[..], flag("from-flag"), "from-flag", "debug text"),
        ("", &env[..1], Flags::default(), "from-env", "info text"),
        ("", &[][..], flag("from-flag"), "from-flag", "info text"),
    ] {
        let settings = load(yaml, env, &flags).unwrap();
        assert_eq!(settings.installation.unwrap().as_str(), installation);
        assert_eq!(
            format!("{} {}", settings.log.filter, settings.log.format),
            log
        );
    }
}

#[test]
fn every_layer_can_write_a_value_in_its_own_way() {
    let two = ["127.0.0.1:1", "[::1]:2"].map(|text| text.parse().unwrap());
    for (yaml, env) in [
        (
            "tunnel: {edge: ['127.0.0.1:1', '[::1]:2'], connections: 2}",
            vec![],
        ),
        (
            "tunnel: {edge: '127.0.0.1:1,[::1]:2', connections: '2'}",
            vec![],
        ),
        (
            "tunnel: {edge: discover}",
            vec![
                ("CFGW_TUNNEL__EDGE", "127.0.0.1:1, [::1]:2"),
                ("CFGW_TUNNEL__CONNECTIONS", "2"),
            ],
        ),
    ] {
        let settings = load(yaml, &env, &Flags::default()).unwrap();
        assert_eq!(
            settings.tunnel.edge,
            EdgeAddresses::Given(two.to_vec()),
            "{yaml}"
        );
        assert_eq!(settings.tunnel.connections.get(), 2, "{yaml}");
    }
}

#[test]
fn variables_that_are_not_ours_are_passed_over() {
    let env = [
        ("PATH", "/bin"),
        ("CFGWCTL_HOME", "/"),
        ("CFGW_MANIFESTS", ""),
        ("CFGW_PORT", "tcp://10.0.0.1:80"),
        ("CFGW_SERVICE_HOST", "10.0.0.1"),
        ("CFGW_SERVICE_PORT_HTTP", "80"),
        ("CFGW_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("CFGW_PROXY_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ];
    let none = load("", &[], &Flags::default());
    assert_eq!(load("", &env, &Flags::default()), none);
}

#[test]
fn a_mistake_is_told_with_key_source_and_remedy() {
    let json = Flags {
        log: LogFlags {
            format: Some("xml".to_owned()),
        },
        ..Flags::default()
    };
    let none = Flags::default;
    for (yaml, env, flags, words) in [
        (
            "tunel: {}",
            vec![],
            none(),
            &["`tunel` (from the file FILE)", "installation, manifests"][..],
        ),
        (
            "tunnel: {egde: discover}",
            vec![],
            none(),
            &["`tunnel.egde` (from the file FILE)", "edge, name_servers"],
        ),
        (
            "",
            vec![("CFGW_TUNNEL__EGDE", "canary")],
            none(),
            &["`tunnel.egde` (from the environment variable CFGW_TUNNEL__EGDE)"],
        ),
        (
            "",
            vec![("CFGW_NOPE", "canary")],
            none(),
            &["`nope` (from the environment variable CFGW_NOPE)"],
        ),
        (
            "resync_interval: 600",
            vec![],
            none(),
            &[
                "`resync_interval` (from the file FILE)",
                "found unsigned int `600`",
                "such as 30s",
            ],
        ),
        (
            "resync_interval: ten",
            vec![],
            none(),
            &["\"ten\" is not a length of time"],
        ),
        (
            "tunnel: {connections: 0}",
            vec![],
            none(),
            &[
                "`tunnel.connections` (from the file FILE)",
                "\"0\" is not a number from 1 to 8",
            ],
        ),
        (
            "tunnel: {connections: -1}",
            vec![],
            none(),
            &["found signed int `-1`", "from 1 to 8"],
        ),
        (
            "tunnel: {connections: [1]}",
            vec![],
            none(),
            &["found sequence", "from 1 to 8"],
        ),
        (
            "tunnel: 5",
            vec![],
            none(),
            &[
                "`tunnel` (from the file FILE)",
                "where a section with settings belongs",
            ],
        ),
        (
            "",
            vec![("CFGW_TUNNEL", "x"), ("CFGW_TUNNEL__EDGE", "discover")],
            none(),
            &["CFGW_TUNNEL)", "where a section"],
        ),
        (
            "tunnel: {edge: []}",
            vec![],
            none(),
            &["`tunnel.edge`", "`discover` or a list"],
        ),
        (
            "",
            vec![("CFGW_ADMIN__LISTEN", "localhost:80")],
            none(),
            &[
                "CFGW_ADMIN__LISTEN",
                "\"localhost:80\" is not an IP address with a port",
            ],
        ),
        (
            "",
            vec![("CFGW_CLOUDFLARE__BASE_URL", "https://u:canary@x")],
            none(),
            &["CFGW_CLOUDFLARE__BASE_URL", "it is not an https URL"],
        ),
        (
            "cloudflare: {ca_file: /nowhere/ca.pem}",
            vec![],
            none(),
            &[
                "`cloudflare.ca_file` (from the file FILE)",
                "/nowhere/ca.pem is not a file",
            ],
        ),
        (
            "log: {format: json}",
            vec![],
            json,
            &[
                "`log.format` (from the command line)",
                "\"xml\" is not `text` or `json`",
            ],
        ),
        (
            "installation: 5",
            vec![],
            none(),
            &[
                "`installation` (from the file FILE)",
                "found unsigned int `5`",
            ],
        ),
        (
            "a: [",
            vec![],
            none(),
            &[
                "the settings file FILE is not a map of settings in YAML",
                "line 1",
            ],
        ),
        ("- a", vec![], none(), &["is not a map of settings in YAML"]),
        (
            "log: {format: json}\nlog: {format: text}",
            vec![],
            none(),
            &["is not a map of settings in YAML", "log"],
        ),
    ] {
        let message = load(yaml, &env, &flags).expect_err(yaml);
        for word in words {
            assert!(
                message.contains(word),
                "{yaml:?} {env:?}: {word:?} is not in: {message}"
            );
        }
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let missing = Path::new("/nowhere/cfgw.yaml");
    let error = StandaloneSettings::load(Some(missing), std::iter::empty(), ()).unwrap_err();
    assert!(matches!(error, SettingsError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/cfgw.yaml"), "{error}");
}

#[test]
fn a_cluster_behind_a_broker_says_where_it_is() {
    for (yaml, missing) in [
        ("edge: {backend: broker}", "`edge.broker.url`"),
        (
            "edge: {backend: broker, broker: {url: 'http://broker.example.com'}}",
            "`edge.broker.url`",
        ),
        (
            "edge: {broker: {code_file: /nowhere/at/all}}",
            "`edge.broker.code_file`",
        ),
        ("edge: {backend: both}", "`edge.backend`"),
    ] {
        let refused = load(yaml, &[], &Flags::default()).unwrap_err();
        assert!(refused.contains(missing), "{yaml}: {refused}");
    }
}
