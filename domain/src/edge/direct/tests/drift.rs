//! Records that others changed or removed, removals of many names, and records that are adopted.

use super::*;
use crate::gateway::{Adoption, DriftPolicy};

const APP: &str = "app.example.com";

fn with_policy(names: &[&str], policy: DriftPolicy) -> EdgeIntent {
    let mut intent = intent("gw", names);
    intent.dns.records.drift = policy;
    intent
}

fn zone() -> ZoneId {
    ZoneId::new("zone-example.com")
}

type Edit = fn(&mut RecordData);

/// What somebody does to a record, and what is told of it.
const EDITS: [(&str, Edit, &str); 5] = [
    (
        "content",
        |data| data.content = "evil.example.net".to_owned(),
        "content is \"evil.example.net\"",
    ),
    (
        "proxied",
        |data| data.proxied = false,
        "proxied is false, not true",
    ),
    ("ttl", |data| data.ttl = 300, "ttl is 300, not 1"),
    (
        "comment",
        |data| data.comment.push_str(" mine"),
        "mine\", not the mark alone",
    ),
    (
        "several",
        |data| {
            data.proxied = false;
            data.ttl = 60;
        },
        "proxied is false, not true; ttl is 60",
    ),
];

#[tokio::test]
async fn each_field_of_a_record_is_repaired_or_left_and_told() {
    for (field, edit, told) in EDITS {
        for policy in [DriftPolicy::Repair, DriftPolicy::Report, DriftPolicy::Pause] {
            let bench = bench(&["example.com"]);
            bench
                .cloudflare
                .add_record(&zone(), foreign("mail.example.com"));
            let wanted = with_policy(&[APP], policy);
            bench.reconcile(&wanted).await;
            let right = bench.record(APP);
            let other = bench.record("mail.example.com");
            bench.cloudflare.edit_record(&right.id, edit);
            let edited = bench.record(APP);
            let status = bench.reconcile(&wanted).await;
            assert_eq!(
                bench.record("mail.example.com"),
                other,
                "{field} {policy:?}"
            );
            if policy == DriftPolicy::Repair {
                assert_eq!(bench.record(APP), right, "{field}");
                assert!(
                    status.repaired[&host(APP)].contains(told),
                    "{:?}",
                    status.repaired
                );
                assert_eq!(bench.reconcile(&wanted).await.repaired, BTreeMap::new());
                continue;
            }
            assert_eq!(bench.record(APP), edited, "{field} {policy:?}");
            match &status.hostnames[&host(APP)] {
                HostnameOutcome::Drifted { difference } => {
                    assert!(difference.contains(told), "{difference}");
                }
                other => panic!("{field} {policy:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_record_that_was_removed_is_made_again_or_stays_away() {
    for (policy, records) in [
        (DriftPolicy::Repair, 1),
        (DriftPolicy::Report, 0),
        (DriftPolicy::Pause, 0),
    ] {
        let bench = bench(&["example.com"]);
        let wanted = with_policy(&[APP], policy);
        bench.reconcile(&wanted).await;
        bench.cloudflare.remove_record(&bench.record(APP).id);
        for round in 0..3 {
            let status = bench.reconcile(&wanted).await;
            assert_eq!(bench.cloudflare.records().len(), records, "{policy:?}");
            let told = match &status.hostnames[&host(APP)] {
                HostnameOutcome::Drifted { difference } => difference.as_str(),
                _ => status.repaired.get(&host(APP)).map_or("", String::as_str),
            };
            let expected = if round == 0 || records == 0 {
                "the record is gone"
            } else {
                ""
            };
            assert_eq!(told, expected, "{policy:?} {round}");
        }
        // Who asks for it gets it.
        bench
            .reconcile(&with_policy(&[APP], DriftPolicy::Repair))
            .await;
        bench.record(APP);
    }
}

#[tokio::test]
async fn drift_holds_up_other_names_only_where_the_policy_pauses() {
    for (policy, goes_on) in [(DriftPolicy::Report, true), (DriftPolicy::Pause, false)] {
        let bench = bench(&["example.com"]);
        bench
            .reconcile(&with_policy(&[APP, "old.example.com"], policy))
            .await;
        let app = bench.record(APP).id;
        bench.cloudflare.edit_record(&app, |data| data.ttl = 60);
        let status = bench
            .reconcile(&with_policy(&[APP, "new.example.com"], policy))
            .await;
        let names = |name: &str| bench.cloudflare.records_named(name).len();
        assert_eq!(names("new.example.com") == 1, goes_on, "{policy:?}");
        assert_eq!(names("old.example.com") == 0, goes_on, "{policy:?}");
        let paused = HostnameOutcome::Paused { because: host(APP) };
        let is_paused = status.hostnames[&host("new.example.com")] == paused;
        assert_eq!(is_paused, !goes_on, "{policy:?}");
        bench.cloudflare.edit_record(&app, |data| data.ttl = 1);
        bench
            .reconcile(&with_policy(&[APP, "new.example.com"], policy))
            .await;
        assert_eq!((names("new.example.com"), names("old.example.com")), (1, 0));
    }
}

#[tokio::test]
async fn a_tunnel_that_is_made_anew_gets_its_records_whatever_the_policy() {
    for policy in [DriftPolicy::Report, DriftPolicy::Pause] {
        for is_cut_short in [false, true] {
            let bench = bench(&["example.com"]);
            let wanted = with_policy(&[APP], policy);
            bench.reconcile(&wanted).await;
            let tunnel = bench.cloudflare.tunnels()[0].id;
            bench.cloudflare.remove_tunnel(tunnel);
            if is_cut_short {
                bench
                    .cloudflare
                    .fail_every(ApiCall::ChangeRecords, None, lost());
                bench.reconcile(&wanted).await;
                bench.cloudflare.heal();
            }
            let status = bench.reconcile(&wanted).await;
            assert_eq!(bench.record(APP).data.content, status.tunnels[0].address);
        }
    }
}

#[tokio::test]
async fn a_record_that_was_led_to_another_tunnel_has_drifted() {
    let bench = bench(&["example.com"]);
    let wanted = with_policy(&[APP], DriftPolicy::Report);
    bench.reconcile(&wanted).await;
    let other = bench.cloudflare.add_tunnel("acme", "somebody's", true);
    let app = bench.record(APP).id;
    bench
        .cloudflare
        .edit_record(&app, |data| data.content = other.address());
    let status = bench.reconcile(&wanted).await;
    match &status.hostnames[&host(APP)] {
        HostnameOutcome::Drifted { difference } => {
            assert!(difference.starts_with("content is the address of another tunnel"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_record_whose_mark_was_edited_away_is_a_conflict_until_it_is_adopted() {
    let bench = bench(&["example.com"]);
    let mut wanted = intent("gw", &[APP]);
    bench.reconcile(&wanted).await;
    let right = bench.record(APP);
    bench
        .cloudflare
        .edit_record(&right.id, |data| data.comment = "mine".to_owned());
    let edited = bench.record(APP);
    let status = bench.reconcile(&wanted).await;
    assert_eq!(bench.record(APP), edited);
    let conflict = |status: &EdgeStatus| {
        matches!(
            status.hostnames[&host(APP)],
            HostnameOutcome::Conflict { .. }
        )
    };
    assert!(conflict(&status));
    adopt(&bench, &mut wanted, APP).await;
    assert_eq!(bench.record(APP), right);
}

/// Goes from the dry run to the adoption of a name.
async fn adopt(bench: &Bench, wanted: &mut EdgeIntent, name: &str) {
    let before = bench.cloudflare.records();
    let adopt = &mut wanted.dns.records.adopt;
    adopt.insert(host(name), Adoption::DryRun);
    let status = bench.reconcile(wanted).await;
    assert_eq!(
        bench.cloudflare.records(),
        before,
        "a dry run changes nothing"
    );
    let HostnameOutcome::Adoptable { code, .. } = &status.hostnames[&host(name)] else {
        panic!("{:?}", status.hostnames);
    };
    let adopt = &mut wanted.dns.records.adopt;
    adopt.insert(host(name), Adoption::Confirmed(code.clone()));
    bench.cloudflare.forget_calls();
    let status = bench.reconcile(wanted).await;
    assert_eq!(status.hostnames[&host(name)], HostnameOutcome::Applied);
    assert_eq!(bench.cloudflare.writes(), 1, "one batch");
}

fn address(name: &str, kind: &str, content: &str) -> RecordData {
    RecordData {
        kind: kind.to_owned(),
        content: content.to_owned(),
        ..foreign(name)
    }
}

#[tokio::test]
async fn addresses_and_names_of_others_give_way_in_one_batch_once_they_are_confirmed() {
    for there in [
        vec![foreign(APP)],
        vec![address(APP, "A", "192.0.2.1")],
        vec![
            address(APP, "A", "192.0.2.1"),
            address(APP, "A", "192.0.2.2"),
            address(APP, "AAAA", "2001:db8::1"),
        ],
    ] {
        let bench = bench(&["example.com"]);
        let text = address(APP, "TXT", "text");
        for data in there.iter().chain([&text]) {
            bench.cloudflare.add_record(&zone(), data.clone());
        }
        let mut wanted = intent("gw", &[APP]);
        bench.reconcile(&wanted).await;
        adopt(&bench, &mut wanted, APP).await;
        let records = bench.cloudflare.records_named(APP);
        let kinds: BTreeSet<_> = records.iter().map(|r| r.data.kind.as_str()).collect();
        assert_eq!(kinds, BTreeSet::from(["CNAME", "TXT"]), "{there:?}");
        assert_eq!(records.len(), 2);
    }
}

#[tokio::test]
async fn what_changed_since_the_dry_run_is_not_adopted() {
    let bench = bench(&["example.com"]);
    let id = bench
        .cloudflare
        .add_record(&zone(), address(APP, "A", "192.0.2.1"));
    let mut wanted = intent("gw", &[APP]);
    let adoption = &mut wanted.dns.records.adopt;
    adoption.insert(host(APP), Adoption::DryRun);
    let status = bench.reconcile(&wanted).await;
    let HostnameOutcome::Adoptable { code, found } = &status.hostnames[&host(APP)] else {
        panic!("{:?}", status.hostnames);
    };
    assert_eq!(found, "A record 192.0.2.1");
    let adoption = &mut wanted.dns.records.adopt;
    adoption.insert(host(APP), Adoption::Confirmed(code.clone()));
    bench
        .cloudflare
        .edit_record(&id, |data| data.content = "192.0.2.9".to_owned());
    let edited = bench.record(APP);
    let status = bench.reconcile(&wanted).await;
    assert_eq!(bench.record(APP), edited);
    assert!(matches!(
        status.hostnames[&host(APP)],
        HostnameOutcome::Adoptable { .. }
    ));
}

#[tokio::test]
async fn what_other_servers_answer_for_and_other_installations_have_is_not_adopted() {
    let stranger = RecordMark::of(&crate::testing::installation("work"), &key("gw"));
    let marked = |kind: &str| RecordData {
        comment: stranger.to_string(),
        ..address(APP, kind, "192.0.2.1")
    };
    for data in [
        address(APP, "NS", "ns1.example.net"),
        marked("CNAME"),
        marked("A"),
    ] {
        let bench = bench(&["example.com"]);
        bench.cloudflare.add_record(&zone(), data);
        let before = bench.cloudflare.records();
        let mut wanted = intent("gw", &[APP]);
        wanted.dns.records.adopt.insert(host(APP), Adoption::DryRun);
        let status = bench.reconcile(&wanted).await;
        assert!(matches!(
            status.hostnames[&host(APP)],
            HostnameOutcome::Conflict { .. }
        ));
        assert_eq!(bench.cloudflare.records(), before);
    }
}

#[tokio::test]
async fn nothing_is_adopted_while_not_all_of_the_cluster_is_seen() {
    let bench = bench(&["example.com"]);
    bench.cloudflare.add_record(&zone(), foreign(APP));
    let mut wanted = intent("gw", &[APP]);
    wanted.policy = crate::edge::Policy::UpsertOnly;
    wanted.dns.records.adopt.insert(host(APP), Adoption::DryRun);
    let status = bench.reconcile(&wanted).await;
    let outcome = &status.hostnames[&host(APP)];
    assert!(
        matches!(outcome, HostnameOutcome::Conflict { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn more_records_than_one_batch_takes_are_not_adopted() {
    for (number, is_adoptable) in [(100, true), (101, false)] {
        let bench = bench(&["example.com"]);
        for last in 0..number {
            let data = address(APP, "A", &format!("192.0.2.{last}"));
            bench.cloudflare.add_record(&zone(), data);
        }
        let mut wanted = intent("gw", &[APP]);
        wanted.dns.records.adopt.insert(host(APP), Adoption::DryRun);
        let status = bench.reconcile(&wanted).await;
        let outcome = &status.hostnames[&host(APP)];
        let found = matches!(outcome, HostnameOutcome::Adoptable { .. });
        assert_eq!(found, is_adoptable, "{number}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_removal_of_many_names_waits_for_its_code() {
    let bench = bench(&["example.com", "example.org"]);
    let names: Vec<_> = (0..20)
        .map(|n| format!("n{n}.example.{}", if n % 2 == 0 { "com" } else { "org" }))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    bench.reconcile(&intent("gw", &names)).await;
    let mut few = intent("gw", &names[..12]);
    let held = bench
        .reconcile(&few)
        .await
        .held_back
        .expect("it is held back");
    assert_eq!((held.names.len(), held.of), (8, 20));
    assert_eq!(bench.cloudflare.records().len(), 20);
    let document = bench
        .cloudflare
        .configuration(bench.cloudflare.tunnels()[0].id);
    assert_eq!(
        document.unwrap().rules.len(),
        20,
        "what resolves has a rule"
    );

    few.dns.records.confirmed_removal = Some("wrong".to_owned());
    assert!(bench.reconcile(&few).await.held_back.is_some());
    few.dns.records.confirmed_removal = Some(held.code);
    assert_eq!(bench.reconcile(&few).await.held_back, None);
    assert_eq!(bench.cloudflare.records().len(), 12);

    bench.reconcile(&intent("gw", &names[..9])).await;
    assert_eq!(
        bench.cloudflare.records().len(),
        9,
        "three of twelve need no code"
    );
    bench.edge.remove(&key("gw")).await.unwrap();
    assert_eq!(
        bench.cloudflare.records(),
        [],
        "who deletes the Gateway means it"
    );
}

#[tokio::test]
async fn names_that_move_to_a_zone_further_down_are_not_removed() {
    let bench = bench(&["example.com"]);
    let names: Vec<_> = (0..9).map(|n| format!("n{n}.sub.example.com")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    bench.reconcile(&intent("gw", &names)).await;
    bench.cloudflare.add_zone("acme", "sub.example.com");
    let status = bench.reconcile(&intent("gw", &names)).await;
    assert_eq!(status.held_back, None);
    assert_eq!(bench.cloudflare.records().len(), 9);
}
