//! Records: foreign ones, failing zones, refused batches, names that change hands.

use super::*;

#[tokio::test]
async fn a_foreign_record_stays_byte_for_byte_and_the_rest_works() {
    let bench = bench(&["example.com"]);
    let zone = ZoneId::new("zone-example.com");
    bench
        .cloudflare
        .add_record(&zone, foreign("taken.example.com"));
    let before = bench.record("taken.example.com");
    let wanted = intent("gw", &["taken.example.com", "free.example.com"]);
    let status = bench.reconcile(&wanted).await;
    bench.edge.remove(&key("gw")).await.unwrap();

    assert_eq!(bench.record("taken.example.com"), before);
    let found = "CNAME record elsewhere.example.net".to_owned();
    let conflict = HostnameOutcome::Conflict { found };
    assert_eq!(status.hostnames[&host("taken.example.com")], conflict);
    assert_eq!(
        status.hostnames[&host("free.example.com")],
        HostnameOutcome::Applied
    );
    assert_eq!(status.failures, []);
}

#[tokio::test]
async fn a_hostname_changes_hands_by_one_put() {
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("old", &["app.example.com"])).await;
    let before = bench.record("app.example.com");
    let mut yields = intent("old", &[]);
    yields
        .dns
        .lost_to
        .insert(host("app.example.com"), key("new"));

    bench.reconcile(&yields).await;
    assert_eq!(
        bench.record("app.example.com"),
        before,
        "the old holder waits"
    );
    let status = bench.reconcile(&intent("new", &["app.example.com"])).await;
    let after = bench.record("app.example.com");
    assert_eq!(after.id, before.id, "replaced in place");
    assert_eq!(after.data.content, status.tunnels[0].address);
    bench.reconcile(&yields).await;
    assert_eq!(bench.record("app.example.com"), after);
}

#[tokio::test]
async fn what_was_edited_by_hand_is_repaired() {
    let bench = bench(&["example.com"]);
    let wanted = intent("gw", &["app.example.com"]);
    bench.reconcile(&wanted).await;
    let before = bench.record("app.example.com");
    bench.cloudflare.edit_record(&before.id, |data| {
        data.proxied = false;
        data.ttl = 60;
    });
    bench.reconcile(&wanted).await;
    assert_eq!(bench.record("app.example.com"), before);

    bench
        .cloudflare
        .remove_tunnel(bench.cloudflare.tunnels()[0].id);
    let status = bench.reconcile(&wanted).await;
    let record = bench.record("app.example.com");
    assert_eq!(record.id, before.id);
    assert_eq!(record.data.content, status.tunnels[0].address);
}

#[tokio::test]
async fn records_left_by_an_earlier_process_are_found_in_every_zone() {
    let first = bench(&["example.com", "example.org"]);
    first
        .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
        .await;
    let second = over(first.cloudflare.clone());
    second.reconcile(&intent("gw", &["a.example.com"])).await;
    assert_eq!(second.cloudflare.records_named("b.example.org"), []);
    second.record("a.example.com");
}

#[tokio::test]
async fn a_zone_that_fails_keeps_its_records_and_stops_no_other() {
    let bench = bench(&["example.com", "example.org"]);
    bench
        .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
        .await;
    let org = ZoneId::new("zone-example.org");
    bench
        .cloudflare
        .fail_every(ApiCall::Records, Some(&org), lost());
    let status = bench.reconcile(&intent("gw", &["c.example.com"])).await;
    bench.record("b.example.org");
    bench.record("c.example.com");
    assert_eq!(bench.cloudflare.records_named("a.example.com"), []);
    assert_eq!(
        status.failures,
        [lost()],
        "worth another try: something may be left there"
    );

    bench.cloudflare.heal();
    let status = bench.reconcile(&intent("gw", &["c.example.com"])).await;
    assert_eq!(status.failures, []);
    assert_eq!(bench.cloudflare.records_named("b.example.org"), []);
}

#[tokio::test]
async fn a_token_without_permission_is_told_by_name() {
    let closed = error(PortErrorKind::Forbidden);
    let forbidden = HostnameOutcome::Forbidden {
        message: "refused".to_owned(),
    };
    for call in [ApiCall::Zones, ApiCall::Records, ApiCall::ChangeRecords] {
        let bench = bench(&["example.com"]);
        bench.cloudflare.fail_every(call, None, closed.clone());
        bench
            .cloudflare
            .fail_every(ApiCall::ZoneNamed, None, closed.clone());
        let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
        assert_eq!(
            status.hostnames[&host("app.example.com")],
            forbidden,
            "{call:?}"
        );
        assert_eq!(status.failures, std::slice::from_ref(&closed), "{call:?}");
        assert_eq!(status.tunnels.len(), 1);
    }
}

#[tokio::test]
async fn a_zone_that_the_token_may_not_read_does_not_matter_if_no_name_is_in_it() {
    let bench = bench(&["example.com", "private.example.net"]);
    let private = ZoneId::new("zone-private.example.net");
    let closed = error(PortErrorKind::Forbidden);
    bench
        .cloudflare
        .fail_every(ApiCall::Records, Some(&private), closed);
    let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
    assert_eq!(status.failures, []);
}

#[tokio::test]
async fn a_name_outside_every_zone_is_told_until_its_zone_appears() {
    let bench = bench(&["example.com"]);
    let wanted = intent("gw", &["app.example.org"]);
    let status = bench.reconcile(&wanted).await;
    assert_eq!(
        status.hostnames[&host("app.example.org")],
        HostnameOutcome::NoZone
    );
    assert_eq!(status.failures, []);
    bench.cloudflare.add_zone("acme", "example.org");
    bench.reconcile(&wanted).await;
    bench.record("app.example.org");
}

#[tokio::test]
async fn one_name_that_is_refused_does_not_keep_the_others_from_their_records() {
    let bench = bench(&["example.com"]);
    let names: Vec<_> = (0..20).map(|n| format!("n{n}.example.com")).collect();
    let wanted = intent("gw", &names.iter().map(String::as_str).collect::<Vec<_>>());
    // Somebody takes a name between our look and our call.
    bench.reconcile(&intent("gw", &[])).await;
    let zone = ZoneId::new("zone-example.com");
    let credentials = bench.edge.credentials.of(&key("gw")).await.unwrap();
    let api = bench.edge.open(&credentials, "");
    let mark = RecordMark::of(&installation(), &key("gw"));
    let work = Work {
        intent: &wanted,
        name: tunnel_name(&installation(), &key("gw")),
        mark,
        moved_from: None,
        known: None,
        former: None,
        had: BTreeSet::new(),
    };
    let observed = observe::observe(&api, &work).await.unwrap();
    let plan = plan::plan(&wanted, &observed, &installation());
    bench
        .cloudflare
        .add_record(&zone, foreign("n7.example.com"));
    let existing = observed.tunnel.map(|tunnel| tunnel.id);
    let mut applied = Executor::start(&api, &work, existing).await.unwrap();
    applied.carry_out(&plan.changes).await.unwrap();

    assert_eq!(
        applied.hostnames.keys().collect::<Vec<_>>(),
        [&host("n7.example.com")]
    );
    assert_eq!(applied.failures.len(), 1);
    assert_eq!(bench.cloudflare.records().len(), 20);
}

#[tokio::test]
async fn a_batch_that_is_refused_whatever_is_in_it_does_not_eat_the_budget() {
    let bench = bench(&["example.com"]);
    let names: Vec<_> = (0..200).map(|n| format!("n{n}.example.com")).collect();
    let quota = error(PortErrorKind::Invalid);
    bench
        .cloudflare
        .fail_every(ApiCall::ChangeRecords, None, quota);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let status = bench.reconcile(&intent("gw", &names)).await;
    assert!(bench.cloudflare.calls()[&ApiCall::ChangeRecords] <= 40);
    let (mut refused, mut not_tried) = (0, 0);
    for outcome in status.hostnames.values() {
        match outcome {
            HostnameOutcome::Refused { .. } => refused += 1,
            HostnameOutcome::Unknown { .. } => not_tried += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0 && not_tried > 0, "{refused}, {not_tried}");
}

#[tokio::test]
async fn a_batch_is_taken_apart_only_where_one_of_its_operations_may_be_to_blame() {
    for (kind, calls) in [(PortErrorKind::Invalid, 3), (PortErrorKind::Unavailable, 1)] {
        let bench = bench(&["example.com"]);
        bench
            .cloudflare
            .fail_every(ApiCall::ChangeRecords, None, error(kind));
        let both = intent("gw", &["a.example.com", "b.example.com"]);
        bench.reconcile(&both).await;
        let made = bench.cloudflare.calls()[&ApiCall::ChangeRecords];
        assert_eq!(made, calls, "{kind:?}");
    }
}

#[tokio::test]
async fn a_record_that_is_gone_already_counts_as_removed() {
    for (kind, is_removed) in [
        (PortErrorKind::NotFound, true),
        (PortErrorKind::Unavailable, false),
    ] {
        let bench = bench(&["example.com"]);
        bench.reconcile(&intent("gw", &["a.example.com"])).await;
        let gone = error(kind);
        bench
            .cloudflare
            .fail_every(ApiCall::ChangeRecords, None, gone);
        let status = bench.reconcile(&intent("gw", &[])).await;
        assert_eq!(status.failures.is_empty(), is_removed, "{kind:?}");
    }
}

#[tokio::test]
async fn a_failed_document_is_told_and_does_not_stop_records() {
    let bench = bench(&["example.com"]);
    bench
        .cloudflare
        .fail_every(ApiCall::Configure, None, lost());
    let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
    bench.record("app.example.com");
    assert!(matches!(status.ingress, IngressOutcome::Unknown { .. }));
    assert_eq!(status.failures, [lost()]);
}
