//! Ports that fail, and calls that are counted: what one pass does where a part of its world does not
//! answer. The ports are mocks; all rules are the real ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::edge::{EdgeIntent, EdgeStatus, Partial, TunnelStatus};
use domain::gateway::CONTROLLER_NAME;
use domain::ports::{
    ClusterSource, Edge, Finalizer, PortError, PortErrorKind, StatusSink, Workloads,
};
use domain::reconcile::{Ports, Reconciler};
use domain::secret::{ConnectorToken, TokenHash};
use domain::snapshot::{ClusterSnapshot, Reading};
use domain::status::StatusUpdate;
use domain::testing::{
    FakeCluster, FakeDataPlane, FakeEdge, FakeFinalizer, FakeOrphans, FakeRotations, FakeWorkloads,
    FixedClock, FixedLeadership, RecordingEvents, RecordingStatusSink,
};
use domain::workload::{WorkloadSpec, WorkloadStatus};
use domain::{Hostname, ObjectKey, ObjectRef, TunnelId};
use mockall::{Sequence, mock};
use tests::manifests;

use crate::contract::folder::Folder;

mock! {
    Edge {}

    #[async_trait]
    impl Edge for Edge {
        async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError>;
        async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>>;
        async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError>;
        async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError>;
        async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError>;
        async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError>;
        async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError>;
    }
}

mock! {
    Workloads {}

    #[async_trait]
    impl Workloads for Workloads {
        async fn ensure(
            &self,
            gateway: &ObjectKey,
            spec: &WorkloadSpec,
            tunnel: TunnelId,
            token: &ConnectorToken,
        ) -> Result<WorkloadStatus, PortError>;
        async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError>;
        async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError>;
        async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus;
        async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError>;
    }
}

mock! {
    StatusSink {}

    #[async_trait]
    impl StatusSink for StatusSink {
        async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError>;
    }
}

mock! {
    Finalizer {}

    #[async_trait]
    impl Finalizer for Finalizer {
        async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError>;
        async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError>;
    }
}

/// A cluster with two Gateways, `one` and `other`, and a route on each.
pub(crate) struct World {
    pub(crate) cluster: Arc<FakeCluster>,
    data_plane: Arc<FakeDataPlane>,
    pub(crate) ports: Ports,
}

impl World {
    /// Every port is a fake that does what it is asked.
    pub(crate) async fn new() -> Self {
        let shown = snapshot(&["one", "other"]).await;
        let cluster = Arc::new(FakeCluster::showing(shown));
        // Followed from the start, so that the first pass has them.
        cluster.follow(BTreeSet::from([credentials()]));
        let data_plane = Arc::new(FakeDataPlane::default());
        let ports = Ports {
            cluster: cluster.clone(),
            statuses: Arc::new(RecordingStatusSink::default()),
            finalizer: Arc::new(FakeFinalizer::default()),
            leadership: Arc::new(FixedLeadership::default()),
            workloads: Arc::new(FakeWorkloads::default()),
            data_plane: data_plane.clone(),
            edge: Arc::new(FakeEdge::default()),
            rotations: Arc::new(FakeRotations::default()),
            orphans: Arc::new(FakeOrphans::default()),
            events: Arc::new(RecordingEvents::default()),
            clock: Arc::new(FixedClock::default()),
        };
        Self {
            cluster,
            data_plane,
            ports,
        }
    }

    pub(crate) fn reconciler(&self) -> Reconciler {
        Reconciler::new(self.ports.clone(), CONTROLLER_NAME)
    }

    /// Gives the first Gateway's route one more hostname, below `example.com`.
    pub(crate) fn add_hostname(&self, name: &str) {
        let hostname = Hostname::parse(&format!("{name}.example.com")).expect("a hostname");
        self.cluster.change(|snapshot| {
            let Reading::Known(routes) = &mut snapshot.routes else {
                return;
            };
            Arc::make_mut(&mut routes[0]).hostnames.push(hostname);
        });
    }

    /// Leaves this Gateway alone in the cluster.
    async fn only(&self, name: &str) {
        self.cluster.show(snapshot(&[name]).await);
    }
}

/// What a folder with these Gateways says.
async fn snapshot(gateways: &[&str]) -> ClusterSnapshot {
    let mut text = format!(
        "{}---\n{}---\n{}",
        manifests::secret(&credentials().key.name, "token", "acme"),
        manifests::class(),
        manifests::service("app", &[]),
    );
    for name in gateways {
        let rules = "    - backendRefs: [{name: app, port: 80}]\n";
        let hostname = format!("{name}.example.com");
        text += &format!(
            "---\n{}---\n{}",
            manifests::gateway_named(name),
            manifests::route_with(&format!("on-{name}"), name, &[&hostname], rules)
        );
    }
    let folder = Folder::with(&[("all.yaml", text)]);
    folder.adapter.follow(BTreeSet::from([credentials()]));
    (*folder.adapter.snapshot().await).clone()
}

fn credentials() -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: ObjectKey::new("default", "cloudflare-creds"),
    }
}

fn gateway(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn refused() -> PortError {
    PortError::unavailable("as this test wants it")
}

fn unavailable() -> PortError {
    PortError::unavailable("as this test wants it")
}

/// An edge on which nothing is left from before, and every Gateway gets a token.
fn edge() -> MockEdge {
    let mut edge = MockEdge::new();
    edge.expect_owned().returning(|| Ok(BTreeSet::new()));
    edge.expect_sweep().returning(|_| Ok(BTreeSet::new()));
    let token = |gateway: &ObjectKey| Ok(ConnectorToken::new(gateway.to_string()));
    edge.expect_connector_token().returning(token);
    edge
}

/// What an edge answers where all went well.
fn done(intent: &EdgeIntent) -> EdgeStatus {
    let id = TunnelId::from_bytes([intent.gateway.name.as_bytes()[0]; 16]);
    let outcome = domain::edge::HostnameOutcome::Applied;
    let names = intent.hostnames.iter().cloned();
    EdgeStatus {
        tunnels: vec![TunnelStatus {
            id,
            name: intent.gateway.to_string(),
            address: id.address(),
            hostnames: intent.hostnames.clone(),
        }],
        hostnames: names.map(|name| (name, outcome.clone())).collect(),
        ..EdgeStatus::default()
    }
}

#[tokio::test]
async fn statuses_that_cannot_be_written_stop_neither_routes_nor_edge() {
    let mut world = World::new().await;
    let mut statuses = MockStatusSink::new();
    statuses.expect_write().returning(|_| Err(refused()));
    let edge = Arc::new(FakeEdge::default());
    world.ports.statuses = Arc::new(statuses);
    world.ports.edge = edge.clone();
    let reconciler = world.reconciler();

    assert!(reconciler.route_pass().await.settled());
    let told = reconciler.status_pass().await;
    assert_eq!(told.problems.len(), 1, "{told:?}");
    assert!(world.data_plane.table(&gateway("one")).is_some());
    assert!(world.data_plane.table(&gateway("other")).is_some());
    let edge_pass = reconciler.edge_pass(false).await;
    assert!(edge_pass.settled, "{edge_pass:?}");
    assert!(edge.held(&gateway("one")).is_some());
    assert!(edge.held(&gateway("other")).is_some());
}

#[tokio::test]
async fn a_status_that_could_not_be_written_is_written_by_the_next_pass() {
    let mut world = World::new().await;
    let mut statuses = MockStatusSink::new();
    let mut order = Sequence::new();
    let fails = statuses.expect_write().times(1).in_sequence(&mut order);
    fails.returning(|_| Err(refused()));
    let works = statuses.expect_write().times(1).in_sequence(&mut order);
    works.returning(|updates| {
        assert!(!updates.is_empty());
        Ok(())
    });
    world.ports.statuses = Arc::new(statuses);
    let reconciler = world.reconciler();
    reconciler.route_pass().await;
    assert_eq!(reconciler.status_pass().await.problems.len(), 1);
    assert!(reconciler.status_pass().await.problems.is_empty());
    // All is written: the sink takes no third call.
    reconciler.status_pass().await;
}

#[tokio::test]
async fn an_edge_that_fails_for_one_gateway_serves_the_other() {
    let mut world = World::new().await;
    let mut edge = edge();
    edge.expect_reconcile()
        .withf(|intent| intent.gateway == gateway("one"))
        .returning(|_| Err(unavailable()));
    edge.expect_reconcile()
        .withf(|intent| intent.gateway == gateway("other"))
        .times(1)
        .returning(|intent| Ok(done(intent)));
    let workloads = Arc::new(FakeWorkloads::default());
    world.ports.edge = Arc::new(edge);
    world.ports.workloads = workloads.clone();
    let reconciler = world.reconciler();

    reconciler.route_pass().await;
    let pass = reconciler.edge_pass(false).await;
    assert!(!pass.settled);
    assert_eq!(pass.problems.len(), 1, "{pass:?}");
    assert!(pass.problems[0].subject.contains("default/one"), "{pass:?}");
    assert!(workloads.proxy(&gateway("other")).is_some());
    assert!(workloads.proxy(&gateway("one")).is_none());
    // The other one is settled: only the failed one is stated again.
    let again = reconciler.edge_pass(false).await;
    assert_eq!(again.stated, [gateway("one")]);
}

#[tokio::test]
async fn what_is_left_of_a_gateway_goes_although_another_account_cannot_be_looked_at() {
    let mut world = World::new().await;
    let mut edge = MockEdge::new();
    edge.expect_owned().returning(|| {
        Err(Partial {
            found: BTreeSet::from([gateway("gone"), gateway("one")]),
            error: PortError::new(PortErrorKind::Unauthenticated, "the token was revoked"),
        })
    });
    edge.expect_connector_token()
        .returning(|gateway| Ok(ConnectorToken::new(gateway.to_string())));
    edge.expect_reconcile().returning(|intent| Ok(done(intent)));
    edge.expect_remove()
        .times(1)
        .withf(|left| *left == gateway("gone"))
        .returning(|_| Ok(()));
    edge.expect_sweep().never();
    world.ports.edge = Arc::new(edge);
    let reconciler = world.reconciler();
    reconciler.route_pass().await;
    let pass = reconciler.edge_pass(false).await;
    assert_eq!(pass.removed, [gateway("gone")]);
    assert!(!pass.settled, "there may be more: {pass:?}");
}

#[tokio::test]
async fn a_second_pass_without_a_change_asks_the_edge_nothing() {
    let mut world = World::new().await;
    let mut edge = MockEdge::new();
    edge.expect_owned()
        .times(1)
        .returning(|| Ok(BTreeSet::new()));
    let live = BTreeSet::from([gateway("one"), gateway("other")]);
    edge.expect_sweep()
        .times(1)
        .withf(move |told| *told == live)
        .returning(|_| Ok(BTreeSet::new()));
    edge.expect_connector_token()
        .times(2)
        .returning(|gateway| Ok(ConnectorToken::new(gateway.to_string())));
    edge.expect_reconcile()
        .times(2)
        .returning(|intent| Ok(done(intent)));
    world.ports.edge = Arc::new(edge);
    let reconciler = world.reconciler();
    for _ in 0..3 {
        reconciler.route_pass().await;
        let pass = reconciler.edge_pass(false).await;
        assert!(pass.settled, "{pass:?}");
    }
}

#[tokio::test]
async fn a_gateway_without_the_finalizer_is_not_written_to_the_edge() {
    let mut world = World::new().await;
    let mut finalizer = MockFinalizer::new();
    finalizer
        .expect_add()
        .returning(|gateway| match gateway.name.as_str() {
            "one" => Err(refused()),
            _ => Ok(()),
        });
    let mut edge = edge();
    edge.expect_reconcile()
        .withf(|intent| intent.gateway == gateway("other"))
        .times(1)
        .returning(|intent| Ok(done(intent)));
    let workloads = Arc::new(FakeWorkloads::default());
    world.ports.finalizer = Arc::new(finalizer);
    world.ports.edge = Arc::new(edge);
    world.ports.workloads = workloads.clone();
    let reconciler = world.reconciler();
    reconciler.route_pass().await;
    let pass = reconciler.edge_pass(false).await;
    assert!(!pass.settled, "it is tried again: {pass:?}");
    assert!(workloads.proxy(&gateway("one")).is_none());
    assert!(workloads.proxy(&gateway("other")).is_some());
}

#[tokio::test]
async fn a_gateway_gets_the_finalizer_before_the_first_write_at_the_edge() {
    let mut world = World::new().await;
    world.only("one").await;
    let mut order = Sequence::new();
    let mut finalizer = MockFinalizer::new();
    finalizer
        .expect_add()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    let mut edge = edge();
    edge.expect_reconcile()
        .times(1)
        .in_sequence(&mut order)
        .returning(|intent| Ok(done(intent)));
    world.ports.finalizer = Arc::new(finalizer);
    world.ports.edge = Arc::new(edge);
    let reconciler = world.reconciler();
    reconciler.route_pass().await;
    assert!(reconciler.edge_pass(false).await.settled);
}

#[tokio::test]
async fn a_gateway_that_goes_loses_its_proxy_then_the_edge_then_its_finalizer() {
    let mut world = World::new().await;
    let mut order = Sequence::new();
    let (mut edge, mut workloads, mut finalizer) = (edge(), workloads(), MockFinalizer::new());
    edge.expect_reconcile().returning(|intent| Ok(done(intent)));
    finalizer.expect_add().returning(|_| Ok(()));
    workloads
        .expect_stop()
        .withf(|stopped| *stopped == gateway("one"))
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    edge.expect_remove()
        .withf(|removed| *removed == gateway("one"))
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    finalizer
        .expect_remove()
        .withf(|released| *released == gateway("one"))
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    world.ports.edge = Arc::new(edge);
    world.ports.workloads = Arc::new(workloads);
    world.ports.finalizer = Arc::new(finalizer);
    let reconciler = world.reconciler();
    reconciler.route_pass().await;
    assert!(reconciler.edge_pass(false).await.settled);

    world.only("other").await;
    reconciler.route_pass().await;
    let pass = reconciler.edge_pass(false).await;
    assert_eq!(pass.removed, [gateway("one")], "{pass:?}");
    assert_eq!(world.data_plane.table(&gateway("one")), None);
    assert!(world.data_plane.table(&gateway("other")).is_some());
}

#[tokio::test]
async fn a_proxy_that_does_not_stop_keeps_its_gateway_at_the_edge() {
    let mut world = World::new().await;
    let (mut edge, mut workloads) = (edge(), workloads());
    edge.expect_reconcile().returning(|intent| Ok(done(intent)));
    edge.expect_remove().never();
    workloads.expect_stop().returning(|_| Err(refused()));
    let finalizer = Arc::new(FakeFinalizer::default());
    world.ports.edge = Arc::new(edge);
    world.ports.workloads = Arc::new(workloads);
    world.ports.finalizer = finalizer.clone();
    let reconciler = world.reconciler();
    reconciler.route_pass().await;
    assert!(reconciler.edge_pass(false).await.settled);

    world.only("other").await;
    reconciler.route_pass().await;
    let pass = reconciler.edge_pass(false).await;
    assert!(!pass.settled, "it is tried again: {pass:?}");
    assert!(pass.removed.is_empty());
    assert!(finalizer.gateways().contains(&gateway("one")));
    assert!(world.data_plane.table(&gateway("one")).is_some());
}

/// Proxies that run.
fn workloads() -> MockWorkloads {
    let mut workloads = MockWorkloads::new();
    workloads.expect_running().returning(|| Ok(BTreeSet::new()));
    workloads
        .expect_status()
        .returning(|_| WorkloadStatus::default());
    workloads
        .expect_ensure()
        .returning(|_, _, _, _| Ok(WorkloadStatus::default()));
    workloads
}
