//! The direct edge over Cloudflare in memory, and over an observed one where a single call is the point.

mod certificates;
mod drift;
mod holdings;
mod memory;
mod moving;
mod namesakes;
mod permissions;
mod records;
mod removal;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::edge::api::CloudflareApi;
use crate::edge::objects::{DnsRecord, RecordData};
use crate::edge::ownership::tunnel_name;
use crate::edge::{HostnameOutcome, IngressOutcome};
use crate::gateway::DnsPolicy;
use crate::names::{AccountId, Hostname};
use crate::testing::{
    ApiCall, Call, FakeCloudflare, FixedEntropy, Moment, Observer, StaticCredentials,
};

struct Bench {
    cloudflare: FakeCloudflare,
    credentials: Arc<StaticCredentials>,
    edge: DirectEdge,
}

/// Spoils something, beside what a test is about.
type Spoil = fn(&Bench);

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

fn installation() -> Installation {
    crate::testing::installation("home")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn intent(gateway: &str, hostnames: &[&str]) -> EdgeIntent {
    crate::testing::intent(key(gateway), hostnames)
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

fn lost() -> PortError {
    PortError::unavailable("connection reset")
}

fn error(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "refused")
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
        tunnel_name(&installation(), &key("my-gateway"))
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
        for kind in [PortErrorKind::Unavailable, PortErrorKind::Conflict] {
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

/// Somebody makes the tunnel in the moment before our own creation of it.
struct MakesItFirst(FakeCloudflare);

impl CloudflareAccounts for MakesItFirst {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        let observer = Arc::new(Self(self.0.clone()));
        self.0.open_observed(credentials, observer)
    }
}

#[async_trait]
impl Observer for MakesItFirst {
    async fn before(&self, call: &Call<'_>) -> Option<(Moment, PortError)> {
        if let Some(name) = call.name {
            self.0.add_tunnel("acme", name, true);
        }
        None
    }

    fn after(&self, _: &Call<'_>, _: Option<&PortError>) {}
}

#[tokio::test]
async fn a_tunnel_that_appears_between_look_and_creation_is_adopted() {
    let cloudflare = FakeCloudflare::default();
    let edge = DirectEdge::new(
        Arc::new(MakesItFirst(cloudflare.clone())),
        Arc::new(StaticCredentials::for_all("acme")),
        Arc::new(FixedEntropy::default()),
        installation(),
    );
    let status = edge.reconcile(&intent("gw", &[])).await.unwrap();
    let [tunnel] = &cloudflare.tunnels()[..] else {
        panic!("{:?}", cloudflare.tunnels());
    };
    assert_eq!(status.tunnels[0].id, tunnel.id);
    assert_eq!(tunnel.name, tunnel_name(&installation(), &key("gw")));
    let calls = cloudflare.calls();
    let made = |call| calls.get(&call).copied();
    assert_eq!(made(ApiCall::Tunnels), Some(2));
    assert_eq!(made(ApiCall::CreateTunnel), Some(1));
    assert_eq!(made(ApiCall::Zones), Some(1));
    assert_eq!(made(ApiCall::Configure), Some(1));
    assert!(cloudflare.configuration(tunnel.id).is_some());
}

#[tokio::test]
async fn a_creation_that_fails_is_looked_for_only_where_the_name_is_taken() {
    for (kind, lists) in [
        (PortErrorKind::Conflict, 2),
        (PortErrorKind::Unavailable, 1),
    ] {
        let bench = bench(&[]);
        bench
            .cloudflare
            .fail_every(ApiCall::CreateTunnel, None, error(kind));
        let failed = bench.edge.reconcile(&intent("gw", &[])).await;
        assert_eq!(failed, Err(error(kind)));
        assert_eq!(bench.cloudflare.calls()[&ApiCall::Tunnels], lists);
    }
}

#[tokio::test]
async fn missing_credentials_make_no_call_and_keep_their_kind() {
    let bench = bench(&["example.com"]);
    bench.credentials.set(None, None);
    let refused = bench.edge.reconcile(&intent("gw", &[])).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Credentials);
    assert_eq!(bench.cloudflare.reads() + bench.cloudflare.writes(), 0);
}

#[tokio::test]
async fn the_time_to_come_back_is_passed_on() {
    let bench = bench(&["example.com"]);
    let mut slow_down = error(PortErrorKind::RateLimited);
    slow_down.retry_after = Some(Duration::from_secs(77));
    bench
        .cloudflare
        .fail_every(ApiCall::ChangeRecords, None, slow_down.clone());
    let status = bench.reconcile(&intent("gw", &["app.example.com"])).await;
    assert_eq!(status.failures, [slow_down]);
}

#[tokio::test]
async fn a_token_is_replaced_only_while_it_is_the_one_to_be_retired() {
    let bench = bench(&[]);
    let none = bench.edge.connector_token(&key("gw")).await.unwrap_err();
    assert_eq!(none.kind, PortErrorKind::NotFound);
    bench.reconcile(&intent("gw", &[])).await;
    let old = bench.edge.connector_token(&key("gw")).await.unwrap();
    let mut tokens = vec![old.hash()];
    // The answer to the first call may have been lost.
    for _ in 0..3 {
        let retired = bench.edge.retire_token(&key("gw"), old.hash()).await;
        retired.unwrap();
        let now = bench.edge.connector_token(&key("gw")).await.unwrap();
        tokens.push(now.hash());
    }
    assert_ne!(tokens[1], tokens[0]);
    assert_eq!(tokens[1..], [tokens[1]; 3]);
}

#[tokio::test]
async fn two_calls_for_one_gateway_do_not_run_at_once() {
    let bench = bench(&[]);
    let lock = bench.edge.lock_gateway(&key("gw")).unwrap();
    let refused = bench.edge.reconcile(&intent("gw", &[])).await.unwrap_err();
    assert!(refused.kind.is_transient());
    bench.reconcile(&intent("other", &[])).await;
    drop(lock);
    bench.reconcile(&intent("gw", &[])).await;
}
