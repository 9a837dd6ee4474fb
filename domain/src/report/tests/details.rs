//! What the CloudflareGatewayStatus of a Gateway tells.

use std::collections::BTreeSet;

use crate::attachment::tests::fixtures::*;
use crate::edge::objects::ZoneState;
use crate::edge::{HostnameOutcome, ZoneStatus};
use crate::report::{GatewayFacts, report};
use crate::status::{
    CertificateCoverage, GatewayDetails, LISTED_CONNECTORS, LISTED_HOSTNAMES, LONGEST_MESSAGE,
};
use crate::workload::{ConnectedReplica, EdgeConnections, WorkloadStatus};

fn details(names: &[String], known: GatewayFacts) -> GatewayDetails {
    let route = http_route("shop/store").to(EDGE);
    let route = names.iter().fold(route, |route, name| route.named(name));
    let updates = report(&resolved(&shop().with(route)), &facts(known)).into_iter();
    let mut details = updates.filter_map(|update| update.details);
    *details.next().expect("details of the Gateway")
}

/// Zone example.com, and these outcomes.
fn known(outcomes: &[(&str, HostnameOutcome)], state: ZoneState) -> GatewayFacts {
    let mut edge = edge_status(outcomes);
    let name = "example.com".to_owned();
    edge.zones = BTreeSet::from([ZoneStatus { name, state }]);
    GatewayFacts {
        edge: Some(Ok(edge)),
        ..serving(&[])
    }
}

#[test]
fn a_hostname_is_shown_with_zone_record_and_certificate() {
    let address = "CNAME 07070707-0707-0707-0707-070707070707.cfargotunnel.com";
    let theirs = || "A 192.0.2.1".to_owned();
    let conflict = HostnameOutcome::Conflict { found: theirs() };
    let adoptable = HostnameOutcome::Adoptable {
        found: theirs(),
        code: "c0de".to_owned(),
    };
    let universal = Some(CertificateCoverage::Universal);
    let uncovered = Some(CertificateCoverage::NotCovered);
    let applied = || HostnameOutcome::Applied;
    let (full, partial) = (ZoneState::Active, ZoneState::Partial);
    for (name, outcome, state, record, certificate) in [
        ("a.example.com", applied(), full, Some(address), universal),
        ("a.b.example.com", applied(), full, Some(address), uncovered),
        (
            "a.b.example.com",
            applied(),
            partial,
            Some(address),
            universal,
        ),
        (
            "a.example.com",
            conflict,
            full,
            Some("A 192.0.2.1"),
            universal,
        ),
        (
            "a.example.com",
            adoptable,
            full,
            Some("A 192.0.2.1"),
            universal,
        ),
        (
            "a.example.com",
            HostnameOutcome::NotManaged,
            full,
            None,
            universal,
        ),
        ("a.example.net", HostnameOutcome::NoZone, full, None, None),
    ] {
        let known = known(&[(name, outcome.clone())], state);
        let found = details(&[name.to_owned()], known).hostnames;
        let [found] = &found.listed[..] else {
            panic!("{name} {outcome:?}");
        };
        assert_eq!(found.record.as_deref(), record, "{name} {outcome:?}");
        assert_eq!(found.certificate, certificate, "{name} {outcome:?}");
        let zone = certificate.map(|_| "example.com");
        assert_eq!(found.zone.as_deref(), zone, "{name} {outcome:?}");
    }
}

#[test]
fn a_limited_number_of_hostnames_is_listed_and_what_is_wrong_comes_first() {
    let names: Vec<String> = (0..LISTED_HOSTNAMES + 2)
        .map(|number| format!("n{number}.example.com"))
        .collect();
    let wrong = "n99.example.com";
    let outcomes = names.iter().map(|name| match name.as_str() {
        name if name == wrong => {
            let message = "é".repeat(LONGEST_MESSAGE + 1);
            (name, HostnameOutcome::Refused { message })
        }
        name => (name, HostnameOutcome::Applied),
    });
    let outcomes: Vec<_> = outcomes.collect();
    let found = details(&names, known(&outcomes, ZoneState::Active)).hostnames;
    assert_eq!((found.total, found.applied), (names.len(), names.len() - 1));
    assert_eq!(found.listed.len(), LISTED_HOSTNAMES);
    assert_eq!(found.listed[0].hostname, host(wrong));
    assert_eq!(found.listed[0].message.chars().count(), LONGEST_MESSAGE);
    assert!(found.listed[0].message.ends_with('…'));
    assert_eq!(found.listed[1].message, "");
}

#[test]
fn a_limited_number_of_replicas_is_listed_with_their_transports() {
    let connected = |http2, quic| EdgeConnections {
        http2,
        quic,
        ..EdgeConnections::default()
    };
    assert_eq!(ConnectedReplica::of("web-1", &connected(0, 0)), None);
    for (http2, quic) in [(1, 0), (0, 1)] {
        let found = ConnectedReplica::of("web-1", &connected(http2, quic));
        assert_eq!(found.map(|one| (one.http2, one.quic)), Some((http2, quic)));
    }
    let one = ConnectedReplica::of("web-1", &connected(u32::MAX, 1)).expect("a replica");
    assert_eq!((one.http2, one.quic), (u32::MAX, 1));
    let known = GatewayFacts {
        workload: WorkloadStatus {
            connectors: vec![one.clone(); LISTED_CONNECTORS + 1],
            ..WorkloadStatus::default()
        },
        ..serving(&[])
    };
    let found = details(&["a.example.com".to_owned()], known).connectors;
    assert_eq!(found, Some(vec![one; LISTED_CONNECTORS]));
}

#[test]
fn as_long_as_a_ready_replica_has_told_nothing_the_list_is_not_known() {
    let one = |name: &str| ConnectedReplica {
        name: name.to_owned(),
        http2: 0,
        quic: 4,
    };
    for (ready, told, known) in [
        (0, 0, true),
        (0, 1, true),
        (1, 0, false),
        (1, 1, true),
        (2, 1, false),
        (1, 2, true),
    ] {
        let told = vec![one("web-1"); told];
        let facts = GatewayFacts {
            workload: WorkloadStatus {
                ready,
                connectors: told.clone(),
                ..WorkloadStatus::default()
            },
            ..serving(&[])
        };
        let found = details(&["a.example.com".to_owned()], facts);
        assert_eq!(found.connectors, known.then_some(told), "{ready} ready");
        assert_eq!(found.inventory, None, "nothing was ensured");
    }
}
