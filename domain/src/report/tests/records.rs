//! Conditions about records: zones that are not served, drift, removals that wait, and names without a certificate.

use std::collections::BTreeSet;

use crate::attachment::tests::fixtures::*;
use crate::certificate::Fingerprint;
use crate::edge::certificates::{CertificateIntent, CertificateOutcome};
use crate::edge::objects::ZoneState;
use crate::edge::{EdgeStatus, HeldBack, HostnameOutcome, ZoneStatus};
use crate::report::{GatewayFacts, report};
use crate::status::ConditionType::{self, Certificates, Dns};
use crate::status::{GatewayDetails, LONGEST_MESSAGE, Reason, Truth};

const APP: &str = "app.example.com";
const DEEP: &str = "a.b.example.com";

/// Truth, reason and message of a condition of the Gateway, after this answer of the edge.
fn condition(kind: ConditionType, edge: EdgeStatus) -> Option<(Truth, Reason, String)> {
    let gateway = gateway(EDGE).listening(https("web"));
    let route = http_route("shop/store").to(EDGE).named(APP).named(DEEP);
    let cluster = cluster().with(gateway).with(route);
    let known = GatewayFacts {
        edge: Some(Ok(edge)),
        ..serving(&[])
    };
    let updates = report(&resolved(&cluster), &facts(known));
    let mut updates = updates.into_iter();
    let status = updates
        .find(|update| update.object.kind == "Gateway")
        .unwrap();
    let mut conditions = status.parts[0].conditions.iter();
    let found = conditions.find(|condition| condition.kind == kind)?;
    Some((found.truth, found.reason, found.message.clone()))
}

fn details(edge: EdgeStatus) -> GatewayDetails {
    let route = http_route("shop/store").to(EDGE).named(APP).named(DEEP);
    let cluster = cluster().with(gateway(EDGE).listening(https("web")));
    let known = GatewayFacts {
        edge: Some(Ok(edge)),
        ..serving(&[])
    };
    let updates = report(&resolved(&cluster.with(route)), &facts(known));
    let details = updates.into_iter().find_map(|update| update.details);
    *details.expect("of the Gateway")
}

fn applied(state: ZoneState) -> EdgeStatus {
    let outcomes = [APP, DEEP].map(|name| (name, HostnameOutcome::Applied));
    let name = "example.com".to_owned();
    EdgeStatus {
        zones: BTreeSet::from([ZoneStatus { name, state }]),
        ..edge_status(&outcomes)
    }
}

#[test]
fn a_zone_that_is_not_served_is_told_for_what_it_is() {
    use ZoneState::{Active, Partial, Paused, Pending, Unseen};
    for (state, truth, reason, words) in [
        (Active, Truth::True, Reason::Applied, "leads to the tunnel"),
        (Unseen, Truth::True, Reason::Applied, "leads to the tunnel"),
        (Pending, Truth::False, Reason::ZoneNotServed, "registrar"),
        (
            Paused,
            Truth::False,
            Reason::ZoneNotServed,
            "Resume Cloudflare",
        ),
        (
            Partial,
            Truth::Unknown,
            Reason::ZoneNotServed,
            "app.example.com.cdn.cloudflare.net",
        ),
    ] {
        let (found, why, message) = condition(Dns, applied(state)).unwrap();
        assert_eq!((found, why), (truth, reason), "{state:?}");
        assert!(message.contains(words), "{state:?}: {message}");
    }
}

#[test]
fn a_long_message_of_a_hostname_is_cut() {
    let long = "ä".repeat(LONGEST_MESSAGE);
    for (difference, is_cut) in [("ttl".to_owned(), false), (long, true)] {
        let mut edge = applied(ZoneState::Active);
        let drifted = HostnameOutcome::Drifted { difference };
        edge.hostnames.insert(host(DEEP), drifted);
        let details = details(edge);
        assert!(details.manages_dns);
        let hostnames = details.hostnames;
        assert_eq!((hostnames.total, hostnames.applied), (2, 1));
        let [first, second] = &hostnames.listed[..] else {
            panic!("{hostnames:?}");
        };
        assert_eq!(second.message, "");
        let message = &first.message;
        assert!(first.hostname == host(DEEP) && message.starts_with("a.b.example.com"));
        assert_eq!(message.ends_with('…'), is_cut, "{message}");
        let length = message.chars().count();
        assert_eq!(length == LONGEST_MESSAGE, is_cut, "{message}");
    }
}

#[test]
fn drift_that_stays_is_told() {
    let mut left = applied(ZoneState::Active);
    let drifted = HostnameOutcome::Drifted {
        difference: "ttl is 60, not 1 (automatic)".to_owned(),
    };
    left.hostnames.insert(host(APP), drifted);
    let because = host(APP);
    left.hostnames
        .insert(host(DEEP), HostnameOutcome::Paused { because });
    let (truth, reason, message) = condition(Dns, left).unwrap();
    assert_eq!((truth, reason), (Truth::False, Reason::RecordDrift));
    assert!(message.contains("ttl is 60"), "{message}");
}

#[test]
fn a_removal_that_waits_says_how_to_confirm_it() {
    let mut edge = applied(ZoneState::Active);
    let names = (0..40).map(|n| host(&format!("n{n}.example.com")));
    edge.held_back = Some(HeldBack {
        names: names.collect(),
        of: 42,
        code: "c0dec0dec0de".to_owned(),
    });
    let (truth, reason, message) = condition(Dns, edge).unwrap();
    assert_eq!((truth, reason), (Truth::False, Reason::HeldBack));
    for words in [
        "40 of 42 names",
        "-n shop edge",
        "confirm-removal=c0dec0dec0de",
        "more",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn another_installation_of_the_name_is_told() {
    let mut edge = applied(ZoneState::Active);
    let namesake = crate::testing::instance_of("home", 2);
    edge.namesakes = BTreeSet::from([namesake.clone()]);
    let (truth, reason, message) = condition(Dns, edge).unwrap();
    assert_eq!((truth, reason), (Truth::False, Reason::NameNotUnique));
    let instance = namesake.instance.to_string();
    for words in [&instance, "leads to the tunnel"] {
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn names_that_the_universal_certificate_is_not_for_are_told() {
    let (truth, reason, message) = condition(Certificates, applied(ZoneState::Active)).unwrap();
    assert_eq!((truth, reason), (Truth::False, Reason::NotCovered));
    assert!(
        message.contains(DEEP) && !message.contains(APP),
        "{message}"
    );
    let mut below = applied(ZoneState::Active);
    let name = "b.example.com".to_owned();
    let state = ZoneState::Active;
    below.zones.insert(ZoneStatus { name, state });
    let mut unmade = applied(ZoneState::Active);
    unmade.hostnames.insert(host(DEEP), HostnameOutcome::NoZone);
    for (given, edge) in [
        ("a zone of its own", below),
        ("no record", unmade),
        ("a partial zone", applied(ZoneState::Partial)),
    ] {
        assert_eq!(condition(Certificates, edge), None, "{given}");
    }
}

#[test]
fn the_worst_certificate_decides_and_then_names_without_one() {
    use CertificateOutcome::{Failed, Uploaded};
    let uploaded = || {
        Some(Uploaded {
            zones: vec!["example.com".to_owned()],
        })
    };
    let failed = || {
        Some(Failed {
            message: "HTTP 502".to_owned(),
        })
    };
    let none = (Truth::False, Reason::NotCovered);
    let fails = (Truth::False, Reason::UploadFailed);
    for (first, second, name, expected) in [
        (uploaded(), uploaded(), DEEP, (Truth::True, Reason::Applied)),
        (uploaded(), uploaded(), APP, none),
        (uploaded(), failed(), DEEP, fails),
        (failed(), uploaded(), APP, fails),
        (None, uploaded(), DEEP, (Truth::Unknown, Reason::Pending)),
        (None, failed(), DEEP, fails),
    ] {
        let given = format!("{first:?}, {second:?}, {name}");
        let mut edge = applied(ZoneState::Active);
        let mut wanted = BTreeSet::new();
        for (secret, outcome) in [("shop/a", first), ("shop/b", second)] {
            wanted.insert(CertificateIntent {
                secret: key(secret),
                fingerprint: Fingerprint::of(secret.as_bytes()),
                names: [host(name)].into(),
                hosts: [host(name)].into(),
                any_name: false,
            });
            edge.certificates
                .extend(outcome.map(|it| (key(secret), it)));
        }
        let route = http_route("shop/store").to(EDGE).named(APP).named(DEEP);
        let cluster = cluster().with(gateway(EDGE).listening(https("web")));
        let mut resolution = resolved(&cluster.with(route));
        let gateways = std::sync::Arc::make_mut(&mut resolution.gateways);
        gateways.get_mut(&key(EDGE)).unwrap().certificates = Some(wanted);
        let known = GatewayFacts {
            edge: Some(Ok(edge)),
            ..serving(&[])
        };
        let parts = parts_of(report(&resolution, &facts(known)), "Gateway");
        assert_eq!(
            verdict(&parts[0].conditions, Certificates),
            expected,
            "{given}"
        );
    }
}
