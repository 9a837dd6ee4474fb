//! Tokens with fewer permissions, and zones in every state.

use super::*;
use crate::edge::ZoneStatus;
use crate::edge::objects::ZoneState;

/// What a token may do that may not list zones.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    MayLookUp,
    /// The same, and the list that it gets is empty.
    GetsNone,
    MayNothing,
}

fn closed(zones: &[&str], token: Token) -> Bench {
    let bench = bench(zones);
    let refusal = error(PortErrorKind::Forbidden);
    let cloudflare = &bench.cloudflare;
    match token {
        Token::GetsNone => cloudflare.list_no_zone(),
        Token::MayLookUp | Token::MayNothing => {
            cloudflare.fail_every(ApiCall::Zones, None, refusal.clone());
        }
    }
    if token == Token::MayNothing {
        cloudflare.fail_every(ApiCall::ZoneNamed, None, refusal);
    }
    bench
}

fn with_ids(mut intent: EdgeIntent, ids: &[(&str, &str)]) -> EdgeIntent {
    let ids = ids.iter().map(|(name, id)| (host(name), ZoneId::new(*id)));
    intent.dns.records.zone_ids = ids.collect();
    intent
}

fn example() -> Vec<(&'static str, &'static str)> {
    vec![("example.com", "zone-example.com")]
}

#[tokio::test]
async fn two_permissions_make_records_and_remove_them() {
    for (token, ids) in [
        (Token::MayLookUp, vec![]),
        (Token::GetsNone, vec![]),
        (Token::MayNothing, example()),
    ] {
        let bench = closed(&["example.com", "example.org"], token);
        let before = with_ids(intent("gw", &["a.example.com", "b.example.com"]), &ids);
        let status = bench.reconcile(&before).await;
        assert_eq!(status.failures, [], "{token:?}");
        let looked_up = bench.cloudflare.calls()[&ApiCall::ZoneNamed];
        assert_eq!(looked_up, 1, "{token:?}: also where it is refused");
        bench.record("a.example.com");
        let after = with_ids(intent("gw", &["a.example.com"]), &ids);
        bench.reconcile(&after).await;
        assert_eq!(bench.cloudflare.records().len(), 1, "{token:?}");
        bench.edge.remove(&key("gw")).await.unwrap();
        assert_eq!(bench.cloudflare.records(), [], "{token:?}");
        assert_eq!(bench.cloudflare.tunnels(), [], "{token:?}");
    }
}

#[tokio::test]
async fn a_new_process_removes_what_an_earlier_one_made_with_two_permissions() {
    for (token, ids) in [(Token::MayLookUp, vec![]), (Token::MayNothing, example())] {
        let bench = closed(&["example.com"], token);
        let wanted = with_ids(intent("gw", &["a.example.com"]), &ids);
        bench.reconcile(&wanted).await;
        let second = over(bench.cloudflare.clone());
        second
            .edge
            .know_zones(&key("gw"), &wanted.dns.records.zone_ids);
        second.edge.remove(&key("gw")).await.unwrap();
        assert_eq!(second.cloudflare.records(), [], "{token:?}");
    }
}

#[tokio::test]
async fn a_name_belongs_to_the_longest_zone_that_a_look_up_finds() {
    let names = [
        "example.com",
        "*.example.com",
        "app.example.com",
        "a.sub.example.com",
        "*.sub.example.com",
        "sub.example.com",
        "shop.example.co.uk",
        "xn--bcher-kva.example",
        "app.example.net",
    ];
    let zones = [
        "example.com",
        "sub.example.com",
        "example.co.uk",
        "xn--bcher-kva.example",
    ];
    let bench = closed(&zones, Token::MayLookUp);
    // Nobody asks the sub-zone's servers before the zone above names them.
    let delegation = RecordData {
        kind: "NS".to_owned(),
        content: "ns1.example.net".to_owned(),
        ..foreign("sub.example.com")
    };
    let above = ZoneId::new("zone-example.com");
    bench.cloudflare.add_record(&above, delegation);
    let status = bench.reconcile(&intent("gw", &names)).await;
    for name in &names[..8] {
        assert_eq!(
            status.hostnames[&host(name)],
            HostnameOutcome::Applied,
            "{name}"
        );
    }
    assert_eq!(
        status.hostnames[&host("app.example.net")],
        HostnameOutcome::NoZone
    );
    let found: Vec<_> = status.zones.iter().map(|zone| zone.name.as_str()).collect();
    let mut expected = zones;
    expected.sort_unstable();
    assert_eq!(found, expected);
    let looked_up = bench.cloudflare.calls()[&ApiCall::ZoneNamed];
    // example.com, sub.example.com; co.uk, example.co.uk; xn--bcher-kva.example; example.net, app.example.net
    assert_eq!(looked_up, 7);
}

#[tokio::test]
async fn five_hundred_names_of_one_zone_cost_one_look_up() {
    let bench = closed(&["example.com"], Token::MayLookUp);
    let names: Vec<_> = (0..500).map(|n| format!("n{n}.example.com")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let status = bench.reconcile(&intent("gw", &names)).await;
    assert_eq!(status.failures, []);
    assert_eq!(bench.cloudflare.calls()[&ApiCall::ZoneNamed], 1);
}

#[tokio::test]
async fn look_ups_are_bounded_and_go_on_where_they_stopped() {
    let mut bench = closed(&["example.com"], Token::MayLookUp);
    bench.edge = bench.edge.remembering();
    let names: Vec<_> = (0..150).map(|n| format!("app.outside-{n}.net")).collect();
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.push("app.example.com");
    let wanted = intent("gw", &names);
    let mut goes = 0;
    loop {
        goes += 1;
        bench.cloudflare.forget_calls();
        let status = bench.reconcile(&wanted).await;
        let calls = bench.cloudflare.calls();
        assert!(calls.get(&ApiCall::ZoneNamed).copied().unwrap_or(0) <= 100);
        bench.record("app.example.com");
        if status.failures.is_empty() {
            break;
        }
        let left = status.hostnames.values();
        let unknown = left.filter(|outcome| matches!(outcome, HostnameOutcome::Unknown { .. }));
        assert!(unknown.count() > 0, "not taken for a name without a zone");
    }
    assert_eq!(goes, 4);
}

#[tokio::test]
async fn an_id_of_another_zone_gets_no_record() {
    let bench = closed(&["example.org"], Token::MayNothing);
    let other = ZoneId::new("zone-example.org");
    bench
        .cloudflare
        .add_record(&other, foreign("www.example.org"));
    let before = bench.cloudflare.records();
    let wrong = [("example.com", "zone-example.org")];
    let status = bench
        .reconcile(&with_ids(intent("gw", &["app.example.com"]), &wrong))
        .await;
    assert_eq!(bench.cloudflare.records(), before);
    match &status.hostnames[&host("app.example.com")] {
        HostnameOutcome::Refused { message } => assert!(message.contains("www.example.org")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_state_of_a_zone_is_told_and_the_record_is_made() {
    for state in [
        ZoneState::Active,
        ZoneState::Pending,
        ZoneState::Paused,
        ZoneState::Partial,
    ] {
        let bench = bench(&["example.com"]);
        let zone = ZoneId::new("zone-example.com");
        bench.cloudflare.set_zone_state(&zone, state);
        let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
        bench.record("app.example.com");
        let name = "example.com".to_owned();
        assert_eq!(status.zones, BTreeSet::from([ZoneStatus { name, state }]));
    }
}
