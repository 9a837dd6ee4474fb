//! What holds of every plan, over small worlds: a handful of names in two zones, each with any kind of
//! record, any part of which may be unreadable.

use proptest::prelude::*;

use super::*;
use crate::edge::objects::TunnelHealth;
use crate::gateway::DriftPolicy;

/// Names and the zone that each lies in; the last is in none.
const NAMES: [(&str, Option<&str>); 6] = [
    ("example.com", Some("example.com")),
    ("a.example.com", Some("example.com")),
    ("*.example.com", Some("example.com")),
    ("sub.example.com", Some("sub.example.com")),
    ("b.sub.example.com", Some("sub.example.com")),
    ("a.example.net", None),
];

/// What stands at a name.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Free,
    Right,
    Astray,
    LedAway,
    Unproxied,
    Annotated,
    Sibling,
    Stranger,
    Unmarked,
    Address,
    TwoAddresses,
    MarkedAddress,
    Text,
}

const SLOTS: [Slot; 13] = [
    Slot::Free,
    Slot::Right,
    Slot::Astray,
    Slot::LedAway,
    Slot::Unproxied,
    Slot::Annotated,
    Slot::Sibling,
    Slot::Stranger,
    Slot::Unmarked,
    Slot::Address,
    Slot::TwoAddresses,
    Slot::MarkedAddress,
    Slot::Text,
];

/// A tunnel that is there and somebody else's, and one that is gone.
fn others() -> [TunnelId; 2] {
    [8, 9].map(|byte| TunnelId::from_bytes([byte; 16]))
}

/// Where the Gateway has no tunnel its records lead to the one that it had.
fn records_at(name: &str, slot: Slot, has_tunnel: bool) -> Vec<DnsRecord> {
    let ours = mark("gw").to_string();
    let [there, gone] = others();
    let here = if has_tunnel { tunnel() } else { gone }.address();
    let away = &gone.address();
    let cname = |content: &str, comment: &str| record(name, name, "CNAME", content, comment);
    match slot {
        Slot::Free => vec![],
        Slot::Right => vec![cname(&here, &ours)],
        Slot::Astray => vec![cname(away, &ours)],
        Slot::LedAway => vec![cname(&there.address(), &ours)],
        Slot::Unproxied => {
            let mut unproxied = cname(&here, &ours);
            unproxied.data.proxied = false;
            vec![unproxied]
        }
        Slot::Annotated => vec![cname(&here, &format!("{ours} keep"))],
        Slot::Sibling => vec![cname(away, &mark("other").to_string())],
        Slot::Stranger => vec![cname(away, &stranger().to_string())],
        Slot::Unmarked => vec![cname(&here, "")],
        Slot::Address => vec![record(name, name, "A", "192.0.2.1", "")],
        Slot::TwoAddresses => vec![
            record(name, name, "A", "192.0.2.1", ""),
            record(&format!("{name}-2"), name, "AAAA", "2001:db8::1", ""),
        ],
        Slot::MarkedAddress => vec![record(name, name, "A", "192.0.2.1", &ours)],
        Slot::Text => vec![record(name, name, "TXT", "text", &ours)],
    }
}

/// Everything that varies.
#[derive(Debug, Clone)]
struct Spec {
    slots: Vec<Slot>,
    wanted: Vec<bool>,
    lost_to: Vec<bool>,
    unread: Vec<bool>,
    has_tunnel: bool,
    document: Option<Vec<bool>>,
    policy: u8,
    prune: bool,
    drift: DriftPolicy,
}

fn spec() -> impl Strategy<Value = Spec> {
    let flags = || prop::collection::vec(any::<bool>(), NAMES.len());
    (
        prop::collection::vec(prop::sample::select(&SLOTS[..]), NAMES.len()),
        flags(),
        flags(),
        prop::collection::vec(prop::bool::weighted(0.2), 2),
        prop::bool::weighted(0.8),
        prop::option::of(flags()),
        0u8..4,
        prop::bool::weighted(0.8),
        prop::sample::select(&[DriftPolicy::Repair, DriftPolicy::Report, DriftPolicy::Pause][..]),
    )
        .prop_map(
            |(slots, wanted, lost_to, unread, has_tunnel, document, policy, prune, drift)| Spec {
                slots,
                wanted,
                lost_to,
                unread,
                has_tunnel,
                document,
                policy,
                prune,
                drift,
            },
        )
}

fn chosen(flags: &[bool]) -> impl Iterator<Item = &'static str> {
    let names = NAMES.iter().zip(flags).filter(|(_, flag)| **flag);
    names.map(|((name, _), _)| *name)
}

impl Spec {
    fn intent(&self) -> EdgeIntent {
        let mut intent = intent(&chosen(&self.wanted).collect::<Vec<_>>());
        intent.dns.managed = match self.policy {
            0 => DnsPolicy::Off,
            1 => DnsPolicy::Below(vec![host("example.com")]),
            _ => DnsPolicy::All,
        };
        intent.dns.records.drift = self.drift;
        if !self.prune {
            intent.policy = Policy::UpsertOnly;
        }
        let other = ObjectKey::new("default", "other");
        let lost_to = chosen(&self.lost_to).map(host);
        intent.dns.lost_to = lost_to
            .filter(|name| !intent.hostnames.contains(name))
            .map(|name| (name, other.clone()))
            .collect();
        intent
    }

    fn observed(&self) -> Observed {
        let zone_named = |name: &str, unread: bool| {
            if unread {
                return zone(name, ZoneRecords::Failed(unavailable()));
            }
            let there = NAMES.iter().zip(&self.slots);
            let records = there
                .filter(|((_, in_zone), _)| *in_zone == Some(name))
                .flat_map(|((name, _), slot)| records_at(name, *slot, self.has_tunnel));
            zone(name, ZoneRecords::Read(records.collect()))
        };
        let mut observed = match &self.document {
            Some(names) => observed(&chosen(names).collect::<Vec<_>>(), vec![]),
            None => observed(&[], vec![]),
        };
        if self.document.is_none() {
            observed.tunnel.as_mut().unwrap().ingress = Ok(None);
        }
        if !self.has_tunnel {
            observed.tunnel = None;
        }
        observed.tunnels = Some(Ok(vec![Tunnel {
            id: others()[0],
            name: "somebody's".to_owned(),
            remotely_configured: true,
            health: TunnelHealth::Healthy,
        }]));
        observed.zones = Ok(vec![
            zone_named("example.com", self.unread[0]),
            zone_named("sub.example.com", self.unread[1]),
        ]);
        observed
    }
}

/// Does to the world what the API would do.
fn apply(observed: &mut Observed, change: &Change) {
    match change {
        Change::CreateTunnel => {
            observed.tunnel = Some(ObservedTunnel {
                id: tunnel(),
                ingress: Ok(None),
            });
        }
        Change::Configure(document) => {
            let tunnel = observed.tunnel.as_mut().expect("there to be configured");
            tunnel.ingress = Ok(Some(document.clone()));
        }
        Change::Records(changes) => {
            let tunnel = observed.tunnel.as_ref().expect("there to be pointed at").id;
            let batch = changes.batch(tunnel, mark("gw"));
            let zones = observed.zones.as_mut().unwrap().iter_mut();
            let mut zones = zones.filter(|zone| zone.zone.id == changes.zone);
            let ZoneRecords::Read(records) = &mut zones.next().unwrap().records else {
                panic!("a zone that was not read is changed");
            };
            records.retain(|record| !batch.deletes.contains(&record.id));
            for (id, data) in batch.puts {
                let record = records.iter_mut().find(|record| record.id == id);
                record.expect("there to be replaced").data = data;
            }
            records.extend(batch.posts.into_iter().map(|data| {
                let id = RecordId::new(format!("new {}", data.name));
                DnsRecord { id, data }
            }));
        }
        Change::NoteCertificates | Change::Certificates(_) => {
            panic!("certificates are planned after the records")
        }
    }
}

fn carried_out(intent: &EdgeIntent, mut observed: Observed) -> Observed {
    for change in plan(intent, &observed, &installation()).changes {
        apply(&mut observed, &change);
    }
    observed
}

fn records(observed: &Observed) -> Vec<DnsRecord> {
    let zones = observed.zones.iter().flatten();
    let mut records: Vec<_> = zones
        .flat_map(|zone| match &zone.records {
            ZoneRecords::Read(records) => records.clone(),
            ZoneRecords::Failed(_) | ZoneRecords::Skipped => vec![],
        })
        .collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    records
}

fn is_foreign(record: &DnsRecord) -> bool {
    let mark = RecordMark::find(&record.data.comment);
    record.data.kind != "CNAME" || mark.is_none_or(|mark| mark == stranger())
}

fn foreign(observed: &Observed) -> Vec<DnsRecord> {
    let mut records = records(observed);
    records.retain(is_foreign);
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_carried_out_makes_the_next_plan_empty(spec in spec()) {
        let intent = spec.intent();
        let after = carried_out(&intent, spec.observed());
        prop_assert_eq!(plan(&intent, &after, &installation()).changes, vec![]);
    }

    #[test]
    fn a_foreign_record_is_never_touched(spec in spec()) {
        let before = spec.observed();
        let after = carried_out(&spec.intent(), before.clone());
        prop_assert_eq!(foreign(&before), foreign(&after));
    }

    #[test]
    fn what_was_planned_as_applied_is_there(spec in spec()) {
        let intent = spec.intent();
        let planned = plan(&intent, &spec.observed(), &installation());
        let after = records(&carried_out(&intent, spec.observed()));
        for (hostname, outcome) in &planned.hostnames {
            let right = wanted_record(hostname, tunnel(), mark("gw"));
            let there = after.iter().any(|record| record.data == right);
            let applied = *outcome == HostnameOutcome::Applied;
            prop_assert!(there || !applied, "{} is not applied", hostname);
        }
        let told: BTreeSet<_> = planned.hostnames.keys().cloned().collect();
        prop_assert!(intent.hostnames.is_subset(&told));
    }

    #[test]
    fn the_order_of_what_was_read_does_not_matter(spec in spec()) {
        let mut turned = spec.observed();
        let zones = turned.zones.as_mut().unwrap();
        zones.reverse();
        for zone in zones {
            if let ZoneRecords::Read(records) = &mut zone.records {
                records.reverse();
            }
        }
        let intent = spec.intent();
        prop_assert_eq!(
            plan(&intent, &spec.observed(), &installation()),
            plan(&intent, &turned, &installation())
        );
    }

    #[test]
    fn a_partly_read_edge_or_cluster_loses_nothing(spec in spec()) {
        let mut spec = spec;
        let intent = spec.intent();
        let mut blind = spec.observed();
        blind.zones = Err(unavailable());
        let only_tunnel = plan(&intent, &blind, &installation()).changes;
        let touches_records = only_tunnel.iter().any(|c| matches!(c, Change::Records(_)));
        prop_assert!(!touches_records);

        spec.prune = false;
        let before = spec.observed();
        let after = records(&carried_out(&spec.intent(), before.clone()));
        for record in records(&before) {
            let own = RecordMark::find(&record.data.comment) == Some(mark("gw"));
            let stays = after.iter().any(|now| now.id == record.id && (own || *now == record));
            prop_assert!(stays, "{:?} is gone or changed hands", record);
        }
    }

    #[test]
    fn every_prefix_of_a_plan_is_safe(spec in spec()) {
        let intent = spec.intent();
        let before = spec.observed();
        let end = carried_out(&intent, before.clone());
        let planned = plan(&intent, &before, &installation());
        let mut prefix = before.clone();
        for change in &planned.changes {
            // `apply` refuses to write a record while there is no tunnel to point at.
            apply(&mut prefix, change);
            prop_assert_eq!(foreign(&before), foreign(&prefix));
            prop_assert_eq!(carried_out(&intent, prefix.clone()), end.clone());
        }
    }

    #[test]
    fn there_is_one_document_and_one_batch_for_each_zone_at_most(spec in spec()) {
        let planned = plan(&spec.intent(), &spec.observed(), &installation());
        let documents = planned.changes.iter().filter(|c| matches!(c, Change::Configure(_)));
        prop_assert!(documents.count() <= 1);
        let zones: Vec<_> = planned
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Records(changes) => Some(&changes.zone),
                _ => None,
            })
            .collect();
        let distinct: BTreeSet<_> = zones.iter().collect();
        prop_assert_eq!(zones.len(), distinct.len());
    }
}
