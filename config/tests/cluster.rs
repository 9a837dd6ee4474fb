//! Settings of the programs that run in a cluster: what is refused, and in which words.

use config::{ControllerSettings, ProgramSettings, ProxySettings};

fn env<'a>(pairs: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

const NEEDED: [(&str, &str); 3] = [
    ("CFGW_INSTALLATION", "my-cluster"),
    ("CFGW_STREAM__ADVERTISE", "10.1.2.3:8443"),
    ("CFGW_PROXIES__IMAGE", "example.com/cfgw:1"),
];

#[test]
fn a_controller_starts_with_its_own_address_and_an_image() {
    let settings = ControllerSettings::load(None, env(&NEEDED), ()).unwrap();
    assert!(!settings.endpoints.names.is_on());
    assert!(settings.defaults.dns.is_on());
    assert!(!settings.defaults.upload_certificates.is_on());
    assert_eq!(settings.stream.advertise.unwrap().as_str(), "10.1.2.3:8443");
}

#[test]
fn the_address_of_a_pod_may_be_an_ipv6_address_without_brackets() {
    for (written, read) in [
        ("fd00::5:8443", Some("[fd00::5]:8443")),
        ("fd00:1:2:3:4:5:6:7:8443", Some("[fd00:1:2:3:4:5:6:7]:8443")),
        ("[fd00::5]:8443", Some("[fd00::5]:8443")),
        ("fd00::5", None),
        ("fd00::5:0", None),
    ] {
        let mut given = NEEDED;
        given[1].1 = written;
        let settings = ControllerSettings::load(None, env(&given), ());
        let found = settings.ok().and_then(|it| it.stream.advertise);
        assert_eq!(
            found.as_ref().map(config::values::HostPort::as_str),
            read,
            "{written}"
        );
    }
}

#[test]
fn what_a_controller_cannot_use_is_named_with_the_remedy() {
    let table = [
        ("CFGW_INSTALLATION", "My_Cluster", "`installation`"),
        (
            "CFGW_STREAM__ADVERTISE",
            "10.1.2.3",
            "a name or address with a port",
        ),
        (
            "CFGW_STREAM__SERVICE",
            "svc:0",
            "a name or address with a port",
        ),
        ("CFGW_PROXIES__IMAGE", "two words", "a container image"),
        ("CFGW_NAMESPACE", "Upper", "a name of at most 253"),
        ("CFGW_DEFAULTS__DNS", "sometimes", "`true` or `false`"),
        (
            "CFGW_LEASE__RENEW_INTERVAL",
            "6s",
            "a third of lease.duration",
        ),
        ("CFGW_EDGE__BACKEND", "broker", "edge.broker.url"),
        (
            "CFGW_SECRETS__NAMESPACES",
            "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
            "17 namespaces are more than 16",
        ),
    ];
    for (name, value, expected) in table {
        let given = NEEDED
            .iter()
            .copied()
            .chain([(name, value)])
            .collect::<Vec<_>>();
        let refused = ControllerSettings::load(None, env(&given), ()).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains(expected), "{name}={value}: {refused}");
    }
}

#[test]
fn a_switch_in_the_file_is_a_boolean() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "defaults: {dns: false, upload_certificates: true}\n",
    )
    .unwrap();
    let settings = ControllerSettings::load(Some(file.path()), env(&NEEDED), ()).unwrap();
    assert!(!settings.defaults.dns.is_on());
    assert!(settings.defaults.upload_certificates.is_on());
}

#[test]
fn a_proxy_needs_files_that_are_there() {
    let refused = ProxySettings::load(None, env(&[("CFGW_TOKEN_FILE", "absent")]), ()).unwrap_err();
    assert!(
        refused.to_string().contains("`controller.token_file`"),
        "{refused}"
    );
    let files = [
        ("CFGW_TOKEN_FILE", "absent"),
        ("CFGW_CONTROLLER__TOKEN_FILE", "absent"),
        ("CFGW_CONTROLLER__CA_FILE", "absent"),
    ];
    let refused = ProxySettings::load(None, env(&files), ()).unwrap_err();
    assert!(
        refused.to_string().contains("absent is not a file"),
        "{refused}"
    );
}
