//! The traits that the outside world implements. Each is asked in domain values only; nearly each has an
//! in-memory fake in `crate::testing` (feature `testing`), and a contract suite that the fake and those adapters
//! pass that need no Kubernetes (docs/testing.md).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, Tunnel, Zone,
};
use crate::edge::{EdgeError, EdgeIntent, EdgeStatus, Partial};
use crate::names::{CertificateId, InstanceId, ObjectKey, ObjectRef, Timestamp, TunnelId, ZoneId};
use crate::route_table::RouteTable;
use crate::secret::{CertificatePair, CloudflareCredentials, ConnectorToken};
use crate::snapshot::ClusterSnapshot;
use crate::status::StatusUpdate;
use crate::workload::WorkloadSpec;

/// Why a port other than the edge failed. The pass goes on without it and tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

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

/// Keeps a Gateway from vanishing before it is gone at the edge (a finalizer; nothing for manifests).
#[async_trait]
pub trait Hold: Send + Sync {
    /// Held before the first write at the edge. Idempotent.
    async fn hold(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Lets it go once nothing of it is left at the edge. Idempotent.
    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Gateways that are held now, of every class: one may be held from an earlier run and be another
    /// controller's since. None where holding is not a thing.
    async fn held(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
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
    /// Runs it so, with this connector token; an unchanged call changes nothing. Returns without waiting for
    /// replicas to be ready.
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError>;

    /// Drains and stops it. Idempotent; returns when its connections to the edge are closed.
    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// How it is doing; the default value for a Gateway that does not run.
    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus;

    /// Gateways that have a proxy.
    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError>;
}

/// How the proxy of a Gateway is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadStatus {
    /// Replicas with the full route table and at least one connection to the edge.
    pub ready: u32,
    /// Why others are not ready, for the user; empty when all are.
    pub problems: Vec<String>,
    /// Told by [`Workloads::ensure`]: something is left to do that has to wait for replicas, so the call is
    /// to be repeated.
    pub unfinished: bool,
}

/// Hands route tables to proxies.
#[async_trait]
pub trait DataPlane: Send + Sync {
    /// Serves this table for its Gateway from now on; a later call replaces it.
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError>;

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
    /// that nobody could be asked.
    async fn gateway_of(&self, token: &SecretString) -> Result<Option<ObjectKey>, PortError>;
}

/// Cloudflare for the controller: states an intent, never learns which account served it. The direct
/// edge plans over [`CloudflareApi`]; the broker client sends the intent on.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Edge: Send + Sync {
    /// Whether the edge lets the Gateway in: its credentials are there and work. Writes nothing, and is asked before a
    /// Gateway is held ([`Hold`]). Whoever sends intents on to somebody with credentials of its own has none to ask for.
    async fn admit(&self, _gateway: &ObjectKey) -> Result<(), EdgeError> {
        Ok(())
    }

    /// Makes the intent true as far as possible; independent parts do not stop each other.
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, EdgeError>;

    /// Gateways of this installation that hold anything at the edge. An error means that there may be more
    /// than were found.
    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>>;

    /// The token that lets connectors join the Gateway's tunnel.
    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, EdgeError>;

    /// Gives the tunnel a new secret and returns the new token. The old one opens no new connection.
    async fn rotate(&self, gateway: &ObjectKey) -> Result<ConnectorToken, EdgeError>;

    /// Removes all that the Gateway holds at the edge: records first, the tunnel last. Idempotent.
    async fn forget(&self, gateway: &ObjectKey) -> Result<(), EdgeError>;

    /// Removes records of this installation whose Gateway is neither `live` nor known by a tunnel (what a
    /// deposed leader wrote last, or what a lagging read hid from [`Edge::forget`]), and what a live Gateway
    /// left in an account that it moved away from. `live` holds every Gateway that may still have something
    /// at the edge; a complete view of the cluster alone can tell. Returns the names of the removed records.
    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, EdgeError>;

    /// Another instance may have worked at the edge since the last call: what is remembered of earlier ones
    /// proves nothing any more. No call is made.
    fn begin_term(&self) {}

    /// It is time to see what others did at the edge: what was read before does not count any more. No call
    /// is made.
    fn begin_resync(&self) {}
}

/// The edges of all installations of one name, for a broker that serves them.
#[async_trait]
pub trait Edges: Send + Sync {
    /// The edge of one instance. Cheap; no call is made.
    fn of(&self, instance: InstanceId) -> Arc<dyn Edge>;

    /// Gateways of every instance that have a tunnel.
    async fn owned(&self) -> Result<Vec<HeldGateway>, EdgeError>;
}

/// A Gateway of one of several installations of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldGateway {
    /// Which of them.
    pub instance: InstanceId,
    /// The Gateway.
    pub gateway: ObjectKey,
    /// Whether nobody uses its tunnel any more.
    pub is_down: bool,
}

/// Is told each removal at the edge, each take-over and each write of ingress rules, once it is done. For a log that people
/// read: what was done, to what, and why. Holds no secret.
pub trait Journal: Send + Sync {
    /// One line.
    fn note(&self, line: &str);
}

/// The Cloudflare credentials of a Gateway, by reference. Asked by the direct edge only.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Credentials of one Gateway; a missing Secret or key is an error of kind
    /// [`EdgeErrorKind::Credentials`](crate::edge::EdgeErrorKind) that names both.
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, EdgeError>;

    /// Every set of credentials of this installation, for finding what Gateways left behind. One that cannot
    /// be had hides no other: see [`CredentialSets`](crate::secret::CredentialSets).
    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>>;
}

/// Certificates of listeners with their keys, by reference. Asked by the direct edge only, and only where
/// they are to be uploaded.
#[async_trait]
pub trait Certificates: Send + Sync {
    /// The pair in a Secret of type `kubernetes.io/tls`; an error names Secret and key and quotes nothing.
    async fn pair(&self, secret: &ObjectKey) -> Result<CertificatePair, EdgeError>;
}

/// Opens the API for a set of credentials. All clients of one account share one rate budget.
pub trait CloudflareAccounts: Send + Sync {
    /// Cheap; no call is made.
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi>;
}

/// The Cloudflare API v4 for one account, call by call. Lists are complete: all pages or an error.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait CloudflareApi: Send + Sync {
    /// Tunnels that are not deleted and whose name starts with the prefix.
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, EdgeError>;
    /// Makes a remotely configured tunnel. A taken name is [`Conflict`](crate::edge::EdgeErrorKind).
    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, EdgeError>;
    /// Deletes a tunnel. One with active connections is a conflict.
    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), EdgeError>;
    /// Connectors of a tunnel.
    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, EdgeError>;
    /// Makes the edge close and forget all connections of a tunnel.
    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), EdgeError>;
    /// The connector token.
    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, EdgeError>;
    /// Replaces the tunnel's secret with these bytes.
    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), EdgeError>;
    /// Gives a tunnel another name and another secret, both or neither. A taken name is
    /// [`Conflict`](crate::edge::EdgeErrorKind).
    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), EdgeError>;
    /// The ingress document; `None` where none was ever put.
    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, EdgeError>;
    /// Replaces the ingress document.
    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), EdgeError>;
    /// Zones that the token can see in this account.
    async fn zones(&self) -> Result<Vec<Zone>, EdgeError>;
    /// All records of a zone.
    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, EdgeError>;
    /// Carries out a batch, or none of it. At most [`BATCH_LIMIT`] operations.
    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), EdgeError>;
    /// Custom certificates of a zone, ours and others'.
    async fn custom_certificates(&self, zone: &ZoneId)
    -> Result<Vec<CustomCertificate>, EdgeError>;
    /// Uploads a custom certificate for the edge to show in a zone.
    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, EdgeError>;
    /// Puts another pair in a custom certificate's place, which may get another id.
    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, EdgeError>;
    /// Removes a custom certificate.
    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), EdgeError>;
    /// Whether the token is accepted and active.
    async fn verify_token(&self) -> Result<(), EdgeError>;
}

/// Operations in one batch of DNS changes, as Cloudflare's Free plan limits them.
pub const BATCH_LIMIT: usize = 200;

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// 32 of them, fit for a secret.
    fn secret(&self) -> [u8; 32];
}
