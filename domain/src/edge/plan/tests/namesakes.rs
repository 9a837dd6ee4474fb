//! Records of other installations of our name.

use super::*;
use crate::edge::objects::TunnelHealth;
use crate::edge::ownership::tunnel_name;
use crate::testing::instance_of;

const NAME: &str = "app.example.com";

fn theirs() -> TunnelId {
    TunnelId::from_bytes([8; 16])
}

fn their_mark(gateway: &str) -> RecordMark {
    let gateway = ObjectKey::new("default", gateway);
    RecordMark::of(&instance_of("home", 2), &gateway)
}

/// A namesake's record of the name.
fn their_record(gateway: &str, target: TunnelId) -> DnsRecord {
    let data = wanted_record(&host(NAME), target, their_mark(gateway));
    let id = RecordId::new("r1");
    DnsRecord { id, data }
}

fn their_tunnel(health: TunnelHealth) -> Tunnel {
    Tunnel {
        id: theirs(),
        name: tunnel_name(&instance_of("home", 2), &gateway()),
        remotely_configured: true,
        health,
    }
}

/// A tunnel of another Gateway of this installation, which leads the name for now.
fn our_other_tunnel() -> Tunnel {
    let name = tunnel_name(&installation(), &ObjectKey::new("default", "other"));
    Tunnel {
        name,
        ..their_tunnel(TunnelHealth::Healthy)
    }
}

fn seen(record: DnsRecord, tunnels: Option<Result<Vec<Tunnel>, PortError>>) -> Observed {
    Observed {
        tunnels,
        ..observed(&[NAME], vec![record])
    }
}

#[test]
fn a_namesakes_record_is_left_alone_and_a_former_instances_is_taken_over() {
    let there = |health| Some(Ok(vec![their_tunnel(health)]));
    for (case, tunnels, outcome) in [
        ("connected", there(TunnelHealth::Healthy), "namesake"),
        (
            "hardly connected",
            there(TunnelHealth::Degraded),
            "namesake",
        ),
        ("just being made", there(TunnelHealth::Inactive), "namesake"),
        (
            "of unknown health",
            there(TunnelHealth::Unknown),
            "namesake",
        ),
        ("not used any more", there(TunnelHealth::Down), "ours"),
        ("gone", Some(Ok(vec![])), "ours"),
        ("ours by now", Some(Ok(vec![our_other_tunnel()])), "ours"),
        ("not known", Some(Err(unavailable())), "unknown"),
        ("not looked for", None, "unknown"),
    ] {
        for gateway in ["gw", "another"] {
            let observed = seen(their_record(gateway, theirs()), tunnels.clone());
            let plan = plan(&intent(&[NAME]), &observed, &installation());
            let found = match &plan.hostnames[&host(NAME)] {
                HostnameOutcome::Namesake { tunnel } => {
                    assert_eq!(*tunnel, their_tunnel(TunnelHealth::Down).name);
                    "namesake"
                }
                HostnameOutcome::Applied => "ours",
                HostnameOutcome::Unknown { .. } => "unknown",
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(found, outcome, "{case}, Gateway {gateway}");
            let taken = vec![changes_of("example.com", vec![put("r1", NAME)])];
            let changes = if found == "ours" { taken } else { vec![] };
            assert_eq!(plan.changes, changes, "{case}, Gateway {gateway}");
        }
    }
}

#[test]
fn from_a_partial_view_only_a_former_instances_record_of_this_gateway_is_taken_over() {
    for (gateway, taken) in [("gw", true), ("another", false)] {
        let mut partial = intent(&[NAME]);
        partial.policy = Policy::UpsertOnly;
        let observed = seen(their_record(gateway, theirs()), Some(Ok(vec![])));
        let plan = plan(&partial, &observed, &installation());
        assert_eq!(!plan.changes.is_empty(), taken, "{gateway}");
    }
}

#[test]
fn a_namesakes_record_that_somebody_led_elsewhere_is_a_conflict() {
    let mut record = their_record("gw", theirs());
    record.data.content = "elsewhere.example.net".to_owned();
    let plan = plan(
        &intent(&[NAME]),
        &seen(record, Some(Ok(vec![]))),
        &installation(),
    );
    assert_eq!(plan.changes, vec![]);
    let outcome = &plan.hostnames[&host(NAME)];
    assert!(matches!(outcome, HostnameOutcome::Conflict { .. }));
}

#[test]
fn what_is_not_wanted_is_removed_only_where_it_leads_to_our_tunnel() {
    for (case, target, removed) in [
        ("a former instance's", theirs(), false),
        ("with its tunnel adopted", tunnel(), true),
    ] {
        let record = their_record("gw", target);
        let mut observed = seen(record, Some(Ok(vec![])));
        observed.tunnel.as_mut().unwrap().ingress = Ok(Some(IngressDocument {
            rules: vec![],
            catch_all: "http_status:404".to_owned(),
        }));
        let plan = plan(&intent(&[]), &observed, &installation());
        let changes = vec![changes_of("example.com", vec![delete("r1")])];
        let changes = if removed { changes } else { vec![] };
        assert_eq!(plan.changes, changes, "{case}");
    }
}
