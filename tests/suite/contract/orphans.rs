//! [`Orphans`]: remembers whose things stay when they go.

use std::collections::BTreeSet;
use std::sync::Arc;

use adapter_kubernetes::{KeptOrphans as InSecret, KeptSecret};
use adapter_manifests::KeptOrphans as InState;
use domain::ports::Orphans;
use domain::testing::FakeOrphans;
use tempfile::TempDir;

use super::gateway;
use super::kubernetes::InCluster;

contract! {
    rules [
        nothing_is_kept_at_first,
        those_that_were_added_and_not_removed_are_kept_for_the_next_process,
        to_add_or_to_remove_again_changes_nothing,
    ]
    kubernetes => InCluster::of(&[]).await,
    state_folder => TempDir::new().expect("a temporary folder"),
    in_memory => Arc::new(FakeOrphans::default()),
}

trait Rig {
    /// As the next process has it.
    fn orphans(&self) -> Arc<dyn Orphans>;
}

impl Rig for InCluster {
    fn orphans(&self) -> Arc<dyn Orphans> {
        let secret = KeptSecret::new(self.server.client(), "default", "orphans");
        Arc::new(InSecret::new(secret))
    }
}

impl Rig for TempDir {
    fn orphans(&self) -> Arc<dyn Orphans> {
        Arc::new(InState::new(self.path()))
    }
}

impl Rig for Arc<FakeOrphans> {
    fn orphans(&self) -> Arc<dyn Orphans> {
        self.clone()
    }
}

async fn nothing_is_kept_at_first(rig: impl Rig) {
    assert_eq!(rig.orphans().all().await, Ok(BTreeSet::new()));
}

async fn those_that_were_added_and_not_removed_are_kept_for_the_next_process(rig: impl Rig) {
    let names = ["one", "other", "third"].map(gateway);
    for name in &names {
        assert_eq!(rig.orphans().add(name).await, Ok(()));
    }
    assert_eq!(rig.orphans().remove(&names[1]).await, Ok(()));
    let [one, _, third] = names;
    assert_eq!(rig.orphans().all().await, Ok(BTreeSet::from([one, third])));
}

async fn to_add_or_to_remove_again_changes_nothing(rig: impl Rig) {
    let one = gateway("one");
    for _ in 0..2 {
        assert_eq!(rig.orphans().add(&one).await, Ok(()));
        assert_eq!(rig.orphans().all().await, Ok(BTreeSet::from([one.clone()])));
    }
    for _ in 0..2 {
        assert_eq!(rig.orphans().remove(&one).await, Ok(()));
        assert_eq!(rig.orphans().all().await, Ok(BTreeSet::new()));
    }
}
