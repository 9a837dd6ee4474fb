//! [`RotationStore`]: keeps how far the rotation of each Gateway's token is.

use adapter_kubernetes::Rotations as InSecrets;
use adapter_manifests::Rotations as InState;
use async_trait::async_trait;
use domain::ports::{RotationStore, Workloads};
use domain::rotation::{Request, RotationState, Stage};
use domain::secret::ConnectorToken;
use domain::testing::FakeRotations;
use domain::workload::WorkloadSpec;
use domain::{ObjectKey, Timestamp, TunnelId};
use tempfile::TempDir;

use super::gateway;
use super::kubernetes::AsDeployments;

contract! {
    rules [
        nothing_is_kept_at_first,
        what_was_kept_last_is_there_as_it_was,
        gateways_are_kept_apart,
        a_gateway_that_is_gone_leaves_nothing,
    ]
    kubernetes => InCluster::start().await,
    state_folder => InFolder::new(),
    in_memory => FakeRotations::default(),
}

#[async_trait]
trait Rig: Sync {
    fn rotations(&self) -> &dyn RotationStore;

    /// What happens when a Gateway goes.
    async fn remove(&self, gateway: &ObjectKey) {
        self.rotations().forget(gateway).await.unwrap();
    }
}

/// The Gateways `one` and `other` with their Secrets.
struct InCluster(AsDeployments, InSecrets);

impl InCluster {
    async fn start() -> Self {
        let cluster = AsDeployments::start().await;
        let token = ConnectorToken::new("token");
        for name in ["one", "other"] {
            let (key, spec) = (gateway(name), WorkloadSpec::default());
            let tunnel = TunnelId::from_bytes([1; 16]);
            let made = cluster.workloads.ensure(&key, &spec, tunnel, &token);
            made.await.expect("a Secret");
        }
        let rotations = InSecrets::new(cluster.client.clone());
        Self(cluster, rotations)
    }
}

#[async_trait]
impl Rig for InCluster {
    fn rotations(&self) -> &dyn RotationStore {
        &self.1
    }

    async fn remove(&self, gateway: &ObjectKey) {
        self.0.workloads.stop(gateway).await.unwrap();
        self.1.forget(gateway).await.unwrap();
    }
}

struct InFolder(InState, TempDir);

impl InFolder {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self(InState::new(folder.path().join("state")), folder)
    }
}

#[async_trait]
impl Rig for InFolder {
    fn rotations(&self) -> &dyn RotationStore {
        assert!(self.1.path().exists());
        &self.0
    }
}

#[async_trait]
impl Rig for FakeRotations {
    fn rotations(&self) -> &dyn RotationStore {
        self
    }
}

fn states() -> [RotationState; 3] {
    let token = ConnectorToken::new("token").hash();
    let state = |stage| RotationState {
        schedule: Some("0 18 * * 4 America/Los_Angeles".to_owned()),
        seen_until: Timestamp(1_780_000_000),
        request: Request::new("a \"quoted\" {value}\n"),
        last: Some(Timestamp(1_770_000_000)),
        stage,
    };
    let begun = RotationState {
        schedule: None,
        request: None,
        last: None,
        ..state(Stage::Replace(token))
    };
    [state(Stage::Idle), begun, state(Stage::RollOut(token))]
}

async fn nothing_is_kept_at_first(rig: impl Rig) {
    assert_eq!(rig.rotations().load(&gateway("one")).await, Ok(None));
}

async fn what_was_kept_last_is_there_as_it_was(rig: impl Rig) {
    for state in states() {
        let one = gateway("one");
        assert_eq!(rig.rotations().save(&one, &state).await, Ok(()));
        assert_eq!(rig.rotations().load(&one).await, Ok(Some(state)));
    }
}

async fn gateways_are_kept_apart(rig: impl Rig) {
    let [one, other, _] = states();
    assert_eq!(rig.rotations().save(&gateway("one"), &one).await, Ok(()));
    assert_eq!(rig.rotations().load(&gateway("other")).await, Ok(None));
    assert_eq!(
        rig.rotations().save(&gateway("other"), &other).await,
        Ok(())
    );
    assert_eq!(rig.rotations().load(&gateway("one")).await, Ok(Some(one)));
}

async fn a_gateway_that_is_gone_leaves_nothing(rig: impl Rig) {
    let [state, ..] = states();
    assert_eq!(rig.rotations().save(&gateway("one"), &state).await, Ok(()));
    for _ in 0..2 {
        rig.remove(&gateway("one")).await;
        assert_eq!(rig.rotations().load(&gateway("one")).await, Ok(None));
    }
}
