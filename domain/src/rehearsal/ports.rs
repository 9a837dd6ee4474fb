//! The ports of a rehearsal, which write nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::Written;
use crate::error::PortError;
use crate::names::{ObjectKey, ObjectRef, Timestamp, TunnelId};
use crate::ports::{
    Clock, ClusterSource, DataPlane, Entropy, Events, Finalizer, Leadership, Orphans,
    RotationStore, StatusSink, Workloads,
};
use crate::rotation::RotationState;
use crate::route_table::RouteTable;
use crate::secret::ConnectorToken;
use crate::snapshot::ClusterSnapshot;
use crate::status::{GatewayEvent, StatusUpdate};
use crate::workload::{WorkloadSpec, WorkloadStatus};

/// A cluster that stays as it is.
pub(super) struct Shown(pub(super) Arc<ClusterSnapshot>);

#[async_trait]
impl ClusterSource for Shown {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        self.0.clone()
    }

    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    fn follow(&self, _: BTreeSet<ObjectRef>) {}
}

/// Keeps what would be written last.
#[derive(Default)]
pub(super) struct Statuses(Mutex<Vec<StatusUpdate>>);

impl Statuses {
    pub(super) fn take(&self) -> Vec<StatusUpdate> {
        let kept = self.0.lock();
        std::mem::take(&mut *kept.expect("nothing panics while it holds this lock"))
    }
}

#[async_trait]
impl StatusSink for Statuses {
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        let kept = self.0.lock();
        let mut kept = kept.expect("nothing panics while it holds this lock");
        kept.extend_from_slice(updates);
        Ok(())
    }
}

/// Proxies that do at once what is asked of them.
pub(super) struct Proxies(pub(super) Arc<dyn Written>);

#[async_trait]
impl Workloads for Proxies {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        _: &WorkloadSpec,
        _: TunnelId,
        _: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        self.0.proxies_run(gateway, true);
        Ok(WorkloadStatus {
            ready: 1,
            holds_token: true,
            ..WorkloadStatus::default()
        })
    }

    async fn release(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.proxies_run(gateway, false);
        Ok(())
    }

    async fn status(&self, _: &ObjectKey) -> WorkloadStatus {
        WorkloadStatus {
            ready: 1,
            holds_token: true,
            ..WorkloadStatus::default()
        }
    }

    /// Those that run without a Gateway are found by their tunnels.
    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        Ok(BTreeSet::new())
    }
}

/// Everything else: it leads, keeps nothing, and says what it was given.
pub(super) struct Nobody {
    pub(super) now: Timestamp,
    pub(super) orphans: Result<BTreeSet<ObjectKey>, PortError>,
}

#[async_trait]
impl Finalizer for Nobody {
    async fn add(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}

impl Leadership for Nobody {
    fn term(&self) -> Option<u64> {
        Some(1)
    }
}

#[async_trait]
impl DataPlane for Nobody {
    async fn publish(&self, _: Arc<RouteTable>) -> Result<(), PortError> {
        Ok(())
    }

    async fn withdraw(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl RotationStore for Nobody {
    async fn load(&self, _: &ObjectKey) -> Result<Option<RotationState>, PortError> {
        Ok(None)
    }

    async fn save(&self, _: &ObjectKey, _: &RotationState) -> Result<(), PortError> {
        Ok(())
    }

    async fn forget(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Orphans for Nobody {
    async fn all(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        self.orphans.clone()
    }

    async fn add(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}

impl Events for Nobody {
    fn tell(&self, _: &ObjectKey, _: &GatewayEvent) {}
}

impl Clock for Nobody {
    fn now(&self) -> Timestamp {
        self.now
    }
}

impl Entropy for Nobody {
    /// No secret is passed on.
    fn secret(&self) -> [u8; 32] {
        [0; 32]
    }
}
