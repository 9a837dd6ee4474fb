//! The traits of the edge: what the controller asks of it, and what the direct edge needs besides [Cloudflare's
//! API](super::api).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::edge::certificates::CertificateIntent;
use crate::edge::{EdgeIntent, EdgeStatus, Holdings, Partial};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, ObjectKey, ZoneId};
use crate::secret::{CertificatePair, CloudflareCredentials, ConnectorToken, TokenHash};

/// Cloudflare for the controller: states an intent, never learns which account served it. The direct
/// edge plans over [`CloudflareApi`](super::api::CloudflareApi); the broker client sends the intent on.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Edge: Send + Sync {
    /// Whether the edge lets the Gateway in: its credentials are there and work. Writes nothing, and is asked before a
    /// Gateway gets its finalizer ([`Finalizer`](crate::ports::Finalizer)). A client of a broker has no credentials to
    /// check.
    async fn admit(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    /// Makes the intent true as far as possible; independent parts do not stop each other.
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError>;

    /// Gateways of this installation that hold anything at the edge. An error means that there may be more
    /// than were found.
    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>>;

    /// The token that lets connectors join the Gateway's tunnels: of one in the direct edge, of one in each account behind a
    /// broker. A [partial](ConnectorToken::is_partial) one where only some can be had.
    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError>;

    /// Replaces the token of each of the Gateway's tunnels if all of it together has this hash, and does nothing if it has another
    /// one: to be asked again after an answer was lost changes nothing. The old token opens no new connection; those that it
    /// opened stay.
    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError>;

    /// Closes every connection to the Gateway's tunnels. Connectors with the present token come back by themselves.
    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// What the Gateway has at the edge. Reads, and writes nothing. Not every edge can tell.
    async fn holdings(&self, gateway: &ObjectKey) -> Result<Holdings, PortError> {
        let message = format!("this edge does not tell what Gateway {gateway} has");
        Err(PortError::new(PortErrorKind::NotFound, message))
    }

    /// Whether a connector is connected to any tunnel of this installation. `false` only where all were asked for. Reads, and
    /// writes nothing. Not every edge can tell.
    async fn has_connectors(&self) -> Result<bool, PortError> {
        let message = "this edge does not tell whether connectors are connected";
        Err(PortError::new(PortErrorKind::NotFound, message))
    }

    /// Removes all that the Gateway holds at the edge: in each account records first, the tunnel last. Idempotent.
    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError>;

    /// Removes records of this installation whose Gateway is neither `live` nor known by a tunnel (what a
    /// deposed leader wrote last, or what a lagging read hid from [`Edge::remove`]), and what a live Gateway
    /// left in an account that it moved away from. `live` holds every Gateway that may still have something
    /// at the edge; a complete view of the cluster alone can tell. Returns the names of the removed records.
    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError>;

    /// Waits until the edge tells by itself of Gateways of which something is not as it answered last: they are to be stated
    /// again, though nothing changed here. Never ends where an edge does nothing but answer.
    async fn news(&self) -> BTreeSet<ObjectKey> {
        std::future::pending().await
    }

    /// Ids of zones that a Gateway's parameters name. Told before [`Edge::remove`] too, which gets no intent. No call is
    /// made.
    fn know_zones(&self, _gateway: &ObjectKey, _ids: &BTreeMap<Hostname, ZoneId>) {}

    /// It is time to see what others did at the edge, or a new term has begun: what was read before does not count any
    /// more. No call is made.
    fn begin_resync(&self) {}

    /// What was read before of one Gateway does not count any more. No call is made.
    fn read_anew(&self, _gateway: &ObjectKey) {}
}

/// Takes each removal at the edge, each take-over and each write of ingress rules, once it is done. For a log that people
/// read: what was done, to what, and why. Holds no secret.
pub trait Journal: Send + Sync {
    fn note(&self, line: &str);
}

/// The Cloudflare credentials of a Gateway, by reference. Asked by the direct edge only.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Credentials of one Gateway; a missing Secret or key is an error of kind
    /// [`PortErrorKind::Credentials`](crate::error::PortErrorKind) that names both.
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError>;

    /// Every set of credentials of this installation, for finding what Gateways left behind. One that cannot
    /// be had hides no other: see [`CredentialSets`](crate::edge::CredentialSets).
    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>>;
}

/// Certificates of listeners with their keys, by reference. Asked only where they are to be uploaded, or a broker asks for them.
#[async_trait]
pub trait Certificates: Send + Sync {
    /// The pair in a Secret of type `kubernetes.io/tls`; an error names Secret and key and quotes nothing.
    async fn pair(&self, secret: &ObjectKey) -> Result<CertificatePair, PortError>;

    /// The pair of a certificate that a Gateway is to have at the edge; an error of kind
    /// [`PortErrorKind::NotFound`] where there is none.
    async fn of_gateway(
        &self,
        _gateway: &ObjectKey,
        one: &CertificateIntent,
    ) -> Result<CertificatePair, PortError> {
        self.pair(&one.secret).await
    }
}

/// Unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// 32 of them, fit for a secret.
    fn secret(&self) -> [u8; 32];
}
