//! The direct edge over Cloudflare in memory, and over a mock where a single call is the point.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::edge::mark::tunnel_name;
use crate::edge::objects::{DnsRecord, RecordData, Tunnel};
use crate::edge::{DnsPolicy, HostnameOutcome, IngressOutcome};
use crate::names::Hostname;
use crate::ports::MockCloudflareApi;
use crate::testing::{ApiCall, FakeCloudflare, FixedEntropy, Moment, StaticCredentials};

struct Bench {
    cloudflare: FakeCloudflare,
    credentials: Arc<StaticCredentials>,
    edge: DirectEdge,
}

fn bench(zones: &[&str]) -> Bench {
    over(FakeCloudflare::with_zones(zones))
}

/// A new process over the same Cloudflare.
fn over(cloudflare: FakeCloudflare) -> Bench {
    let credentials = Arc::new(StaticCredentials::for_all("acme"));
    let edge = DirectEdge::new(
        Arc::new(cloudflare.clone()),
        credentials.clone(),
        Arc::new(FixedEntropy::default()),
        installation(),
    );
    Bench {
        cloudflare,
        credentials,
        edge,
    }
}

fn installation() -> InstallationName {
    InstallationName::parse("home").unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn intent(gateway: &str, hostnames: &[&str]) -> EdgeIntent {
    EdgeIntent {
        gateway: key(gateway),
        hostnames: hostnames.iter().map(|name| host(name)).collect(),
        yielded: BTreeMap::new(),
        dns: DnsPolicy::All,
        prune: true,
    }
}

fn foreign(name: &str) -> RecordData {
    RecordData {
        name: name.to_owned(),
        kind: "CNAME".to_owned(),
        content: "elsewhere.example.net".to_owned(),
        proxied: false,
        ttl: 300,
        comment: "made by hand".to_owned(),
    }
}

fn lost() -> EdgeError {
    EdgeError::new(EdgeErrorKind::Unavailable, "connection reset")
}

fn error(kind: EdgeErrorKind) -> EdgeError {
    EdgeError::new(kind, "refused")
}

impl Bench {
    async fn reconcile(&self, intent: &EdgeIntent) -> EdgeStatus {
        self.edge.reconcile(intent).await.unwrap()
    }

    fn record(&self, name: &str) -> DnsRecord {
        let records = self.cloudflare.records_named(name);
        assert_eq!(records.len(), 1, "one record named {name}: {records:?}");
        records[0].clone()
    }
}

#[tokio::test]
async fn the_quickstart_gets_one_tunnel_one_rule_and_one_proxied_record() {
    let bench = bench(&["example.com"]);
    let status = bench
        .reconcile(&intent("my-gateway", &["app.example.com"]))
        .await;

    let tunnels = bench.cloudflare.tunnels();
    assert_eq!(tunnels.len(), 1);
    assert_eq!(
        tunnels[0].name,
        "cloudflare-gateway-controller.io/clusters/home/namespaces/default/gateways/my-gateway"
    );
    assert!(tunnels[0].remotely_configured);
    let document = bench.cloudflare.configuration(tunnels[0].id).unwrap();
    assert_eq!(document.rules.len(), 1);
    assert_eq!(document.rules[0].service, "http://my-gateway.default");
    let record = bench.record("app.example.com").data;
    assert_eq!(
        (record.kind.as_str(), record.proxied, record.ttl),
        ("CNAME", true, 1)
    );
    assert_eq!(record.content, status.tunnels[0].address);
    let applied = HostnameOutcome::Applied;
    assert_eq!(
        status.hostnames,
        BTreeMap::from([(host("app.example.com"), applied)])
    );
    assert_eq!(status.ingress, IngressOutcome::Complete);
    assert_eq!(bench.cloudflare.writes(), 3);
}

#[tokio::test]
async fn a_second_reconcile_writes_nothing_and_reads_a_constant_number_of_times() {
    let bench = bench(&["example.com", "example.org", "example.net"]);
    let wanted = intent("gw", &["app.example.com", "app.example.org"]);
    bench.reconcile(&wanted).await;
    for round in ["second", "third"] {
        bench.cloudflare.forget_calls();
        bench.reconcile(&wanted).await;
        assert_eq!(bench.cloudflare.writes(), 0, "{round}");
        let zones_that_matter = 2;
        let reads = READS_BESIDE_ZONES + zones_that_matter;
        assert_eq!(
            bench.cloudflare.reads(),
            reads,
            "{round}: {:?}",
            bench.cloudflare.calls()
        );
    }
}

#[tokio::test]
async fn new_hostnames_cost_one_document_and_one_batch_for_each_zone() {
    let bench = bench(&["example.com", "example.org"]);
    bench.reconcile(&intent("gw", &["app.example.com"])).await;
    bench.cloudflare.forget_calls();
    let names: Vec<_> = (0..60)
        .map(|n| format!("n{n}.example.{}", if n % 2 == 0 { "com" } else { "org" }))
        .chain(["app.example.com".to_owned()])
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    bench.reconcile(&intent("gw", &names)).await;
    let calls = bench.cloudflare.calls();
    assert_eq!(calls.get(&ApiCall::Configure), Some(&1));
    assert_eq!(calls.get(&ApiCall::ChangeRecords), Some(&2));
    assert_eq!(bench.cloudflare.writes(), 3);
}

#[tokio::test]
async fn more_changes_than_a_batch_takes_go_in_several() {
    let bench = bench(&["example.com"]);
    let names: Vec<_> = (0..450).map(|n| format!("n{n}.example.com")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let status = bench.reconcile(&intent("gw", &names)).await;
    assert_eq!(status.failures, []);
    assert_eq!(bench.cloudflare.records().len(), 450);
    assert_eq!(bench.cloudflare.calls()[&ApiCall::ChangeRecords], 3);
}

#[tokio::test]
async fn a_failure_at_any_call_heals_to_one_tunnel_and_one_record_for_each_name() {
    let wanted = intent("gw", &["a.example.com", "b.example.org"]);
    for moment in [Moment::Before, Moment::After] {
        for kind in [EdgeErrorKind::Unavailable, EdgeErrorKind::Conflict] {
            for nth in 0..12 {
                let bench = bench(&["example.com", "example.org"]);
                bench.cloudflare.fail_nth(nth, moment, error(kind));
                let mut healed = false;
                for _ in 0..3 {
                    let answer = bench.edge.reconcile(&wanted).await;
                    healed = answer.is_ok_and(|status| status.failures.is_empty());
                }
                assert!(healed, "{moment:?} call {nth}");
                assert_eq!(bench.cloudflare.tunnels().len(), 1, "{moment:?} call {nth}");
                for name in ["a.example.com", "b.example.org"] {
                    bench.record(name);
                }
            }
        }
    }
}

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
    bench.edge.forget(&key("gw")).await.unwrap();

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
    yields.yielded.insert(host("app.example.com"), key("new"));

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
    let closed = error(EdgeErrorKind::Forbidden);
    let forbidden = HostnameOutcome::Forbidden {
        message: "refused".to_owned(),
    };
    for call in [ApiCall::Zones, ApiCall::Records, ApiCall::ChangeRecords] {
        let bench = bench(&["example.com"]);
        bench.cloudflare.fail_every(call, None, closed.clone());
        let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
        assert_eq!(
            status.hostnames[&host("app.example.com")],
            forbidden,
            "{call:?}"
        );
        assert_eq!(status.failures, [closed.clone()], "{call:?}");
        assert_eq!(status.tunnels.len(), 1);
    }
}

#[tokio::test]
async fn a_zone_that_the_token_may_not_read_does_not_matter_if_no_name_is_in_it() {
    let bench = bench(&["example.com", "private.example.net"]);
    let private = ZoneId::new("zone-private.example.net");
    let closed = error(EdgeErrorKind::Forbidden);
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
    let api = Racing {
        inner: bench.edge.api_of(&key("gw")).await.unwrap(),
        cloudflare: bench.cloudflare.clone(),
    };
    let observed = observe::observe(
        &*api.inner,
        &tunnel_name(&installation(), &key("gw")),
        &wanted,
        None,
    )
    .await
    .unwrap();
    let plan = plan::plan(&wanted, &observed, &installation());
    api.cloudflare.add_record(&zone, foreign("n7.example.com"));
    let mark = RecordMark::of(&installation(), &key("gw"));
    let existing = observed.tunnel.map(|tunnel| tunnel.id);
    let applied = apply::apply(&*api.inner, "unused", mark, existing, &plan)
        .await
        .unwrap();

    assert_eq!(
        applied.hostnames.keys().collect::<Vec<_>>(),
        [&host("n7.example.com")]
    );
    assert_eq!(applied.failures.len(), 1);
    assert_eq!(bench.cloudflare.records().len(), 20);
}

struct Racing {
    inner: Arc<dyn CloudflareApi>,
    cloudflare: FakeCloudflare,
}

#[tokio::test]
async fn a_batch_that_is_refused_whatever_is_in_it_does_not_eat_the_budget() {
    let bench = bench(&["example.com"]);
    let names: Vec<_> = (0..200).map(|n| format!("n{n}.example.com")).collect();
    let quota = error(EdgeErrorKind::Invalid);
    bench
        .cloudflare
        .fail_every(ApiCall::ChangeRecords, None, quota);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let status = bench.reconcile(&intent("gw", &names)).await;
    assert!(bench.cloudflare.calls()[&ApiCall::ChangeRecords] <= 40);
    let unknown = |outcome: &HostnameOutcome| matches!(outcome, HostnameOutcome::Unknown { .. });
    assert!(status.hostnames.values().all(unknown));
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

#[tokio::test]
async fn an_existing_tunnel_of_our_name_is_adopted() {
    let name = tunnel_name(&installation(), &key("gw"));
    for remotely_configured in [true, false] {
        let bench = bench(&["example.com"]);
        let there = bench
            .cloudflare
            .add_tunnel("acme", &name, remotely_configured);
        bench
            .cloudflare
            .add_tunnel("acme", &format!("{name}-2"), true);
        let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
        assert_eq!(status.tunnels[0].id, there);
        let tunnels = bench.cloudflare.tunnels();
        assert_eq!(tunnels.len(), 2);
        assert!(tunnels.iter().all(|tunnel| tunnel.remotely_configured));
    }
}

/// Accounts that open one mock.
struct Opens(Mutex<Option<MockCloudflareApi>>);

impl CloudflareAccounts for Opens {
    fn open(&self, _: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(self.0.lock().unwrap().take().expect("opened once"))
    }
}

#[tokio::test]
async fn a_tunnel_that_appears_between_look_and_creation_is_adopted() {
    let name = tunnel_name(&installation(), &key("gw"));
    let tunnel = Tunnel {
        id: TunnelId::from_bytes([9; 16]),
        name,
        remotely_configured: true,
    };
    let there = tunnel.clone();
    let mut api = MockCloudflareApi::new();
    let mut looks = 0;
    api.expect_tunnels().times(2).returning(move |_| {
        looks += 1;
        Ok(if looks == 1 {
            vec![]
        } else {
            vec![there.clone()]
        })
    });
    api.expect_create_tunnel()
        .times(1)
        .returning(|_| Err(error(EdgeErrorKind::Conflict)));
    api.expect_zones().times(1).returning(|| Ok(vec![]));
    let id = tunnel.id;
    api.expect_configure()
        .times(1)
        .withf(move |tunnel, _| *tunnel == id)
        .returning(|_, _| Ok(()));
    let edge = DirectEdge::new(
        Arc::new(Opens(Mutex::new(Some(api)))),
        Arc::new(StaticCredentials::for_all("acme")),
        Arc::new(FixedEntropy::default()),
        installation(),
    );
    let status = edge.reconcile(&intent("gw", &[])).await.unwrap();
    assert_eq!(status.tunnels[0].id, tunnel.id);
}

#[tokio::test]
async fn missing_credentials_make_no_call_and_keep_their_kind() {
    let bench = bench(&["example.com"]);
    bench.credentials.set(None, None);
    let refused = bench.edge.reconcile(&intent("gw", &[])).await.unwrap_err();
    assert_eq!(refused.kind, EdgeErrorKind::Credentials);
    assert_eq!(bench.cloudflare.reads() + bench.cloudflare.writes(), 0);
}

#[tokio::test]
async fn the_time_to_come_back_is_passed_on() {
    let bench = bench(&["example.com"]);
    let mut slow_down = error(EdgeErrorKind::RateLimited);
    slow_down.retry_after = Some(Duration::from_secs(77));
    bench
        .cloudflare
        .fail_every(ApiCall::ChangeRecords, None, slow_down.clone());
    let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
    assert_eq!(status.failures, [slow_down]);
}

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
        for nth in 0..10 {
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

#[tokio::test]
async fn rotation_gives_another_token_for_the_same_tunnel() {
    let bench = bench(&[]);
    let none = bench.edge.connector_token(&key("gw")).await.unwrap_err();
    assert_eq!(none.kind, EdgeErrorKind::NotFound);
    bench.reconcile(&intent("gw", &[])).await;
    let old = bench.edge.connector_token(&key("gw")).await.unwrap();
    let new = bench.edge.rotate(&key("gw")).await.unwrap();
    assert!(!old.is_same(&new));
    assert!(new.is_same(&bench.edge.connector_token(&key("gw")).await.unwrap()));
}

#[tokio::test]
async fn two_calls_for_one_gateway_do_not_run_at_once() {
    let bench = bench(&[]);
    let turn = bench.edge.turn(&key("gw")).unwrap();
    let refused = bench.edge.reconcile(&intent("gw", &[])).await.unwrap_err();
    assert!(refused.kind.is_transient());
    bench.reconcile(&intent("other", &[])).await;
    drop(turn);
    bench.reconcile(&intent("gw", &[])).await;
}
