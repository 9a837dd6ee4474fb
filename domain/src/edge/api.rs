//! The Cloudflare API v4 for one account, call by call and by role. Lists are complete: all pages or an error.

use std::sync::Arc;

use async_trait::async_trait;

use crate::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, Tunnel, Zone,
};
use crate::error::PortError;
use crate::names::{CertificateId, TunnelId, ZoneId};
use crate::secret::{CertificatePair, CloudflareCredentials, ConnectorToken};

/// Opens the API for a set of credentials. All clients of one account share one rate budget.
pub trait CloudflareAccounts: Send + Sync {
    /// Cheap; no call is made.
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi>;
}

/// All roles in one value, for one account and one token.
pub trait CloudflareApi: TunnelApi + DnsApi + CertificateApi + TokenApi {}

impl<T: TunnelApi + DnsApi + CertificateApi + TokenApi> CloudflareApi for T {}

/// Tunnels of the account and their ingress documents.
#[async_trait]
pub trait TunnelApi: Send + Sync {
    /// Tunnels that are not deleted and whose name starts with the prefix.
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, PortError>;
    /// Makes a remotely configured tunnel. A taken name is [`Conflict`](crate::error::PortErrorKind).
    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, PortError>;
    /// Deletes a tunnel. One with active connections is a conflict.
    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), PortError>;
    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, PortError>;
    /// Makes the edge close all connections of a tunnel.
    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), PortError>;
    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, PortError>;
    /// Replaces the tunnel's secret with these bytes.
    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), PortError>;
    /// Gives a tunnel another name and another secret, both or neither. A taken name is
    /// [`Conflict`](crate::error::PortErrorKind).
    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), PortError>;
    /// The ingress document; `None` where none was ever put.
    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, PortError>;
    /// Replaces the ingress document.
    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), PortError>;
}

/// Zones of the account and their records.
#[async_trait]
pub trait DnsApi: Send + Sync {
    /// Zones that the token can see in this account.
    async fn zones(&self) -> Result<Vec<Zone>, PortError>;
    /// The zone of this very name, if the token can see one in this account. Some tokens that may not list zones may look
    /// one up.
    async fn zone_named(&self, name: &str) -> Result<Option<Zone>, PortError>;
    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError>;
    /// Carries out a batch, or none of it. At most [`BATCH_LIMIT`] operations.
    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), PortError>;
}

/// Operations in one batch of DNS changes, as Cloudflare's Free plan limits them.
pub const BATCH_LIMIT: usize = 200;

/// Custom certificates of a zone.
#[async_trait]
pub trait CertificateApi: Send + Sync {
    /// All of them, ours and others'.
    async fn custom_certificates(&self, zone: &ZoneId)
    -> Result<Vec<CustomCertificate>, PortError>;
    /// Uploads a custom certificate for the edge to show in a zone.
    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError>;
    /// Puts another pair in a custom certificate's place, which may get another id.
    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError>;
    /// Removes a custom certificate.
    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), PortError>;
}

/// The API token itself.
#[async_trait]
pub trait TokenApi: Send + Sync {
    /// Whether the token is accepted and active.
    async fn verify_token(&self) -> Result<(), PortError>;
}
