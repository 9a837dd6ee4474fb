//! Records that no tunnel leads to, and what is left in an account that a Gateway moved away from.

use futures_util::FutureExt as _;

use super::*;

fn live(names: &[&str]) -> BTreeSet<ObjectKey> {
    names.iter().map(|name| key(name)).collect()
}

fn names(found: &[&str]) -> BTreeSet<String> {
    found.iter().map(|name| (*name).to_owned()).collect()
}

/// Gateway `gone` lost its tunnel and left its records; `here` is served.
async fn with_lost_records() -> Bench {
    let bench = bench(&["example.com", "example.org"]);
    let gone = bench
        .reconcile(&intent("gone", &["a.example.com", "b.example.org"]))
        .await;
    bench.reconcile(&intent("here", &["c.example.com"])).await;
    bench.cloudflare.remove_tunnel(gone.tunnels[0].id);
    over(bench.cloudflare)
}

impl Bench {
    fn all_names(&self) -> BTreeSet<String> {
        self.cloudflare
            .records()
            .into_iter()
            .map(|record| record.data.name)
            .collect()
    }
}

#[tokio::test]
async fn a_record_of_an_unknown_gateway_is_found_by_its_mark_alone() {
    let bench = with_lost_records().await;
    let swept = bench.edge.sweep(&live(&["here"])).await;
    assert_eq!(swept, Ok(names(&["a.example.com", "b.example.org"])));
    assert_eq!(bench.all_names(), names(&["c.example.com"]));
}

#[tokio::test]
async fn no_mark_but_ours_is_swept() {
    let bench = with_lost_records().await;
    let zone = ZoneId::new("zone-example.com");
    let own = RecordMark::of(&installation(), &key("gone")).to_string();
    let neighbour = crate::testing::installation("home-2");
    let there = [
        ("CNAME", String::new()),
        ("CNAME", "made by hand".to_owned()),
        ("CNAME", format!("{own} copied")),
        ("CNAME", own.replace("cfgw1", "cfgw2")),
        (
            "CNAME",
            RecordMark::of(&neighbour, &key("gone")).to_string(),
        ),
        ("A", own.clone()),
    ];
    for (number, (kind, comment)) in there.into_iter().enumerate() {
        let data = RecordData {
            name: format!("theirs-{number}.example.com"),
            kind: kind.to_owned(),
            comment,
            ..foreign("")
        };
        bench.cloudflare.add_record(&zone, data);
    }
    let foreign = |bench: &Bench| {
        let mut records = bench.cloudflare.records();
        records.retain(|record| record.data.name.starts_with("theirs"));
        records
    };
    let before = foreign(&bench);
    bench.edge.sweep(&live(&["here"])).await.unwrap();
    assert_eq!(foreign(&bench), before);
}

#[tokio::test]
async fn nothing_is_swept_while_anything_is_uncertain() {
    for call in [ApiCall::Zones, ApiCall::Records, ApiCall::Tunnels] {
        let bench = with_lost_records().await;
        let before = bench.cloudflare.records();
        bench.cloudflare.fail_every(call, None, lost());
        assert_eq!(
            bench.edge.sweep(&live(&["here"])).await,
            Err(lost()),
            "{call:?}"
        );
        assert_eq!(bench.cloudflare.records(), before, "{call:?}");
    }
    let bench = with_lost_records().await;
    bench.credentials.set(None, None);
    assert_eq!(
        bench.edge.sweep(&live(&["here"])).await,
        Ok(names(&[])),
        "nowhere to look"
    );
    assert_eq!(bench.cloudflare.records().len(), 3);
}

#[tokio::test]
async fn bad_credentials_of_one_tenant_keep_no_other_account_from_being_swept() {
    let spoilt: [(&str, Spoil); 2] = [
        ("no Secret", |bench| bench.credentials.lose(key("bad"))),
        ("a revoked token", |bench| {
            bench.credentials.set_token(Some(key("bad")), "aaa", "bad");
            bench.cloudflare.revoke("bad");
        }),
    ];
    for (given, spoil) in spoilt {
        let bench = with_lost_records().await;
        spoil(&bench);
        let swept = bench.edge.sweep(&live(&["here"])).await;
        assert!(swept.is_err(), "{given}: there may be more");
        assert_eq!(bench.all_names(), names(&["c.example.com"]), "{given}");
    }
}

#[tokio::test]
async fn a_failure_at_any_call_of_a_sweep_heals() {
    for moment in [Moment::Before, Moment::After] {
        for nth in 0..8 {
            let bench = with_lost_records().await;
            bench.cloudflare.fail_nth(nth, moment, lost());
            for _ in 0..2 {
                let _ = bench.edge.sweep(&live(&["here"])).await;
            }
            assert_eq!(
                bench.all_names(),
                names(&["c.example.com"]),
                "{moment:?} call {nth}"
            );
        }
    }
}

#[tokio::test]
async fn a_token_that_sees_no_zone_finds_nothing_and_does_not_fail() {
    let bench = with_lost_records().await;
    for call in [ApiCall::Zones, ApiCall::Records] {
        bench
            .cloudflare
            .fail_every(call, None, error(PortErrorKind::Forbidden));
        assert_eq!(
            bench.edge.sweep(&live(&["here"])).await,
            Ok(names(&[])),
            "{call:?}"
        );
        bench.cloudflare.heal();
    }
}

#[tokio::test]
async fn where_zones_are_not_listed_those_are_swept_that_a_gateway_is_known_to_use() {
    let closed: [(&str, Spoil); 2] = [
        ("refused", |bench| {
            let refusal = error(PortErrorKind::Forbidden);
            bench.cloudflare.fail_every(ApiCall::Zones, None, refusal);
        }),
        ("empty", |bench| bench.cloudflare.list_no_zone()),
    ];
    for (list, close) in closed {
        let bench = with_lost_records().await;
        close(&bench);
        bench.reconcile(&intent("here", &["c.example.com"])).await;
        let swept = bench.edge.sweep(&live(&["here"])).await;
        assert_eq!(swept, Ok(names(&["a.example.com"])), "{list}");
    }
}

#[tokio::test]
async fn work_in_one_account_is_done_one_after_another_and_waits_for_no_other_account() {
    let bench = with_lost_records().await;
    bench.cloudflare.add_zone("other", "example.net");
    bench.credentials.set(Some(key("elsewhere")), Some("other"));
    bench
        .credentials
        .set_token(Some(key("stranger")), "acme", "none");
    bench.cloudflare.revoke("none");
    let in_account = bench.edge.lock_account(&AccountId::new("acme")).await;

    let here = intent("here", &["c.example.com"]);
    let mut reconcile = Box::pin(bench.edge.reconcile(&here));
    assert!(reconcile.as_mut().now_or_never().is_none(), "it waits");
    let elsewhere = intent("elsewhere", &["a.example.net"]);
    let done = bench.edge.reconcile(&elsewhere).now_or_never();
    done.expect("another account").unwrap();
    let stranger = intent("stranger", &[]);
    let refused = bench.edge.reconcile(&stranger).now_or_never();
    let refused = refused
        .expect("whom the account does not let in")
        .unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Unauthenticated);
    bench.credentials.set(Some(key("stranger")), None);
    let live = live(&["here", "elsewhere"]);
    let mut sweep = Box::pin(bench.edge.sweep(&live));
    assert!(sweep.as_mut().now_or_never().is_none(), "it waits");

    drop(in_account);
    reconcile.await.unwrap();
    sweep.await.unwrap();
}

/// Gateway `gw` is served from account `other`, after it was from `acme`.
async fn moved() -> (Bench, TunnelId) {
    let bench = bench(&["example.com"]);
    bench.cloudflare.add_zone("other", "example.org");
    let old = bench.reconcile(&intent("gw", &["a.example.com"])).await;
    bench.credentials.set(None, Some("other"));
    bench.reconcile(&intent("gw", &["a.example.org"])).await;
    (bench, old.tunnels[0].id)
}

#[tokio::test]
async fn what_a_gateway_left_in_its_former_account_goes_once_no_proxy_is_there() {
    let (bench, old) = moved().await;
    bench
        .cloudflare
        .connect(old, "a replica that has not moved yet");
    bench.edge.sweep(&live(&["gw"])).await.unwrap();
    assert_eq!(bench.cloudflare.tunnels().len(), 2, "it may serve still");
    bench.record("a.example.com");

    bench.cloudflare.disconnect_all(old);
    bench.edge.sweep(&live(&["gw"])).await.unwrap();
    let tunnels = bench.cloudflare.tunnels();
    assert_eq!(tunnels.len(), 1);
    assert_ne!(tunnels[0].id, old);
    assert_eq!(bench.all_names(), names(&["a.example.org"]));
}

#[tokio::test]
async fn a_former_tunnel_that_others_removed_keeps_no_record_and_an_unread_one_keeps_all() {
    for (kind, swept, left) in [
        (PortErrorKind::NotFound, true, names(&["a.example.org"])),
        (
            PortErrorKind::Unavailable,
            false,
            names(&["a.example.com", "a.example.org"]),
        ),
    ] {
        let (bench, _) = moved().await;
        bench
            .cloudflare
            .fail_every(ApiCall::Connectors, None, error(kind));
        let answer = bench.edge.sweep(&live(&["gw"])).await;
        assert_eq!(answer.is_ok(), swept, "{kind:?}: {answer:?}");
        assert_eq!(bench.all_names(), left, "{kind:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_served_elsewhere_yet_keeps_its_former_account() {
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("gw", &["a.example.com"])).await;
    bench.credentials.set(None, Some("other"));
    bench.credentials.set(Some(key("sibling")), Some("acme"));
    bench.edge.sweep(&live(&["gw"])).await.unwrap();
    assert_eq!(bench.cloudflare.tunnels().len(), 1, "not reconciled since");

    let (bench, _) = moved().await;
    bench.credentials.set(None, Some("acme"));
    bench.edge.sweep(&live(&["gw"])).await.unwrap();
    assert_eq!(bench.cloudflare.tunnels().len(), 2, "it is on its way back");
}

#[tokio::test]
async fn former_credentials_are_remembered_once_for_each_account() {
    for (accounts, former) in [
        (&["acme"][..], 0),
        (&["acme", "acme"], 0),
        (&["acme", "other"], 1),
        (&["acme", "other", "acme"], 2),
        (&["acme", "other", "acme", "other"], 2),
    ] {
        let bench = bench(&[]);
        bench.cloudflare.add_zone("other", "example.org");
        for account in accounts {
            bench.credentials.set(None, Some(account));
            bench.reconcile(&intent("gw", &[])).await;
        }
        assert_eq!(bench.edge.memory().former.len(), former, "{accounts:?}");
    }
}

#[tokio::test]
async fn former_credentials_that_are_refused_are_not_tried_again() {
    let (bench, _) = moved().await;
    bench.cloudflare.revoke("token of acme");
    for lists in [2, 1] {
        bench.cloudflare.forget_calls();
        assert_eq!(bench.edge.sweep(&live(&["gw"])).await, Ok(names(&[])));
        assert_eq!(bench.cloudflare.calls()[&ApiCall::Tunnels], lists);
    }
}
