//! Finding what an installation owns, and removing it.

use super::*;

#[tokio::test]
async fn owned_gateways_are_found_by_their_tunnels_of_this_installation() {
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("a", &[])).await;
    bench.reconcile(&intent("b", &[])).await;
    let work = InstallationName::parse("work").unwrap();
    bench
        .cloudflare
        .add_tunnel("acme", &tunnel_name(&work, &key("c")), true);
    bench.cloudflare.add_tunnel("acme", "somebody's", false);
    assert_eq!(
        bench.edge.owned().await,
        Ok(BTreeSet::from([key("a"), key("b")]))
    );
    bench.cloudflare.fail_every(ApiCall::Tunnels, None, lost());
    assert_eq!(bench.edge.owned().await, Err(lost()), "unknown, not none");
}

#[tokio::test]
async fn forgetting_removes_what_is_ours_and_nothing_else() {
    let bench = bench(&["example.com", "example.org"]);
    let zone = ZoneId::new("zone-example.com");
    bench
        .cloudflare
        .add_record(&zone, foreign("theirs.example.com"));
    bench
        .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
        .await;
    let sibling = bench.reconcile(&intent("other", &["c.example.com"])).await;
    let tunnel = bench.edge.memory().gateways[&key("gw")].tunnel;
    bench
        .cloudflare
        .connect(tunnel, "a connector that did not stop");

    for round in ["once", "twice"] {
        bench.edge.forget(&key("gw")).await.unwrap();
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

#[tokio::test]
async fn a_failure_at_any_call_of_forgetting_heals_and_never_loses_the_trail() {
    for moment in [Moment::Before, Moment::After] {
        for nth in 0..8 {
            let bench = bench(&["example.com", "example.org"]);
            bench
                .reconcile(&intent("gw", &["a.example.com", "b.example.org"]))
                .await;
            bench.cloudflare.forget_calls();
            bench.cloudflare.fail_nth(nth, moment, lost());
            if bench.edge.forget(&key("gw")).await.is_err()
                && !bench.cloudflare.records().is_empty()
            {
                assert_eq!(bench.cloudflare.tunnels().len(), 1, "{moment:?} call {nth}");
            }
            bench.edge.forget(&key("gw")).await.unwrap();
            assert_eq!(bench.cloudflare.tunnels(), [], "{moment:?} call {nth}");
            assert_eq!(bench.cloudflare.records(), [], "{moment:?} call {nth}");
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
    assert_eq!(bench.edge.forget(&key("gw")).await, Err(lost()));
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
        let refusal = error(EdgeErrorKind::Forbidden);
        bench
            .cloudflare
            .fail_every(ApiCall::Records, Some(&closed), refusal);
        bench.reconcile(&intent("gw", wanted)).await;
        if restarted {
            bench = over(bench.cloudflare);
        }
        assert_eq!(bench.edge.forget(&key("gw")).await, Ok(()), "{given}");
        assert_eq!(bench.cloudflare.tunnels(), [], "{given}");
        assert_eq!(bench.cloudflare.records(), [], "{given}");
    }
}

#[tokio::test]
async fn a_token_for_tunnels_alone_does_not_keep_a_gateway_from_going() {
    let bench = bench(&["example.com"]);
    let refusal = error(EdgeErrorKind::Forbidden);
    bench.cloudflare.fail_every(ApiCall::Zones, None, refusal);
    let wanted = EdgeIntent {
        dns: DnsPolicy::Off,
        ..intent("gw", &["a.example.com"])
    };
    bench.reconcile(&wanted).await;
    assert_eq!(bench.edge.forget(&key("gw")).await, Ok(()));
    assert_eq!(bench.cloudflare.tunnels(), []);
}

#[tokio::test]
async fn a_zone_that_was_written_to_and_is_closed_since_keeps_the_tunnel() {
    let com = ZoneId::new("zone-example.com");
    for (call, zone) in [(ApiCall::Records, Some(&com)), (ApiCall::Zones, None)] {
        let bench = bench(&["example.com", "example.org"]);
        let wanted = intent("gw", &["a.example.com"]);
        bench.reconcile(&wanted).await;
        // Nothing of it is written any more: that it once was counts.
        bench.reconcile(&wanted).await;
        let refusal = error(EdgeErrorKind::Forbidden);
        bench.cloudflare.fail_every(call, zone, refusal.clone());
        assert_eq!(
            bench.edge.forget(&key("gw")).await,
            Err(refusal),
            "{call:?}"
        );
        assert_eq!(bench.cloudflare.tunnels().len(), 1, "{call:?}");
        bench.record("a.example.com");

        bench.cloudflare.heal();
        assert_eq!(bench.edge.forget(&key("gw")).await, Ok(()), "{call:?}");
        assert_eq!(bench.cloudflare.records(), [], "{call:?}");
    }
}

#[tokio::test]
async fn a_gateway_whose_credentials_are_gone_too_is_still_removed() {
    // In this process: what it was last reconciled with serves once more.
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("gw", &["a.example.com"])).await;
    bench.credentials.set(None, None);
    bench.edge.forget(&key("gw")).await.unwrap();
    assert_eq!(bench.cloudflare.tunnels(), []);

    // After a restart: other credentials of the installation find its tunnel.
    let first = over(FakeCloudflare::with_zones(&["example.com"]));
    first.reconcile(&intent("gw", &["a.example.com"])).await;
    let second = over(first.cloudflare.clone());
    second.credentials.set(None, None);
    second.credentials.set(Some(key("other")), Some("acme"));
    second.edge.forget(&key("gw")).await.unwrap();
    assert_eq!(second.cloudflare.tunnels(), []);
    assert_eq!(second.cloudflare.records(), []);

    // With none at all it is unknown what is left.
    second.credentials.set(Some(key("other")), None);
    let refused = second.edge.forget(&key("gw")).await.unwrap_err();
    assert_eq!(refused.kind, EdgeErrorKind::Credentials);
}
