//! [`Finalizer`]: keeps a Gateway's object until nothing of it is left at the edge.

use domain::ports::Finalizer;
use domain::testing::FakeFinalizer;

use super::folder::Folder;
use super::gateway;
use super::kubernetes::InCluster;

contract! {
    rules [
        adding_it_again_changes_nothing,
        it_can_be_added_again_after_its_removal,
        removing_it_where_it_is_not_is_fine,
    ]
    kubernetes => InCluster::with_route("early").await,
    manifest_folder => Folder::with(&[]),
    in_memory => FakeFinalizer::default(),
}

trait Rig {
    fn finalizer(&self) -> &dyn Finalizer;
}

impl Rig for Folder {
    fn finalizer(&self) -> &dyn Finalizer {
        &*self.adapter
    }
}

impl Rig for InCluster {
    fn finalizer(&self) -> &dyn Finalizer {
        &self.finalizers
    }
}

impl Rig for FakeFinalizer {
    fn finalizer(&self) -> &dyn Finalizer {
        self
    }
}

async fn adding_it_again_changes_nothing(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.finalizer().add(&web).await, Ok(()));
    assert_eq!(rig.finalizer().add(&web).await, Ok(()));
    assert_eq!(rig.finalizer().remove(&web).await, Ok(()));
}

async fn it_can_be_added_again_after_its_removal(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.finalizer().add(&web).await, Ok(()));
    assert_eq!(rig.finalizer().remove(&web).await, Ok(()));
    assert_eq!(rig.finalizer().add(&web).await, Ok(()));
}

async fn removing_it_where_it_is_not_is_fine(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.finalizer().remove(&web).await, Ok(()));
    assert_eq!(rig.finalizer().add(&web).await, Ok(()));
    assert_eq!(rig.finalizer().remove(&web).await, Ok(()));
    assert_eq!(rig.finalizer().remove(&web).await, Ok(()));
}
