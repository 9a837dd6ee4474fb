//! Plans, case by case. Properties that hold of all plans are in [`properties`].

mod namesakes;
mod properties;
mod unread;

use std::collections::BTreeSet;

use super::*;
use crate::certificate::Fingerprint;
use crate::edge::Policy;
use crate::edge::certificates::CertificateIntent;
use crate::edge::certificates::plan::CertificateChange;
use crate::edge::objects::{DnsRecord, IngressRule, RecordData, Tunnel, Zone};
use crate::edge::observed::{ObservedTunnel, ObservedZone, ZoneRecords};
use crate::edge::ownership::RecordMark;
use crate::error::{PortError, PortErrorKind};
use crate::gateway::DnsPolicy;
use crate::names::{ObjectKey, RecordId, TunnelId};

fn installation() -> Installation {
    crate::testing::installation("home")
}

fn gateway() -> ObjectKey {
    ObjectKey::new("default", "gw")
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn mark(gateway: &str) -> RecordMark {
    RecordMark::of(&installation(), &ObjectKey::new("default", gateway))
}

fn stranger() -> RecordMark {
    RecordMark::of(&crate::testing::installation("work"), &gateway())
}

fn tunnel() -> TunnelId {
    TunnelId::from_bytes([7; 16])
}

fn intent(hostnames: &[&str]) -> EdgeIntent {
    crate::testing::intent(gateway(), hostnames)
}

fn record(id: &str, name: &str, kind: &str, content: &str, comment: &str) -> DnsRecord {
    DnsRecord {
        id: RecordId::new(id),
        data: RecordData {
            name: name.to_owned(),
            kind: kind.to_owned(),
            content: content.to_owned(),
            proxied: true,
            ttl: 1,
            comment: comment.to_owned(),
        },
    }
}

fn right(id: &str, name: &str) -> DnsRecord {
    let data = wanted_record(&host(name), tunnel(), mark("gw"));
    let id = RecordId::new(id);
    DnsRecord { id, data }
}

fn zone(name: &str, records: ZoneRecords) -> ObservedZone {
    ObservedZone {
        zone: Zone::active(ZoneId::new(format!("zone-{name}")), name),
        records,
    }
}

/// A tunnel whose ingress document fits the hostnames, and zone example.com with these records.
fn observed(hostnames: &[&str], records: Vec<DnsRecord>) -> Observed {
    let rules = hostnames.iter().map(|name| IngressRule {
        hostname: host(name),
        path: None,
        service: "http://gw.default".to_owned(),
    });
    Observed {
        tunnel: Some(ObservedTunnel {
            id: tunnel(),
            ingress: Ok(Some(IngressDocument {
                rules: rules.collect(),
                catch_all: "http_status:404".to_owned(),
            })),
        }),
        zones: Ok(vec![zone("example.com", ZoneRecords::Read(records))]),
        unseen: None,
        former: None,
        had: BTreeSet::new(),
        tunnels: None,
    }
}

fn changes_of(zone: &str, changes: Vec<RecordChange>) -> Change {
    Change::Records(ZoneChanges {
        zone: ZoneId::new(format!("zone-{zone}")),
        changes,
    })
}

fn put(id: &str, name: &str) -> RecordChange {
    RecordChange::Put(RecordId::new(id), host(name))
}

fn post(name: &str) -> RecordChange {
    RecordChange::Post(host(name))
}

fn delete(id: &str) -> RecordChange {
    RecordChange::Delete(RecordId::new(id))
}

fn unavailable() -> PortError {
    PortError::unavailable("timed out")
}

fn forbidden() -> PortError {
    PortError::new(PortErrorKind::Forbidden, "the token lacks DNS Write")
}

#[test]
fn a_new_gateway_gets_tunnel_document_and_one_batch_for_each_zone() {
    let wanted = intent(&[
        "b.example.com",
        "*.example.com",
        "a.example.com",
        "x.example.org",
    ]);
    let nothing = Observed {
        tunnel: None,
        zones: Ok(vec![
            zone("example.org", ZoneRecords::Read(vec![])),
            zone("example.com", ZoneRecords::Read(vec![])),
        ]),
        unseen: None,
        former: None,
        had: BTreeSet::new(),
        tunnels: None,
    };
    let plan = plan(&wanted, &nothing, &installation());
    let Change::Configure(document) = &plan.changes[1] else {
        panic!("{plan:?}");
    };
    let names: Vec<_> = document
        .rules
        .iter()
        .map(|rule| rule.hostname.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "a.example.com",
            "b.example.com",
            "x.example.org",
            "*.example.com"
        ]
    );
    assert_eq!(document.rules[0].service, "http://gw.default");
    assert_eq!(document.catch_all, "http_status:404");
    assert_eq!(plan.changes[0], Change::CreateTunnel);
    assert_eq!(
        plan.changes[2..],
        [
            changes_of(
                "example.com",
                vec![
                    post("*.example.com"),
                    post("a.example.com"),
                    post("b.example.com")
                ]
            ),
            changes_of("example.org", vec![post("x.example.org")]),
        ]
    );
}

#[test]
fn a_record_at_a_wanted_name() {
    let name = "app.example.com";
    let target = &tunnel().address();
    let ours = &mark("gw").to_string();
    let sibling = &mark("other").to_string();
    let edited = |edit: fn(&mut RecordData)| {
        let mut record = right("r", name);
        edit(&mut record.data);
        record
    };
    let conflict = |found: &str| HostnameOutcome::Conflict {
        found: found.to_owned(),
    };
    let applied = || HostnameOutcome::Applied;
    let repair = || vec![put("r", name)];
    let cases: Vec<(&str, Vec<DnsRecord>, HostnameOutcome, Vec<RecordChange>)> = vec![
        ("none", vec![], applied(), vec![post(name)]),
        ("right", vec![right("r", name)], applied(), vec![]),
        (
            "right, in capitals",
            vec![edited(|d| d.content.make_ascii_uppercase())],
            applied(),
            vec![],
        ),
        (
            "named in capitals",
            vec![edited(|d| d.name.make_ascii_uppercase())],
            applied(),
            vec![],
        ),
        (
            "not proxied",
            vec![edited(|d| d.proxied = false)],
            applied(),
            repair(),
        ),
        (
            "with a TTL",
            vec![edited(|d| d.ttl = 300)],
            applied(),
            repair(),
        ),
        (
            "to an old tunnel",
            vec![edited(|d| d.content = "old.cfargotunnel.com".into())],
            applied(),
            repair(),
        ),
        (
            "of a sibling",
            vec![record("r", name, "CNAME", "x.cfargotunnel.com", sibling)],
            applied(),
            repair(),
        ),
        (
            "A",
            vec![record("r", name, "A", "192.0.2.1", "")],
            conflict("A record 192.0.2.1"),
            vec![],
        ),
        (
            "AAAA",
            vec![record("r", name, "AAAA", "2001:db8::1", "")],
            conflict("AAAA record 2001:db8::1"),
            vec![],
        ),
        (
            "NS",
            vec![record("r", name, "NS", "ns.example.net", "")],
            conflict("NS record ns.example.net"),
            vec![],
        ),
        (
            "two A",
            vec![
                record("s", name, "A", "192.0.2.2", ""),
                record("r", name, "A", "192.0.2.1", ""),
            ],
            conflict("A record 192.0.2.1 and 1 more"),
            vec![],
        ),
        (
            "a CNAME without a mark",
            vec![record("r", name, "CNAME", target, "")],
            conflict(&format!("CNAME record {target}")),
            vec![],
        ),
        (
            "of another installation",
            vec![record(
                "r",
                name,
                "CNAME",
                "y.cfargotunnel.com",
                &stranger().to_string(),
            )],
            conflict("CNAME record y.cfargotunnel.com"),
            vec![],
        ),
        (
            "our mark on an A record",
            vec![record("r", name, "A", "192.0.2.1", ours)],
            conflict("A record 192.0.2.1"),
            vec![],
        ),
        (
            "TXT beside it",
            vec![record("r", name, "TXT", "text", "")],
            applied(),
            vec![post(name)],
        ),
    ];
    for (case, records, outcome, changes) in cases {
        let plan = plan(
            &intent(&[name]),
            &observed(&[name], records),
            &installation(),
        );
        assert_eq!(plan.hostnames[&host(name)], outcome, "{case}");
        let expected: Vec<_> = if changes.is_empty() {
            vec![]
        } else {
            vec![changes_of("example.com", changes)]
        };
        assert_eq!(plan.changes, expected, "{case}");
    }
}

#[test]
fn name_servers_at_the_apex_do_not_conflict() {
    let there = vec![record("r", "example.com", "NS", "ns.example.net", "")];
    let plan = plan(
        &intent(&["example.com"]),
        &observed(&["example.com"], there),
        &installation(),
    );
    assert_eq!(
        plan.changes,
        [changes_of("example.com", vec![post("example.com")])]
    );
}

#[test]
fn records_go_before_their_rule_and_come_after_it() {
    let records = || vec![right("old", "old.example.com")];
    let kinds = |plan: &Plan| -> Vec<&str> {
        let name = |change: &Change| match change {
            Change::CreateTunnel => "create",
            Change::Configure(_) => "configure",
            Change::Records(_) => "records",
            Change::NoteCertificates | Change::Certificates(_) => "certificates",
        };
        plan.changes.iter().map(name).collect()
    };
    let before = observed(&["old.example.com"], records());
    let cases: [(&str, &[&str], &[&str]); 3] = [
        ("a name goes", &[], &["records", "configure"]),
        (
            "a name comes",
            &["new.example.com", "old.example.com"],
            &["configure", "records"],
        ),
        (
            "one comes, one goes",
            &["new.example.com"],
            &["configure", "records"],
        ),
    ];
    for (case, hostnames, expected) in cases {
        let plan = plan(&intent(hostnames), &before, &installation());
        assert_eq!(kinds(&plan), expected, "{case}");
    }
}

#[test]
fn a_name_that_another_gateway_holds_is_left_alone() {
    let name = "app.example.com";
    let mut yields = intent(&[]);
    let holder = ObjectKey::new("default", "other");
    yields.dns.lost_to.insert(host(name), holder.clone());
    let plan = plan(
        &yields,
        &observed(&[], vec![right("r", name)]),
        &installation(),
    );
    assert_eq!(plan.changes, []);
    assert_eq!(
        plan.hostnames[&host(name)],
        HostnameOutcome::Claimed { by: holder }
    );
}

#[test]
fn where_dns_is_not_managed_our_record_goes_and_others_stay() {
    let name = "app.example.com";
    let mut off = intent(&[name]);
    off.dns.managed = DnsPolicy::Off;
    let there = vec![
        right("r", name),
        record("s", "b.example.com", "A", "192.0.2.1", ""),
    ];
    let plan = plan(&off, &observed(&[name], there), &installation());
    assert_eq!(plan.changes, [changes_of("example.com", vec![delete("r")])]);
    assert_eq!(plan.hostnames[&host(name)], HostnameOutcome::NotManaged);
}

#[test]
fn a_name_belongs_to_the_longest_zone_or_to_none() {
    let mut three = observed(&[], vec![right("stray", "a.sub.example.com")]);
    if let Ok(zones) = &mut three.zones {
        zones.push(zone("sub.example.com", ZoneRecords::Read(vec![])));
        zones.push(zone("ample.com", ZoneRecords::Read(vec![])));
    }
    let wanted = intent(&["a.sub.example.com", "a.example.net"]);
    let plan = plan(&wanted, &three, &installation());
    assert_eq!(
        plan.changes[1..],
        [
            changes_of("sub.example.com", vec![post("a.sub.example.com")]),
            changes_of("example.com", vec![delete("stray")]),
        ],
        "made in the longer zone before it goes from the shorter"
    );
    assert_eq!(
        plan.hostnames[&host("a.example.net")],
        HostnameOutcome::NoZone
    );
}

#[test]
fn above_the_limit_one_catch_all_stands_for_all_rules() {
    let names =
        |count: usize| -> Vec<String> { (0..count).map(|n| format!("n{n}.example.net")).collect() };
    for (count, rules, catch_all) in [
        (RULE_LIMIT - 1, RULE_LIMIT - 1, "http_status:404"),
        (RULE_LIMIT, 0, "http://gw.default"),
    ] {
        let names = names(count);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let plan = plan(&intent(&names), &observed(&[], vec![]), &installation());
        let [Change::Configure(document)] = &plan.changes[..] else {
            panic!("{count} hostnames");
        };
        assert_eq!(document.rules.len(), rules);
        assert_eq!(document.catch_all, catch_all);
        let complete = plan.ingress == IngressOutcome::Complete;
        assert_eq!(complete, rules > 0, "{:?}", plan.ingress);
    }
}

#[test]
fn paths_are_shown_before_the_rest_of_their_hostname_where_all_of_them_have_room() {
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let many: Vec<String> = (0..RULE_LIMIT).map(|n| format!("^/{n}$")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (shown, expected, outcome) in [
        (
            paths(&["^/a$", "^/cart(/|$)"]),
            vec![Some("^/cart(/|$)"), Some("^/a$"), None, None],
            IngressOutcome::Complete,
        ),
        (paths(&many), vec![None, None], IngressOutcome::WithoutPaths),
    ] {
        let mut intent = intent(&["a.example.net", "*.example.net"]);
        intent.paths = [
            (host("a.example.net"), shown),
            (host("b.example.net"), paths(&["^/b$"])),
        ]
        .into();
        let plan = plan(&intent, &observed(&[], vec![]), &installation());
        let [Change::Configure(document)] = &plan.changes[..] else {
            panic!("{outcome:?}");
        };
        let found: Vec<_> = document
            .rules
            .iter()
            .map(|rule| rule.path.as_deref())
            .collect();
        assert_eq!(found, expected);
        assert_eq!(plan.ingress, outcome);
    }
}

#[test]
fn certificates_are_noted_first_and_uploaded_only_for_names_that_have_their_record() {
    let name = "app.example.com";
    let certificate = CertificateIntent {
        secret: ObjectKey::new("default", "cert"),
        fingerprint: Fingerprint::of(b"chain"),
        names: [host(name)].into(),
        hosts: [host(name)].into(),
        any_name: false,
    };
    let mut wanted = intent(&[name]);
    wanted.certificates = Some([certificate.clone()].into());
    let observed = observed(&[name], vec![]);
    let zone = zone("example.com", ZoneRecords::Skipped).zone;
    let upload = Change::Certificates(ZoneCertificates {
        zone: zone.clone(),
        changes: vec![CertificateChange::Upload(certificate)],
    });
    let message = "timed out".to_owned();
    for (outcome, are_noted, expected) in [
        (HostnameOutcome::Applied, true, vec![upload.clone()]),
        (
            HostnameOutcome::Applied,
            false,
            vec![Change::NoteCertificates, upload],
        ),
        (HostnameOutcome::Unknown { message }, true, vec![]),
        (HostnameOutcome::NoZone, true, vec![]),
    ] {
        let seen = ObservedCertificates {
            notes: BTreeSet::new(),
            are_noted,
            present: [(zone.id.clone(), Ok(BTreeSet::new()))].into(),
        };
        let hostnames = BTreeMap::from([(host(name), outcome)]);
        let (changes, _) = plan_certificates(&wanted, &observed, &seen, &hostnames);
        assert_eq!(changes, expected, "{hostnames:?} {are_noted}");
    }
}
