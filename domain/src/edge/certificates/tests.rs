//! Which zones get which certificates, and which are ours.

use std::collections::BTreeSet;

use super::notes::{NoteKey, SERVICE, with_unnoted};
use super::plan::{CertificateChange, plan_zone};
use super::*;
use crate::certificate::Fingerprint;
use crate::edge::objects::{IngressRule, Zone};
use crate::names::{AccountId, CertificateId, Hostname, ObjectKey, TunnelId, ZoneId};
use crate::secret::CloudflareCredentials;

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn certificate(secret: &str, chain: &str) -> CertificateIntent {
    CertificateIntent {
        secret: ObjectKey::new("shop", secret),
        fingerprint: Fingerprint::of(chain.as_bytes()),
        names: [host("app.example.com")].into(),
        hosts: [host("app.example.com")].into(),
        any_name: false,
    }
}

fn zone() -> Zone {
    Zone::active(ZoneId::new("0a1b"), "example.com")
}

fn note(id: &str, chain: &str) -> Note {
    Note {
        zone: zone().id,
        id: CertificateId::new(id),
        fingerprint: Fingerprint::of(chain.as_bytes()),
    }
}

fn key_of(token: &str, tunnel: u8) -> NoteKey {
    let credentials = CloudflareCredentials {
        account: AccountId::new("acme"),
        token: token.to_owned().into(),
    };
    NoteKey::of(&credentials, TunnelId::from_bytes([tunnel; 16]))
}

#[test]
fn a_note_is_read_as_it_is_written_and_other_rules_are_none() {
    let key = key_of("token", 1);
    let written = note("2458ce5a-0c35-4c7f-82c7-8e9487d3ff60", "chain");
    let rule = written.rule(&key).unwrap();
    assert_eq!(Note::read(&rule, &key).as_ref(), Some(&written));

    let own_service = |hostname: &str| IngressRule {
        hostname: host(hostname),
        path: None,
        service: SERVICE.to_owned(),
    };
    let Note {
        fingerprint,
        id,
        zone,
    } = &written;
    let text = rule.hostname.as_str();
    let tag = text.split('.').nth(1).unwrap();
    let of_other = |other: &NoteKey| written.rule(other).unwrap();
    for (given, other) in [
        ("a name of a user", own_service("app.example.com")),
        ("too few labels", own_service("certificates.invalid")),
        (
            "a wrong fingerprint",
            own_service("a.b.c.certificates.invalid"),
        ),
        (
            "no tag",
            own_service(&format!("{fingerprint}.{id}.{zone}.certificates.invalid")),
        ),
        (
            "a tag of another certificate",
            own_service(&format!(
                "{fingerprint}.{tag}.other.{zone}.certificates.invalid"
            )),
        ),
        ("a tag of another tunnel", of_other(&key_of("token", 2))),
        ("a tag of another API token", of_other(&key_of("other", 1))),
        (
            "another service",
            IngressRule {
                service: "http://edge.shop".to_owned(),
                ..rule.clone()
            },
        ),
    ] {
        assert_eq!(Note::read(&other, &key), None, "{given}");
    }
}

#[test]
fn a_certificate_goes_to_a_zone_where_the_gateway_has_every_name_of_it() {
    let app = "app.example.com";
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, bool);
    let table: [Case<'_>; 17] = [
        ("its name", &[app], &[app], "example.com", true),
        (
            "one of two names",
            &[app, "web.example.com"],
            &[app],
            "example.com",
            false,
        ),
        (
            "both",
            &[app, "web.example.com"],
            &[app, "web.example.com"],
            "example.com",
            true,
        ),
        ("no name", &[app], &[], "example.com", false),
        (
            "another name",
            &[app],
            &["web.example.com"],
            "example.com",
            false,
        ),
        (
            "the wildcard",
            &["*.example.com"],
            &["*.example.com"],
            "example.com",
            true,
        ),
        (
            "a name below the wildcard",
            &["*.example.com"],
            &[app],
            "example.com",
            false,
        ),
        (
            "the wildcard above its name",
            &[app],
            &["*.example.com"],
            "example.com",
            false,
        ),
        (
            "a wildcard of more labels",
            &["*.example.com"],
            &["*.app.example.com"],
            "example.com",
            false,
        ),
        (
            "not the apex",
            &["example.com", "*.example.com"],
            &["*.example.com"],
            "example.com",
            false,
        ),
        (
            "the apex",
            &["example.com"],
            &["example.com"],
            "example.com",
            true,
        ),
        ("another zone", &[app], &[app], "example.org", false),
        ("a zone that ends alike", &[app], &[app], "e.com", false),
        (
            "a name of another zone counts not",
            &[app, "a.example.org"],
            &[app],
            "example.com",
            true,
        ),
        (
            "a wildcard that covers the apex",
            &[app, "*.com"],
            &[app],
            "example.com",
            false,
        ),
        (
            "the apex, which a wildcard above the zone covers",
            &["*.com"],
            &["example.com"],
            "example.com",
            true,
        ),
        (
            "a name below the apex, and the wildcard is above the zone",
            &["*.com"],
            &[app],
            "example.com",
            false,
        ),
    ];
    for (given, names, hosts, zone, expected) in table {
        let set = |names: &[&str]| names.iter().map(|name| host(name)).collect();
        let one = CertificateIntent {
            names: set(names),
            hosts: set(hosts),
            ..certificate("one", "chain")
        };
        let zone = Zone::active(ZoneId::new("z"), zone);
        assert_eq!(one.is_for(&zone), expected, "the Gateway has {given}");
        let for_any = CertificateIntent {
            any_name: true,
            ..one
        };
        let has_a_name = for_any.names_in(&zone).next().is_some();
        assert_eq!(for_any.is_for(&zone), has_a_name, "any name, {given}");
    }
}

#[test]
fn a_zone_gets_what_is_wanted_and_loses_what_is_ours_and_stale() {
    use CertificateChange::{Delete, DropNote, Replace, Upload};
    let one = certificate("one", "new");
    let (old, new) = (note("old", "old"), note("new", "new"));
    let ids = |ids: &[&str]| ids.iter().map(|id| CertificateId::new(*id)).collect();
    let wanted: BTreeSet<_> = [one.clone()].into();
    let nothing = BTreeSet::new();
    type Case<'a> = (
        &'a str,
        &'a BTreeSet<CertificateIntent>,
        Vec<Note>,
        BTreeSet<CertificateId>,
        bool,
        Vec<CertificateChange>,
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "new",
            &wanted,
            vec![],
            ids(&[]),
            true,
            vec![Upload(one.clone())],
        ),
        (
            "there",
            &wanted,
            vec![new.clone()],
            ids(&["new"]),
            true,
            vec![],
        ),
        (
            "another's is left alone",
            &nothing,
            vec![],
            ids(&["other"]),
            true,
            vec![],
        ),
        (
            "changed",
            &wanted,
            vec![old.clone()],
            ids(&["old"]),
            true,
            vec![Replace(old.clone(), one.clone())],
        ),
        (
            "changed, seen in part",
            &wanted,
            vec![old.clone()],
            ids(&["old"]),
            false,
            vec![Upload(one.clone())],
        ),
        (
            "removed by somebody else",
            &wanted,
            vec![new.clone()],
            ids(&[]),
            true,
            vec![DropNote(new.clone()), Upload(one.clone())],
        ),
        (
            "no longer wanted",
            &nothing,
            vec![old.clone()],
            ids(&["old"]),
            true,
            vec![Delete(old.clone())],
        ),
        (
            "no longer seen, seen in part",
            &nothing,
            vec![old.clone()],
            ids(&["old"]),
            false,
            vec![],
        ),
    ];
    for (case, wanted, notes, present, prune, expected) in cases {
        let notes = notes.into_iter().collect();
        let wanted: Vec<_> = wanted.iter().filter(|one| one.is_for(&zone())).collect();
        let changes = plan_zone(prune, &wanted, &zone(), &notes, &present);
        assert_eq!(changes, expected, "{case}");
    }
}

#[test]
fn a_certificate_that_was_replaced_under_its_own_id_is_not_also_what_it_was() {
    let note = |id: &str, chain: &str| Note {
        zone: ZoneId::new("zone"),
        id: CertificateId::new(id),
        fingerprint: Fingerprint::of(chain.as_bytes()),
    };
    let noted = [note("a", "old"), note("b", "other")].into();
    let all = with_unnoted(&noted, &[note("a", "new"), note("c", "third")].into());
    let expected = [note("a", "new"), note("b", "other"), note("c", "third")];
    assert_eq!(all, expected.into());
}

#[test]
fn a_certificate_is_valid_for_its_names_and_one_label_below_a_wildcard() {
    for (name, hostname, valid) in [
        ("app.example.com", "app.example.com", true),
        ("app.example.com", "web.example.com", false),
        ("*.example.com", "app.example.com", true),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "example.com", false),
        ("*.example.com", "*.example.com", true),
        ("example.com", "localhost", false),
    ] {
        let certificate = CertificateIntent {
            names: [host(name)].into(),
            ..certificate("cert", "chain")
        };
        assert_eq!(
            certificate.is_valid_for(&host(hostname)),
            valid,
            "{name} {hostname}"
        );
    }
}
