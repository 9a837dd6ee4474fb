//! What is remembered between calls, what it spares, and when it is not believed.

use super::*;

/// An edge that is told of terms and resyncs, settled on these names of Gateway `gw`.
async fn settled(zones: &[&str], hostnames: &[&str]) -> Bench {
    let mut bench = bench(zones);
    bench.edge = bench.edge.remembering();
    bench.reconcile(&intent("gw", hostnames)).await;
    bench.cloudflare.forget_calls();
    bench
}

impl Bench {
    fn count(&self, call: ApiCall) -> usize {
        self.cloudflare.calls().get(&call).copied().unwrap_or(0)
    }

    fn cost(&self) -> (usize, usize) {
        (self.cloudflare.reads(), self.cloudflare.writes())
    }
}

#[tokio::test]
async fn what_a_change_of_hostnames_costs() {
    let one = ["a.example.com"];
    let both = ["a.example.com", "b.example.com"];
    for (change, before, after, cost) in [
        ("nothing", &one[..], &one[..], (0, 0)),
        ("one more", &one, &both, (0, 2)),
        ("one less: its zone is read first", &both, &one, (1, 2)),
        ("another", &one, &["b.example.com"], (1, 2)),
        (
            "the first in a second zone",
            &one,
            &["a.example.com", "a.example.org"],
            (0, 2),
        ),
        ("all gone", &one, &[], (1, 2)),
    ] {
        let bench = settled(&["example.com", "example.org"], before).await;
        let status = bench.reconcile(&intent("gw", after)).await;
        assert_eq!(status.failures, [], "{change}");
        assert_eq!(
            bench.cost(),
            cost,
            "{change}: {:?}",
            bench.cloudflare.calls()
        );
        let names: BTreeSet<_> = bench
            .cloudflare
            .records()
            .into_iter()
            .map(|r| r.data.name)
            .collect();
        let wanted = after.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names, wanted, "{change}");
    }
}

#[tokio::test]
async fn a_resync_reads_each_list_once_for_all_gateways() {
    let bench = settled(&["example.com", "example.org"], &["a.example.com"]).await;
    let others: Vec<_> = (0..20)
        .map(|n| (format!("gw-{n}"), format!("n{n}.example.org")))
        .collect();
    let intents: Vec<_> = others
        .iter()
        .map(|(gateway, name)| intent(gateway, &[name]))
        .collect();
    for wanted in &intents {
        bench.reconcile(wanted).await;
    }
    bench.cloudflare.forget_calls();
    bench.edge.begin_resync();
    let live = bench.edge.owned().await.unwrap();
    for wanted in &intents {
        bench.reconcile(wanted).await;
    }
    assert_eq!(bench.edge.sweep(&live).await, Ok(BTreeSet::new()));
    let tunnels_and_zones = 2;
    let (documents, records) = (20, 2);
    assert_eq!(bench.cost(), (tunnels_and_zones + documents + records, 0));
    assert_eq!(bench.count(ApiCall::Records), records);
}

#[tokio::test]
async fn a_record_that_somebody_made_theirs_is_not_touched_on_the_word_of_memory() {
    for (case, then) in [
        ("removed", &["b.example.com"][..]),
        ("kept", &["a.example.com", "c.example.com"]),
    ] {
        let bench = settled(&["example.com"], &["a.example.com", "b.example.com"]).await;
        let record = bench.record("a.example.com");
        bench
            .cloudflare
            .edit_record(&record.id, |data| data.comment = "mine now".to_owned());
        let theirs = bench.record("a.example.com");
        bench.reconcile(&intent("gw", then)).await;
        assert_eq!(bench.record("a.example.com"), theirs, "{case}");
    }
}

#[tokio::test]
async fn a_record_that_appeared_since_is_found_when_ours_is_refused() {
    let bench = settled(&["example.com"], &["a.example.com"]).await;
    let zone = ZoneId::new("zone-example.com");
    bench.cloudflare.add_record(&zone, foreign("b.example.com"));
    let before = bench.record("b.example.com");
    let wanted = intent("gw", &["a.example.com", "b.example.com", "c.example.com"]);
    let status = bench.reconcile(&wanted).await;
    assert_eq!(status.failures, []);
    let conflict = &status.hostnames[&host("b.example.com")];
    assert!(
        matches!(conflict, HostnameOutcome::Conflict { .. }),
        "{conflict:?}"
    );
    assert_eq!(
        status.hostnames[&host("c.example.com")],
        HostnameOutcome::Applied
    );
    assert_eq!(bench.record("b.example.com"), before);
}

#[tokio::test]
async fn a_tunnel_that_was_deleted_by_hand_is_made_again_at_the_next_change() {
    let bench = settled(&["example.com"], &["a.example.com"]).await;
    bench
        .cloudflare
        .remove_tunnel(bench.cloudflare.tunnels()[0].id);
    let status = bench
        .reconcile(&intent("gw", &["a.example.com", "b.example.com"]))
        .await;
    assert_eq!(status.failures, []);
    let address = bench.cloudflare.tunnels()[0].id.address();
    for name in ["a.example.com", "b.example.com"] {
        assert_eq!(bench.record(name).data.content, address, "{name}");
    }
}

#[tokio::test]
async fn what_others_did_is_seen_at_a_resync_and_once_its_account_is_read_anew() {
    type Again = fn(&DirectEdge);
    let cases: [(&str, Again, bool); 5] = [
        ("nothing", |_| {}, false),
        ("a resync", DirectEdge::begin_resync, true),
        ("itself", |edge| edge.read_anew(&key("gw")), true),
        ("an unknown one", |edge| edge.read_anew(&key("x")), false),
        ("one elsewhere", |edge| edge.read_anew(&key("other")), false),
    ];
    for (case, again, is_seen) in cases {
        let bench = settled(&["example.com"], &["a.example.com"]).await;
        bench.cloudflare.add_zone("other", "example.org");
        bench.credentials.set(Some(key("other")), Some("other"));
        bench.reconcile(&intent("other", &[])).await;
        let record = bench.record("a.example.com").id;
        bench.cloudflare.remove_record(&record);
        bench.cloudflare.forget_calls();
        again(&bench.edge);
        bench.reconcile(&intent("gw", &["a.example.com"])).await;
        let there = bench.cloudflare.records_named("a.example.com");
        assert_eq!(there.len(), usize::from(is_seen), "{case}");
        assert_eq!(bench.cost() == (0, 0), !is_seen, "{case}");
    }
}

#[tokio::test]
async fn a_record_that_the_first_read_did_not_show_is_removed_at_a_resync() {
    let bench = settled(&["example.com", "example.org"], &["a.example.com"]).await;
    let hidden = RecordData {
        name: "b.example.org".to_owned(),
        ..bench.record("a.example.com").data
    };
    bench
        .cloudflare
        .add_record(&ZoneId::new("zone-example.org"), hidden);
    bench.edge.begin_resync();
    bench.reconcile(&intent("gw", &["a.example.com"])).await;
    assert_eq!(bench.cloudflare.records().len(), 1);
}

#[tokio::test]
async fn a_failed_write_makes_all_that_was_read_doubtful() {
    let bench = settled(&["example.com"], &["a.example.com"]).await;
    let both = intent("gw", &["a.example.com", "b.example.com"]);
    bench.cloudflare.fail_nth(1, Moment::After, lost());
    let status = bench.reconcile(&both).await;
    assert_eq!(status.failures, [lost()], "it is not known what was done");
    bench.cloudflare.forget_calls();
    assert_eq!(bench.reconcile(&both).await.failures, []);
    assert_eq!(
        bench.cost(),
        (READS_BESIDE_ZONES + 1, 0),
        "it had been done"
    );
    bench.record("b.example.com");
}

#[tokio::test]
async fn a_failure_at_any_call_heals_with_a_memory_too() {
    let before = ["a.example.com", "b.example.org"];
    let after = intent("gw", &["b.example.org", "c.example.com"]);
    for moment in [Moment::Before, Moment::After] {
        for kind in [
            PortErrorKind::Unavailable,
            PortErrorKind::Conflict,
            PortErrorKind::NotFound,
        ] {
            for nth in 0..8 {
                let bench = settled(&["example.com", "example.org"], &before).await;
                bench.cloudflare.fail_nth(nth, moment, error(kind));
                let mut healed = false;
                for _ in 0..3 {
                    let answer = bench.edge.reconcile(&after).await;
                    healed = answer.is_ok_and(|status| status.failures.is_empty());
                }
                assert!(healed, "{moment:?} {kind:?} call {nth}");
                let names: BTreeSet<_> = bench
                    .cloudflare
                    .records()
                    .into_iter()
                    .map(|r| r.data.name)
                    .collect();
                let wanted = ["b.example.org", "c.example.com"].map(str::to_owned);
                assert_eq!(
                    names,
                    BTreeSet::from(wanted),
                    "{moment:?} {kind:?} call {nth}"
                );
            }
        }
    }
}
