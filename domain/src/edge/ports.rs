//! The traits of the edge: what the controller asks of it, and what the direct edge asks of Cloudflare.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, Tunnel, Zone,
};
use crate::edge::{EdgeError, EdgeIntent, EdgeStatus, Partial};
use crate::names::{CertificateId, InstanceId, ObjectKey, TunnelId, ZoneId};
use crate::secret::{CertificatePair, CloudflareCredentials, ConnectorToken};

/// Cloudflare for the controller: states an intent, never learns which account served it. The direct
/// edge plans over [`CloudflareApi`]; the broker client sends the intent on.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Edge: Send + Sync {
    /// Whether the edge lets the Gateway in: its credentials are there and work. Writes nothing, and is asked before a
    /// Gateway is held ([`Hold`](crate::ports::Hold)). Whoever sends intents on to somebody with credentials of its own has none to ask for.
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

    /// It is time to see what others did at the edge, or a new term has begun: what was read before does not count any
    /// more. No call is made.
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
    /// be had hides no other: see [`CredentialSets`](crate::edge::CredentialSets).
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

/// Unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// 32 of them, fit for a secret.
    fn secret(&self) -> [u8; 32];
}
