//! A Gateway that moves to another account.

use super::*;

/// Spoils the former tunnel.
type SpoilTunnel = fn(&Bench, TunnelId);

/// `gw` is served from `acme` by a proxy, and its credentials open `other` from now on.
async fn about_to_move() -> (Bench, TunnelId) {
    let bench = bench(&["example.com"]);
    bench.cloudflare.add_zone("other", "example.org");
    let old = bench.reconcile(&intent("gw", &["a.example.com"])).await;
    let old = old.tunnels[0].id;
    bench.cloudflare.connect(old, "proxy");
    bench.credentials.set(None, Some("other"));
    (bench, old)
}

fn live() -> BTreeSet<ObjectKey> {
    BTreeSet::from([key("gw")])
}

#[tokio::test]
async fn records_in_the_new_account_wait_until_a_proxy_serves_there_and_the_old_ones_stay() {
    let (bench, old) = about_to_move().await;
    let wanted = intent("gw", &["a.example.org"]);
    let mut new = old;
    for round in ["first", "second"] {
        let status = bench.reconcile(&wanted).await;
        new = status.tunnels[0].id;
        assert_ne!(new, old, "{round}");
        assert_eq!(
            bench.cloudflare.records_named("a.example.org"),
            [],
            "{round}"
        );
        bench.record("a.example.com");
        let outcome = &status.hostnames[&host("a.example.org")];
        assert!(
            matches!(outcome, HostnameOutcome::Unknown { .. }),
            "{round}: {outcome:?}"
        );
        assert_eq!(status.failures.len(), 1, "{round}: it is tried again");
        assert!(status.failures[0].kind.is_transient(), "{round}");
        bench.edge.sweep(&live()).await.unwrap();
        assert_eq!(
            bench.cloudflare.tunnels().len(),
            2,
            "{round}: it serves still"
        );
    }
    bench.cloudflare.connect(new, "the next proxy");
    let status = bench.reconcile(&wanted).await;
    assert_eq!(status.failures, []);
    assert_eq!(bench.record("a.example.org").data.content, new.address());
    bench.record("a.example.com");

    bench.cloudflare.disconnect_all(old);
    bench.edge.sweep(&live()).await.unwrap();
    let tunnels: Vec<_> = bench
        .cloudflare
        .tunnels()
        .iter()
        .map(|tunnel| tunnel.id)
        .collect();
    assert_eq!(tunnels, [new]);
    assert_eq!(bench.cloudflare.records_named("a.example.com"), []);
}

#[tokio::test]
async fn nothing_waits_where_the_former_tunnel_serves_nobody_or_cannot_be_asked() {
    let cases: [(&str, SpoilTunnel); 4] = [
        ("no proxy is there", |bench, old| {
            bench.cloudflare.disconnect_all(old);
        }),
        ("its proxy is leaving", |bench, old| {
            bench.cloudflare.disconnect_all(old);
            bench.cloudflare.list_connector(old, "proxy", 0);
        }),
        ("it is gone", |bench, old| {
            bench.cloudflare.remove_tunnel(old);
        }),
        ("its token was revoked", |bench, _| {
            bench.cloudflare.revoke("token of acme");
        }),
    ];
    for (case, spoil) in cases {
        let (bench, old) = about_to_move().await;
        spoil(&bench, old);
        let status = bench.reconcile(&intent("gw", &["a.example.org"])).await;
        assert_eq!(status.failures, [], "{case}");
        bench.record("a.example.org");
    }
}

#[tokio::test]
async fn a_gateway_that_moves_back_is_served_at_once() {
    let (bench, old) = about_to_move().await;
    bench.reconcile(&intent("gw", &["a.example.org"])).await;
    bench.credentials.set(None, Some("acme"));
    let status = bench
        .reconcile(&intent("gw", &["a.example.com", "b.example.com"]))
        .await;
    assert_eq!((status.tunnels[0].id, status.failures), (old, Vec::new()));
    bench.record("b.example.com");
}

/// After a restart nothing is remembered of the move; what other Gateways' credentials show is enough.
#[tokio::test]
async fn what_is_left_in_the_former_account_is_found_after_a_restart() {
    let (bench, old) = about_to_move().await;
    bench.reconcile(&intent("gw", &["a.example.org"])).await;
    let next = over(bench.cloudflare.clone());
    next.credentials.set(None, Some("other"));
    next.credentials.set(Some(key("sibling")), Some("acme"));
    let new = next
        .reconcile(&intent("gw", &["a.example.org"]))
        .await
        .tunnels[0]
        .id;
    next.edge.sweep(&live()).await.unwrap();
    assert_eq!(
        next.cloudflare.tunnels().len(),
        2,
        "its proxies are there still"
    );
    next.cloudflare.disconnect_all(old);
    next.edge.sweep(&live()).await.unwrap();
    let tunnels: Vec<_> = next
        .cloudflare
        .tunnels()
        .iter()
        .map(|tunnel| tunnel.id)
        .collect();
    assert_eq!(tunnels, [new]);
    assert_eq!(next.cloudflare.records_named("a.example.com"), []);
}
