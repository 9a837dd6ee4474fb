//! Finding what an installation owns, and removing it.

use super::*;

#[tokio::test]
async fn owned_gateways_are_found_by_their_tunnels_of_this_installation() {
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("a", &[])).await;
    bench.reconcile(&intent("b", &[])).await;
    let work = crate::testing::installation("work");
    bench
        .cloudflare
        .add_tunnel("acme", &tunnel_name(&work, &key("c")), true);
    bench.cloudflare.add_tunnel("acme", "somebody's", false);
    assert_eq!(
        bench.edge.owned().await,
        Ok(BTreeSet::from([key("a"), key("b")]))
    );
    bench.cloudflare.fail_every(ApiCall::Tunnels, None, lost());
    let unknown = Err(Partial::from(lost()));
    assert_eq!(bench.edge.owned().await, unknown, "unknown, not none");
}

#[tokio::test]
async fn a_removal_removes_what_is_ours_and_nothing_else() {
    let bench = bench(&["example.com", "example.org"]);
    let zone = ZoneId::new("zone-example.com");
    bench
        .cloudflare
        .add_record(&zone, foreign("theirs.example.com"));
    bench
        .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
        .await;
    let sibling = bench.reconcile(&intent("other", &["c.example.com"])).await;
    for round in ["once", "twice"] {
        bench.edge.remove(&key("gw")).await.unwrap();
        let names: Vec<_> = bench
            .cloudflare
            .records()
            .into_iter()
            .map(|r| r.data.name)
            .collect();
        assert_eq!(names, ["theirs.example.com", "c.example.com"], "{round}");
        let tunnels = bench.cloudflare.tunnels();
        assert_eq!(tunnels.len(), 1, "{round}");
        assert_eq!(tunnels[0].id, sibling.tunnels[0].id, "{round}");
    }
}

/// As where a cluster was cloned with its instance id: the copy's Gateways are unknown here, and it serves them.
#[tokio::test]
async fn a_gateway_whose_tunnel_others_are_connected_to_keeps_everything_until_they_leave() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let theirs = over(cloudflare.clone());
    let status = theirs.reconcile(&intent("gw", &["a.example.com"])).await;
    cloudflare.connect(status.tunnels[0].id, "their proxy");

    let ours = over(cloudflare.clone());
    assert_eq!(ours.edge.owned().await, Ok(BTreeSet::from([key("gw")])));
    cloudflare.forget_calls();
    let refused = ours.edge.remove(&key("gw")).await.unwrap_err();
    assert!(refused.kind.is_transient());
    for word in ["nothing was removed", "1 connectors", "installation home"] {
        assert!(refused.message.contains(word), "{}", refused.message);
    }
    assert_eq!(ours.edge.sweep(&BTreeSet::new()).await, Ok(BTreeSet::new()));
    assert_eq!(cloudflare.writes(), 0, "{:?}", cloudflare.calls());
    ours.record("a.example.com");

    cloudflare.disconnect_all(status.tunnels[0].id);
    ours.edge.remove(&key("gw")).await.unwrap();
    assert!(cloudflare.records().is_empty() && cloudflare.tunnels().is_empty());
}

/// A journal that keeps what it is told.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Journal for Kept {
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

#[tokio::test]
async fn what_is_written_and_removed_is_told_with_its_reason_once_it_is_done() {
    let mut bench = bench(&["example.com"]);
    let journal = Arc::new(Kept::default());
    bench.edge = bench.edge.with_journal(journal.clone());
    let both = ["a.example.com", "b.example.com"];
    let made = bench.reconcile(&intent("gw", &both)).await;
    let tunnel = made.tunnels[0].id;
    let expected = [
        format!("made tunnel {}", made.tunnels[0].name),
        format!("wrote 2 ingress rules of tunnel {tunnel}"),
        "made record a.example.com".to_owned(),
        "made record b.example.com".to_owned(),
    ];
    assert_eq!(made.changes.listed, expected);
    let record = bench.record("b.example.com").id;
    bench.reconcile(&intent("gw", &both[..1])).await;
    let fails = lost();
    bench
        .cloudflare
        .fail_every(ApiCall::DeleteTunnel, None, fails);
    assert!(bench.edge.remove(&key("gw")).await.is_err());

    let told = journal.0.lock().unwrap().join("\n");
    let zone = "of zone zone-example.com";
    for line in [
        format!("wrote 2 ingress rules of tunnel {tunnel}, as Gateway default/gw asks"),
        format!("removed record b.example.com ({record} {zone}), as Gateway default/gw asks"),
        format!("wrote 1 ingress rules of tunnel {tunnel}, as Gateway default/gw asks"),
    ] {
        assert!(told.contains(&line), "{line} is not in: {told}");
    }
    assert!(told.contains("as Gateway default/gw is gone"), "{told}");
    assert!(!told.contains("removed tunnel"), "it failed: {told}");
}

#[tokio::test]
async fn a_failure_at_any_call_of_removing_heals_and_never_loses_the_trail() {
    for moment in [Moment::Before, Moment::After] {
        for nth in 0..8 {
            let bench = bench(&["example.com", "example.org"]);
            bench
                .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
                .await;
            bench.cloudflare.forget_calls();
            bench.cloudflare.fail_nth(nth, moment, lost());
            if bench.edge.remove(&key("gw")).await.is_err()
                && !bench.cloudflare.records().is_empty()
            {
                assert_eq!(bench.cloudflare.tunnels().len(), 1, "{moment:?} call {nth}");
            }
            bench.edge.remove(&key("gw")).await.unwrap();
            assert_eq!(bench.cloudflare.tunnels(), [], "{moment:?} call {nth}");
            assert_eq!(bench.cloudflare.records(), [], "{moment:?} call {nth}");
        }
    }
}

#[tokio::test]
async fn what_is_gone_stops_no_removal_and_what_cannot_be_read_does() {
    for call in [
        ApiCall::Configuration,
        ApiCall::Connectors,
        ApiCall::Disconnect,
        ApiCall::DeleteTunnel,
    ] {
        for (kind, goes) in [
            (PortErrorKind::NotFound, true),
            (PortErrorKind::Unavailable, false),
        ] {
            let given = format!("{call:?}: {kind:?}");
            let bench = bench(&["example.com"]);
            bench.reconcile(&intent("gw", &["a.example.com"])).await;
            bench.cloudflare.fail_every(call, None, error(kind));
            let ours = over(bench.cloudflare.clone());
            assert_eq!(ours.edge.remove(&key("gw")).await.is_ok(), goes, "{given}");
        }
    }
}

#[tokio::test]
async fn a_zone_that_cannot_be_read_keeps_the_tunnel() {
    let bench = bench(&["example.com", "example.org"]);
    bench
        .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
        .await;
    let com = ZoneId::new("zone-example.com");
    bench
        .cloudflare
        .fail_every(ApiCall::Records, Some(&com), lost());
    assert_eq!(bench.edge.remove(&key("gw")).await, Err(lost()));
    assert_eq!(bench.cloudflare.tunnels().len(), 1);
    bench.record("a.example.com");
    assert_eq!(bench.cloudflare.records_named("b.example.org"), []);
}

#[tokio::test]
async fn a_zone_that_was_never_open_does_not_keep_a_gateway_from_going() {
    let closed = ZoneId::new("zone-closed.example");
    let names = ["a.example.com", "b.closed.example"];
    for (given, wanted, restarted) in [
        ("a zone of others", &names[..1], false),
        ("a zone of others, after a restart", &names[..1], true),
        ("a zone that was asked for in vain", &names[..], false),
    ] {
        let mut bench = bench(&["example.com", "closed.example"]);
        let refusal = error(PortErrorKind::Forbidden);
        bench
            .cloudflare
            .fail_every(ApiCall::Records, Some(&closed), refusal);
        bench.reconcile(&intent("gw", wanted)).await;
        if restarted {
            bench = over(bench.cloudflare);
        }
        assert_eq!(bench.edge.remove(&key("gw")).await, Ok(()), "{given}");
        assert_eq!(bench.cloudflare.tunnels(), [], "{given}");
        assert_eq!(bench.cloudflare.records(), [], "{given}");
    }
}

#[tokio::test]
async fn a_token_for_tunnels_alone_does_not_keep_a_gateway_from_going() {
    let bench = bench(&["example.com"]);
    let refuse = |looking_up| {
        let listing = PortErrorKind::Forbidden;
        let cloudflare = &bench.cloudflare;
        cloudflare.heal();
        cloudflare.fail_every(ApiCall::Zones, None, error(listing));
        cloudflare.fail_every(ApiCall::ZoneNamed, None, error(looking_up));
    };
    let wanted = EdgeIntent {
        dns: DnsPolicy::Off.into(),
        ..intent("gw", &["a.example.com"])
    };
    bench.reconcile(&wanted).await;
    for (kind, is_good) in [
        (PortErrorKind::Unavailable, false),
        (PortErrorKind::Forbidden, true),
    ] {
        refuse(kind);
        // The zone of the name that its document shows cannot be seen.
        let status = bench.reconcile(&wanted).await;
        assert_eq!(status.failures.is_empty(), is_good, "{kind:?}");
        let removed = bench.edge.remove(&key("gw")).await;
        assert_eq!(removed.is_ok(), is_good, "{kind:?}");
        assert_eq!(bench.cloudflare.tunnels().is_empty(), is_good, "{kind:?}");
    }
}

#[tokio::test]
async fn a_zone_that_was_written_to_and_is_closed_since_keeps_the_tunnel() {
    let com = ZoneId::new("zone-example.com");
    let bench = bench(&["example.com", "example.org"]);
    let wanted = intent("gw", &["a.example.com"]);
    bench.reconcile(&wanted).await;
    // Nothing of it is written any more: that it once was counts.
    bench.reconcile(&wanted).await;
    let refusal = error(PortErrorKind::Forbidden);
    let calls = ApiCall::Records;
    bench
        .cloudflare
        .fail_every(calls, Some(&com), refusal.clone());
    assert_eq!(bench.edge.remove(&key("gw")).await, Err(refusal));
    assert_eq!(bench.cloudflare.tunnels().len(), 1);
    bench.record("a.example.com");

    bench.cloudflare.heal();
    assert_eq!(bench.edge.remove(&key("gw")).await, Ok(()));
    assert_eq!(bench.cloudflare.records(), []);
}

#[tokio::test]
async fn a_gateway_whose_credentials_are_gone_too_is_still_removed() {
    // In this process: what it was last reconciled with serves once more.
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("gw", &["a.example.com"])).await;
    bench.credentials.set(None, None);
    bench.edge.remove(&key("gw")).await.unwrap();
    assert_eq!(bench.cloudflare.tunnels(), []);

    // After a restart: other credentials of the installation find its tunnel.
    let first = over(FakeCloudflare::with_zones(&["example.com"]));
    first.reconcile(&intent("gw", &["a.example.com"])).await;
    let second = over(first.cloudflare.clone());
    second.credentials.set(None, None);
    second.credentials.set(Some(key("other")), Some("acme"));
    second.edge.remove(&key("gw")).await.unwrap();
    assert_eq!(second.cloudflare.tunnels(), []);
    assert_eq!(second.cloudflare.records(), []);

    // With none at all it is unknown what is left.
    second.credentials.set(Some(key("other")), None);
    let refused = second.edge.remove(&key("gw")).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Credentials);
}

/// Gateway `a` is in account `acme`, and a tenant's credentials `bad` come first and are of no use.
fn beside_bad_credentials(cloudflare: FakeCloudflare, spoil: Spoil) -> Bench {
    let bench = over(cloudflare);
    bench.credentials.set(None, None);
    bench.credentials.set(Some(key("a")), Some("acme"));
    spoil(&bench);
    bench
}

/// What one tenant can break, with what others need none of it for.
const SPOILT: [(&str, Spoil); 3] = [
    ("no Secret", |bench| {
        bench.credentials.lose(key("Bad"));
        bench.credentials.lose(key("bad"));
    }),
    ("a revoked token of another account", |bench| {
        bench.credentials.set_token(Some(key("Bad")), "aaa", "bad");
        bench.credentials.set_token(Some(key("bad")), "zzz", "bad");
        bench.cloudflare.revoke("bad");
    }),
    ("a revoked token of the same account", |bench| {
        bench.credentials.set_token(Some(key("Bad")), "acme", "bad");
        bench.cloudflare.revoke("bad");
    }),
];

#[tokio::test]
async fn bad_credentials_of_one_tenant_hide_nothing_of_others() {
    for (given, spoil) in SPOILT {
        let first = bench(&["example.com"]);
        first.reconcile(&intent("a", &["a.example.com"])).await;
        first.reconcile(&intent("gone", &["b.example.com"])).await;
        let bench = beside_bad_credentials(first.cloudflare, spoil);
        let both = BTreeSet::from([key("a"), key("gone")]);
        match bench.edge.owned().await {
            Ok(owned) => {
                assert!(
                    given.ends_with("same account"),
                    "{given}: there may be more"
                );
                assert_eq!(owned, both, "{given}");
            }
            Err(partial) => assert_eq!(partial.found, both, "{given}"),
        }
        bench.edge.remove(&key("gone")).await.unwrap();
        assert_eq!(bench.cloudflare.tunnels().len(), 1, "{given}");
        assert_eq!(bench.cloudflare.records().len(), 1, "{given}");
    }
}

#[tokio::test]
async fn a_gateway_whose_own_account_was_read_goes_whatever_others_hide() {
    for (given, spoil) in SPOILT {
        let bench = beside_bad_credentials(FakeCloudflare::with_zones(&["example.com"]), spoil);
        let never_made = bench.edge.remove(&key("a")).await;
        assert_eq!(never_made, Ok(()), "{given}: held, and never got a tunnel");
        bench.reconcile(&intent("a", &["a.example.com"])).await;
        for round in ["removed", "removed again, after a restart"] {
            let again = beside_bad_credentials(bench.cloudflare.clone(), spoil);
            assert_eq!(
                again.edge.remove(&key("a")).await,
                Ok(()),
                "{given}: {round}"
            );
            assert_eq!(again.cloudflare.tunnels(), [], "{given}: {round}");
        }
    }
}

#[tokio::test]
async fn a_gateway_without_an_account_of_its_own_may_be_where_nobody_can_look() {
    for (given, spoil) in SPOILT {
        let bench = beside_bad_credentials(FakeCloudflare::with_zones(&["example.com"]), spoil);
        let searched = bench.edge.remove(&key("gone")).await;
        let all_seen = given.ends_with("same account");
        assert_eq!(searched.is_ok(), all_seen, "{given}: {searched:?}");
    }
    // Its own account cannot be read: another one proves nothing.
    let first = bench(&["example.com"]);
    first.reconcile(&intent("a", &["a.example.com"])).await;
    let bench = over(first.cloudflare);
    bench.credentials.set(None, None);
    bench.credentials.set_token(Some(key("a")), "acme", "bad");
    bench.credentials.set(Some(key("b")), Some("other"));
    bench.cloudflare.revoke("bad");
    assert!(bench.edge.remove(&key("a")).await.is_err());
    assert_eq!(bench.cloudflare.tunnels().len(), 1);
}
