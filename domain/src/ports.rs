//! The traits that the outside world implements. Each is asked in domain values only; nearly each has an
//! in-memory fake in `crate::testing` (feature `testing`), and a contract suite that the fake and the adapters pass
//! (docs/testing.md).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::names::{ObjectKey, ObjectRef, Timestamp, TunnelId};
use crate::rotation::RotationState;
use crate::route_table::RouteTable;
use crate::secret::{CertificatePair, ConnectorToken};
use crate::snapshot::ClusterSnapshot;
use crate::status::{GatewayEvent, StatusUpdate};
use crate::workload::{WorkloadSpec, WorkloadStatus};

pub use crate::edge::api::{
    BATCH_LIMIT, CertificateApi, CloudflareAccounts, CloudflareApi, DnsApi, TokenApi, TunnelApi,
};
pub use crate::edge::ports::{Certificates, Credentials, Edge, Entropy, Journal};
pub use crate::error::{PortError, PortErrorKind};

/// The cluster, or a folder of manifests.
#[async_trait]
pub trait ClusterSource: Send + Sync {
    /// The present view: complete, with each kind known, absent or unknown. Waits for the first one.
    async fn snapshot(&self) -> Arc<ClusterSnapshot>;

    /// Returns once a view newer than the last returned one may be there. Cancel safe.
    async fn changed(&self);

    /// Names the Secrets to read from now on; all others stay unread.
    fn follow(&self, refs: BTreeSet<ObjectRef>);
}

/// Where statuses go.
#[async_trait]
pub trait StatusSink: Send + Sync {
    /// Writes each status that differs from what is there; keeps other controllers' entries and the
    /// transition time of conditions that did not flip. Objects that are gone are passed over. A call may
    /// carry some of the statuses only: on an object in the cluster that it leaves out nothing changes.
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError>;
}

/// The finalizer that keeps a Gateway's object until nothing of it is left at the edge; nothing for manifests.
#[async_trait]
pub trait Finalizer: Send + Sync {
    /// Added before the first write at the edge. Idempotent.
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Removed once nothing of it is left at the edge. Idempotent.
    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Gateways that have it now, of every class: one may have it from an earlier run and be another
    /// controller's since.
    async fn gateways(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        Ok(BTreeSet::new())
    }
}

/// Whether this instance may write.
pub trait Leadership: Send + Sync {
    /// The term it leads in, `None` when it does not. Terms grow.
    fn term(&self) -> Option<u64>;
}

/// Makes the proxy of a Gateway run.
#[async_trait]
pub trait Workloads: Send + Sync {
    /// Runs it so, with this connector token; an unchanged call changes nothing. Replicas that run take a new token one
    /// after another, each once those before it hold their connections with it. A partial token changes nothing of a proxy
    /// that runs. `tunnel` is the first of the Gateway's tunnels: another one needs another proxy. Returns without waiting
    /// for replicas to be ready.
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError>;

    /// Lets go of it: it runs on as it is, with the routes and the token that it has, and is no Gateway's any more. A
    /// later [`Workloads::ensure`] for a Gateway of this name takes it up again. Idempotent.
    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Drains and stops it. Idempotent; returns when its connections to the edge are closed.
    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// How it is doing; the default value for a Gateway that does not run.
    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus;

    /// Gateways that have a proxy.
    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError>;
}

/// Hands route tables to proxies.
#[async_trait]
pub trait DataPlane: Send + Sync {
    /// Serves this table for its Gateway from now on; a later call replaces it.
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError>;

    /// The certificate that endpoints of this Gateway's tables are shown from now on, with its key; said before a table that
    /// names it. It is kept in memory alone.
    async fn show(
        &self,
        _gateway: &ObjectKey,
        _certificate: Option<Arc<CertificatePair>>,
    ) -> Result<(), PortError> {
        Ok(())
    }

    /// Serves nothing more for this Gateway.
    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Whether the last published table of this Gateway is what its ready replicas serve. Where publishing
    /// is serving, it always is.
    fn delivery(&self, _gateway: &ObjectKey) -> Delivery {
        Delivery::Served
    }
}

/// How far a published table has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Every ready replica serves it.
    #[default]
    Served,
    /// It is on its way; a status that promises traffic waits.
    Pending,
    /// These replicas did not take it in time; statuses name them and wait no longer.
    Late(Vec<String>),
}

/// Tells whose proxy it is that shows a token (a ServiceAccount's token, which the cluster vouches for).
#[async_trait]
pub trait ProxyIdentities: Send + Sync {
    /// The Gateway whose proxy may show this token; `None` for a token that is no proxy's. An error means
    /// that the cluster could not be asked.
    async fn gateway_of(&self, token: &SecretString) -> Result<Option<ObjectKey>, PortError>;
}

/// Keeps how far the rotation of each Gateway's token is, for the next process. What it loses costs nothing but the time
/// of the schedule that passes meanwhile.
#[async_trait]
pub trait RotationStore: Send + Sync {
    /// What was kept; `None` where there is nothing, or nothing that can be read.
    async fn load(&self, gateway: &ObjectKey) -> Result<Option<RotationState>, PortError>;

    /// Keeps it in the place of what was kept. It is kept when this returns.
    async fn save(&self, gateway: &ObjectKey, state: &RotationState) -> Result<(), PortError>;

    /// The Gateway is gone. Idempotent.
    async fn forget(&self, gateway: &ObjectKey) -> Result<(), PortError>;
}

/// Remembers, for the next process, of which Gateways all that they have stays when they go. What they have is still
/// marked as ours, so nothing else tells that it is not left over.
#[async_trait]
pub trait Orphans: Send + Sync {
    /// All of them. An error means that it is not known, and then nothing may be removed.
    async fn all(&self) -> Result<BTreeSet<ObjectKey>, PortError>;

    /// One more. Idempotent; it is kept when this returns.
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// One less: what it has is removed with it, or was. Idempotent.
    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError>;
}

/// Where Events go. They are written in the background, and one that cannot be written stops nothing.
pub trait Events: Send + Sync {
    /// Tells it of a Gateway that is still there.
    fn tell(&self, gateway: &ObjectKey, event: &GatewayEvent);
}

/// The time.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}
