//! [`Workloads`]: makes the proxy of a Gateway run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_connector::{ConnectorOptions, EdgeAddresses, EdgeRoots};
use adapter_proxy::{Engines, Limits, Memory, Metrics};
use app::workloads::InProcess;
use async_trait::async_trait;
use domain::TunnelId;
use domain::endpoint_policy::EndpointPolicy;
use domain::ports::Workloads;
use domain::secret::ConnectorToken;
use domain::testing::FakeWorkloads;
use domain::workload::{Replicas, WorkloadSpec, WorkloadStatus};
use standin::cloud::{Account, ConfigSource, NewTunnel, Plan, TunnelChange, TunnelSecret};
use standin::{Standin, StandinOptions};
use tokio::sync::Notify;
use uuid::Uuid;

use super::gateway;
use super::kubernetes::AsDeployments;

contract! {
    rules [
        nothing_runs_at_first,
        a_proxy_that_is_made_to_run_becomes_ready,
        an_unchanged_call_changes_nothing,
        a_new_token_replaces_the_proxy,
        a_partial_token_changes_nothing_of_a_proxy_that_runs,
        a_stopped_proxy_is_gone_from_its_tunnel,
        stopping_again_or_what_never_ran_is_fine,
        a_stopped_proxy_can_be_made_to_run_again,
        gateways_do_not_disturb_each_other,
        a_proxy_that_is_let_go_of_runs_on_and_is_nobodys_until_it_is_taken_up_again,
    ]
    in_process_at_stand_in_edge => AtEdge::start().await,
    deployments => AsDeployments::start().await,
    in_memory => InMemory::default(),
}

/// A place where proxies run, and the tunnels that they join.
#[async_trait]
trait Rig: Send + Sync {
    fn workloads(&self) -> &dyn Workloads;

    /// A new tunnel with its token. Where there is no edge, any id and token will do.
    fn tunnel(&self, name: &str) -> (TunnelId, ConnectorToken) {
        let id = tunnel_named(name);
        (id, ConnectorToken::new(format!("{id} at first")))
    }

    /// Gives the tunnel a new secret.
    fn rotate(&self, tunnel: TunnelId) -> ConnectorToken {
        ConnectorToken::new(format!("{tunnel} later"))
    }

    /// The proxies that are in a tunnel, by a name of each that it keeps while it runs.
    fn joined(&self, tunnel: TunnelId) -> BTreeSet<String>;
}

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Proxies in this process, with their connectors at the stand-in's edge.
struct AtEdge {
    standin: Standin,
    workloads: InProcess,
}

impl AtEdge {
    async fn start() -> Self {
        let options = StandinOptions {
            account: Account {
                id: ACCOUNT.to_owned(),
                name: "test".to_owned(),
                plan: Plan::Free,
            },
            ..StandinOptions::default()
        };
        let standin = Standin::start(options).await.expect("the stand-in starts");
        let options = ConnectorOptions {
            edge: EdgeAddresses::Given(standin.edge().tunnel_addresses()),
            roots: EdgeRoots::Only(standin.ca_pem().as_bytes().to_vec()),
            grace: Duration::from_secs(1),
            ..ConnectorOptions::default()
        };
        let engines = Arc::new(Engines::new(
            Limits::default(),
            EndpointPolicy::Standalone,
            Memory::unlimited(),
            Metrics::default(),
        ));
        let changed = Arc::new(Notify::new());
        let workloads = InProcess::new(engines, options, changed, Arc::default());
        Self { standin, workloads }
    }
}

#[async_trait]
impl Rig for AtEdge {
    fn workloads(&self) -> &dyn Workloads {
        &self.workloads
    }

    fn tunnel(&self, name: &str) -> (TunnelId, ConnectorToken) {
        let new = NewTunnel {
            name: name.to_owned(),
            config_src: ConfigSource::Cloudflare,
            secret: None,
        };
        let made = self.standin.cloud().create_tunnel(ACCOUNT, new);
        let made = made.expect("a free name");
        let id = TunnelId::from_bytes(made.id.into_bytes());
        (id, ConnectorToken::new(made.token()))
    }

    fn rotate(&self, tunnel: TunnelId) -> ConnectorToken {
        let id = Uuid::from_bytes(*tunnel.as_bytes());
        let change = TunnelChange {
            secret: Some(TunnelSecret::generate()),
            ..TunnelChange::default()
        };
        let changed = self.standin.cloud().change_tunnel(ACCOUNT, id, change);
        ConnectorToken::new(changed.expect("a tunnel of this test").token())
    }

    fn joined(&self, tunnel: TunnelId) -> BTreeSet<String> {
        let id = Uuid::from_bytes(*tunnel.as_bytes());
        let connections = self.standin.cloud().connections(id).into_iter();
        connections.map(|c| c.connector.to_string()).collect()
    }
}

#[async_trait]
impl Rig for AsDeployments {
    fn workloads(&self) -> &dyn Workloads {
        &*self.workloads
    }

    fn joined(&self, tunnel: TunnelId) -> BTreeSet<String> {
        self.joined_by_deployments(tunnel)
    }
}

/// The fake, with tunnels of its own.
#[derive(Default)]
struct InMemory(FakeWorkloads);

fn tunnel_named(name: &str) -> TunnelId {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    TunnelId::from_bytes(bytes)
}

#[async_trait]
impl Rig for InMemory {
    fn workloads(&self) -> &dyn Workloads {
        &self.0
    }

    fn joined(&self, tunnel: TunnelId) -> BTreeSet<String> {
        let proxies = ["one", "other"].map(gateway);
        let proxies = proxies
            .iter()
            .filter_map(|key| self.0.proxy(key).or_else(|| self.0.released(key)));
        proxies
            .filter(|(joined, _)| *joined == tunnel)
            .map(|(_, token)| token.expose().to_owned())
            .collect()
    }
}

fn one_replica() -> WorkloadSpec {
    WorkloadSpec {
        replicas: Replicas::Alike(1),
        ..WorkloadSpec::default()
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes a Gateway's proxy run in a tunnel of its own and waits until it is ready.
async fn run(rig: &impl Rig, name: &str) -> (TunnelId, ConnectorToken) {
    let (tunnel, token) = rig.tunnel(name);
    ensure(rig, name, tunnel, &token).await;
    (tunnel, token)
}

async fn ensure(rig: &impl Rig, name: &str, tunnel: TunnelId, token: &ConnectorToken) {
    let key = gateway(name);
    let spec = one_replica();
    let made = rig.workloads().ensure(&key, &spec, tunnel, token);
    made.await.unwrap();
    until("a ready proxy", async || {
        rig.workloads().status(&key).await.ready == 1
    })
    .await;
}

async fn nothing_runs_at_first(rig: impl Rig) {
    assert_eq!(rig.workloads().running().await, Ok(BTreeSet::new()));
    let status = rig.workloads().status(&gateway("one")).await;
    assert_eq!(status, WorkloadStatus::default());
}

async fn a_proxy_that_is_made_to_run_becomes_ready(rig: impl Rig) {
    let (tunnel, _) = run(&rig, "one").await;
    assert_eq!(rig.joined(tunnel).len(), 1);
    let running = rig.workloads().running().await;
    assert_eq!(running, Ok(BTreeSet::from([gateway("one")])));
    until("no problem is left", async || {
        let status = rig.workloads().status(&gateway("one")).await;
        status.problems.is_empty()
    })
    .await;
}

async fn an_unchanged_call_changes_nothing(rig: impl Rig) {
    let (tunnel, token) = run(&rig, "one").await;
    let (one, joined) = (gateway("one"), rig.joined(tunnel));
    for _ in 0..3 {
        let spec = one_replica();
        let again = rig.workloads().ensure(&one, &spec, tunnel, &token).await;
        assert_eq!(again.unwrap().ready, 1, "it stays ready");
    }
    assert_eq!(rig.joined(tunnel), joined);
    let running = rig.workloads().running().await;
    assert_eq!(running, Ok(BTreeSet::from([gateway("one")])));
}

async fn a_new_token_replaces_the_proxy(rig: impl Rig) {
    let (tunnel, _) = run(&rig, "one").await;
    let joined = rig.joined(tunnel);
    let token = rig.rotate(tunnel);
    ensure(&rig, "one", tunnel, &token).await;
    until("another proxy alone", async || {
        let now = rig.joined(tunnel);
        now.len() == 1 && now.is_disjoint(&joined)
    })
    .await;
    let running = rig.workloads().running().await;
    assert_eq!(running, Ok(BTreeSet::from([gateway("one")])));
}

async fn a_partial_token_changes_nothing_of_a_proxy_that_runs(rig: impl Rig) {
    let (tunnel, _) = run(&rig, "one").await;
    let joined = rig.joined(tunnel);
    let (_, other) = rig.tunnel("other");
    let partial = ConnectorToken::of_tunnels(&[other], true);
    ensure(&rig, "one", tunnel, &partial).await;
    assert_eq!(rig.joined(tunnel), joined);
}

async fn a_stopped_proxy_is_gone_from_its_tunnel(rig: impl Rig) {
    let (tunnel, _) = run(&rig, "one").await;
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
    // No wait: it returns when the connections are closed, which the tunnel's removal relies on.
    assert!(rig.joined(tunnel).is_empty());
    assert_eq!(rig.workloads().running().await, Ok(BTreeSet::new()));
    let status = rig.workloads().status(&gateway("one")).await;
    assert_eq!(status, WorkloadStatus::default());
}

async fn stopping_again_or_what_never_ran_is_fine(rig: impl Rig) {
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
    run(&rig, "one").await;
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
}

async fn a_stopped_proxy_can_be_made_to_run_again(rig: impl Rig) {
    let (tunnel, token) = run(&rig, "one").await;
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
    ensure(&rig, "one", tunnel, &token).await;
    assert_eq!(rig.joined(tunnel).len(), 1);
}

async fn gateways_do_not_disturb_each_other(rig: impl Rig) {
    let (one, _) = run(&rig, "one").await;
    let (other, _) = run(&rig, "other").await;
    let joined = rig.joined(other);
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
    assert!(rig.joined(one).is_empty());
    assert_eq!(rig.joined(other), joined);
    assert_eq!(rig.workloads().status(&gateway("other")).await.ready, 1);
}

async fn a_proxy_that_is_let_go_of_runs_on_and_is_nobodys_until_it_is_taken_up_again(
    rig: impl Rig,
) {
    let (tunnel, token) = run(&rig, "one").await;
    let joined = rig.joined(tunnel);
    for _ in 0..2 {
        assert_eq!(rig.workloads().release(&gateway("one")).await, Ok(()));
        assert_eq!(rig.joined(tunnel), joined);
        assert_eq!(rig.workloads().running().await, Ok(BTreeSet::new()));
    }
    ensure(&rig, "one", tunnel, &token).await;
    assert_eq!(rig.joined(tunnel), joined);
    let running = rig.workloads().running().await;
    assert_eq!(running, Ok(BTreeSet::from([gateway("one")])));
    assert_eq!(rig.workloads().stop(&gateway("one")).await, Ok(()));
    assert!(rig.joined(tunnel).is_empty());
}

#[tokio::test]
async fn a_proxy_joins_each_tunnel_of_its_token_and_leaves_those_that_are_no_more() {
    let rig = AtEdge::start().await;
    let (first, token) = run(&rig, "one").await;
    let joined = rig.joined(first);
    let (second, other) = rig.tunnel("other");
    let of =
        |other: &ConnectorToken| ConnectorToken::of_tunnels(&[token.clone(), other.clone()], false);
    ensure(&rig, "one", first, &of(&other)).await;
    until("it is in both", async || rig.joined(second).len() == 1).await;
    let before = rig.joined(second);
    let rotated = rig.rotate(second);
    ensure(&rig, "one", first, &of(&rotated)).await;
    until("another one in the second", async || {
        let now = rig.joined(second);
        now.len() == 1 && now.is_disjoint(&before)
    })
    .await;
    ensure(&rig, "one", first, &token).await;
    until("it leaves the second", async || {
        rig.joined(second).is_empty()
    })
    .await;
    assert_eq!(
        rig.joined(first),
        joined,
        "it was in the first all the time"
    );
}

/// Replaces a Gateway's token by one that the edge refuses, and waits until it did.
async fn run_in_vain(rig: &AtEdge, name: &str, tunnel: TunnelId) {
    let refused = rig.rotate(tunnel);
    rig.rotate(tunnel);
    let (key, spec) = (gateway(name), one_replica());
    let made = rig.workloads.ensure(&key, &spec, tunnel, &refused).await;
    assert_eq!(made.unwrap().ready, 0, "the new proxy is not there yet");
    until("the edge refuses the new token", async || {
        !rig.workloads.status(&key).await.problems.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_replaced_serves_until_another_one_is_connected() {
    let rig = AtEdge::start().await;
    let (tunnel, _) = run(&rig, "one").await;
    let joined = rig.joined(tunnel);
    for _ in 0..2 {
        run_in_vain(&rig, "one", tunnel).await;
        assert_eq!(rig.joined(tunnel), joined);
    }
    let token = rig.rotate(tunnel);
    ensure(&rig, "one", tunnel, &token).await;
    until("the new proxy alone", async || {
        let now = rig.joined(tunnel);
        now.len() == 1 && now.is_disjoint(&joined)
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_was_replaced_leaves_with_the_one_in_its_place() {
    for by in ["stop", "shutdown"] {
        for when in ["at once", "after a refusal", "after a connection"] {
            let rig = AtEdge::start().await;
            let (tunnel, _) = run(&rig, "one").await;
            let (key, spec) = (gateway("one"), one_replica());
            if when == "after a refusal" {
                run_in_vain(&rig, "one", tunnel).await;
            } else {
                let token = rig.rotate(tunnel);
                let made = rig.workloads.ensure(&key, &spec, tunnel, &token).await;
                assert_eq!(made.unwrap().ready, 0);
                if when == "after a connection" {
                    ensure(&rig, "one", tunnel, &token).await;
                }
            }
            let leaving = async {
                match by {
                    "stop" => rig.workloads.stop(&key).await.unwrap(),
                    _ => rig.workloads.shutdown().await,
                }
            };
            let left = tokio::time::timeout(Duration::from_secs(20), leaving).await;
            assert!(left.is_ok(), "{by} {when} waits for a connection");
            // No wait: a program that ends next would break off what is in flight.
            let joined = rig.joined(tunnel);
            assert!(joined.is_empty(), "{by} {when}: {joined:?}");
        }
    }
}
