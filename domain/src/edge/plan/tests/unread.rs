//! What a plan does about what could not be read.

use super::*;

#[test]
fn what_could_not_be_read_stays_and_is_told() {
    let name = "app.example.com";
    let mut blind = observed(&[name], vec![]);
    let cases = [
        (
            "records time out",
            Ok(ZoneRecords::Failed(unavailable())),
            "timed out",
            false,
        ),
        (
            "records are forbidden",
            Ok(ZoneRecords::Failed(forbidden())),
            "lacks",
            true,
        ),
        (
            "records were not asked for",
            Ok(ZoneRecords::Skipped),
            "not read",
            false,
        ),
        ("zones time out", Err(unavailable()), "timed out", false),
        ("zones are forbidden", Err(forbidden()), "lacks", true),
    ];
    for (case, reading, words, closed) in cases {
        blind.zones = reading.map(|records| vec![zone("example.com", records)]);
        let plan = plan(&intent(&[name]), &blind, &installation());
        assert_eq!(plan.changes, [], "{case}");
        match &plan.hostnames[&host(name)] {
            HostnameOutcome::Forbidden { message } if closed => assert!(message.contains(words)),
            HostnameOutcome::Unknown { message } if !closed => assert!(message.contains(words)),
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn one_unreadable_zone_does_not_stop_another() {
    let mut half = observed(&["a.example.com", "b.example.org"], vec![]);
    if let Ok(zones) = &mut half.zones {
        zones.push(zone("example.org", ZoneRecords::Failed(unavailable())));
    }
    let plan = plan(
        &intent(&["a.example.com", "b.example.org"]),
        &half,
        &installation(),
    );
    assert_eq!(
        plan.changes,
        [changes_of("example.com", vec![post("a.example.com")])]
    );
    assert_eq!(
        plan.hostnames[&host("a.example.com")],
        HostnameOutcome::Applied
    );
}

#[test]
fn a_document_that_could_not_be_read_is_not_replaced() {
    let mut blind = observed(&[], vec![]);
    blind.tunnel.as_mut().unwrap().ingress = Err(unavailable());
    let plan = plan(&intent(&["a.example.com"]), &blind, &installation());
    assert_eq!(
        plan.changes,
        [changes_of("example.com", vec![post("a.example.com")])]
    );
    let message = "timed out".to_owned();
    assert_eq!(plan.ingress, IngressOutcome::Unknown { message });
}

#[test]
fn an_incomplete_view_adds_but_takes_nothing_and_hands_nothing_over() {
    let mut partial = intent(&["new.example.com", "sibling.example.com"]);
    partial.policy = Policy::UpsertOnly;
    let sibling = mark("other").to_string();
    let there = vec![
        right("old", "old.example.com"),
        record(
            "s",
            "sibling.example.com",
            "CNAME",
            "x.cfargotunnel.com",
            &sibling,
        ),
    ];
    let plan = plan(
        &partial,
        &observed(&["old.example.com"], there),
        &installation(),
    );
    let Change::Configure(document) = &plan.changes[0] else {
        panic!("{plan:?}");
    };
    let names: BTreeSet<_> = document
        .rules
        .iter()
        .map(|rule| rule.hostname.as_str())
        .collect();
    assert!(names.contains("old.example.com"));
    assert_eq!(
        plan.changes[1..],
        [changes_of("example.com", vec![post("new.example.com")])]
    );
    let outcome = &plan.hostnames[&host("sibling.example.com")];
    assert!(matches!(outcome, HostnameOutcome::Unknown { .. }));
}

#[test]
fn where_nobody_knows_what_a_gateway_has_all_of_it_stays_and_is_named() {
    let cases = [
        (
            ZoneRecords::Read(vec![right("s", "b.example.org")]),
            Some(&["a.example.com", "b.example.org"][..]),
        ),
        (ZoneRecords::Skipped, Some(&["a.example.com"][..])),
        (
            ZoneRecords::Failed(forbidden()),
            Some(&["a.example.com"][..]),
        ),
        (ZoneRecords::Failed(unavailable()), None),
    ];
    let kept = |policy: Policy, second: &ZoneRecords, unseen: Option<PortError>| {
        let mut intent = intent(&["app.example.com"]);
        intent.policy = policy;
        let there = vec![right("r", "a.example.com"), right("t", "app.example.com")];
        let mut observed = observed(&["app.example.com"], there);
        observed.unseen = unseen;
        if let Ok(zones) = &mut observed.zones {
            zones.push(zone("example.org", second.clone()));
        }
        let plan = plan(&intent, &observed, &installation());
        (plan.changes.is_empty(), plan.unwanted_kept)
    };
    for (second, expected) in cases {
        let expected: Option<BTreeSet<_>> =
            expected.map(|names| names.iter().map(|name| host(name)).collect());
        for (unseen, is_known) in [
            (None, true),
            (Some(forbidden()), true),
            (Some(unavailable()), false),
        ] {
            let expected = expected.clone().filter(|_| is_known);
            assert_eq!(
                kept(Policy::KeepRecords, &second, unseen),
                (true, expected),
                "{second:?}"
            );
        }
        assert_eq!(
            kept(Policy::Sync, &second, None),
            (false, None),
            "{second:?}"
        );
    }
}
