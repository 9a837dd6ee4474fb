//! What must be true at Cloudflare, what is true, and the way from one to the other.
//!
//! - [`EdgeIntent`]: what must be true for one Gateway. It has no field for credentials.
//! - [`EdgeStatus`]: what the edge answered.
//! - [`certificates`]: which zones show which certificates, and which of them are ours.
//! - [`claims`]: which Gateway may have which hostname.
//! - [`ownership`]: how our own records and tunnels are distinguished from others'.
//! - [`plan`]: the ordered changes, every prefix of which is safe.
//! - [`api`]: the Cloudflare API, by role; [`ports`]: what else the edge is asked and needs.
//! - [`direct`]: carries a plan out over the Cloudflare API.
//! - [`rehearsal`]: the Cloudflare API for a rehearsal, which passes nothing on that would change anything.

pub mod api;
mod cache;
pub mod certificates;
mod changes;
mod credentials;
pub mod direct;
pub mod dns;
mod intent;
mod journal;
mod keyed_locks;
pub(crate) mod namesakes;
pub mod objects;
pub mod observed;
pub mod ownership;
pub mod plan;
pub mod ports;
pub mod rehearsal;
pub mod tunnel;

pub use changes::Changes;
pub use credentials::CredentialSets;
pub use dns::{DnsIntent, HeldBack, ZoneStatus, claims, has_universal_certificate};
pub use intent::{EdgeIntent, Policy};
pub use keyed_locks::{KeyedLock, KeyedLocks};

use std::collections::{BTreeMap, BTreeSet};

use certificates::CertificateOutcome;

use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, Installation, ObjectKey, TunnelId};

/// What is true at the edge for one Gateway, after a reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EdgeStatus {
    /// Tunnels of this Gateway: one, and behind a broker one in each Cloudflare account that its hostnames are in.
    pub tunnels: Vec<TunnelStatus>,
    /// An outcome for each hostname of the intent.
    pub hostnames: BTreeMap<Hostname, HostnameOutcome>,
    /// What the dashboard shows of the hostnames.
    pub ingress: IngressOutcome,
    /// Names of the Gateway's records that it does not want and that stay because of [`Policy::KeepRecords`];
    /// `None` with another policy, and where they are not all known because something could not be read.
    pub unwanted_kept: Option<BTreeSet<Hostname>>,
    /// Other installations of our name that have a tunnel in the account which is not down.
    pub namesakes: BTreeSet<Installation>,
    /// Zones that managed hostnames lie in.
    pub zones: BTreeSet<ZoneStatus>,
    /// What others had changed on records of ours and was put right, by hostname.
    pub repaired: BTreeMap<Hostname, String>,
    /// A removal that waits until somebody confirms it.
    pub held_back: Option<HeldBack>,
    /// What was written on the way there.
    pub changes: Changes,
    /// An outcome for each certificate of the intent, by its Secret.
    pub certificates: BTreeMap<ObjectKey, CertificateOutcome>,
    /// Calls that failed, also those that no outcome of a hostname shows (the removal of a record, for
    /// one). Empty when all is read and done; otherwise the same intent is worth stating again.
    pub failures: Vec<PortError>,
}

/// What a Gateway has at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    pub tunnels: BTreeSet<TunnelId>,
    /// Names of its DNS records.
    pub records: BTreeSet<String>,
}

/// Tunnels by their ids, records by their number: there may be thousands.
impl std::fmt::Display for Holdings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tunnels: Vec<_> = self
            .tunnels
            .iter()
            .map(|id| format!("tunnel {id}"))
            .collect();
        match tunnels.is_empty() {
            true => f.write_str("no tunnel")?,
            false => f.write_str(&tunnels.join(", "))?,
        }
        write!(f, " and {} DNS records", self.records.len())
    }
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelStatus {
    pub id: TunnelId,
    /// As Cloudflare's dashboard shows it.
    pub name: String,
    /// Where records point: `<id>.cfargotunnel.com`.
    pub address: String,
    /// Hostnames that it serves, whether they have their record or not.
    pub hostnames: BTreeSet<Hostname>,
}

/// What became of one hostname.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostnameOutcome {
    /// The record is there and ours.
    Applied,
    /// A record that is not ours has the name; it stays as it is. `found` describes it, e.g.
    /// `A record 192.0.2.1`.
    Conflict {
        /// Type and content of the record.
        found: String,
    },
    /// The same, and the name is to be adopted: what is there would give way to ours.
    Adoptable {
        /// All that is there.
        found: String,
        /// What confirms the adoption of exactly that.
        code: String,
    },
    /// Somebody changed or removed the record, and it stays so, as the drift policy says.
    Drifted {
        /// What is there and what should be.
        difference: String,
    },
    /// Nothing is done for the name while the record of another one has drifted, as the drift policy says.
    Paused { because: Hostname },
    /// Another installation of our name holds the name, with a tunnel that is there. Its record stays as it is.
    Namesake {
        /// The tunnel's name, which holds installation, instance and Gateway.
        tunnel: String,
    },
    /// Another Gateway holds the name.
    Claimed { by: ObjectKey },
    /// No zone that the credentials can see covers the name.
    NoZone,
    /// The credentials may not write the zone.
    Forbidden {
        /// The edge's words, with the permission that is missing.
        message: String,
    },
    /// The edge refuses the record (a quota is reached, a name breaks a rule), and will until something is changed.
    Refused { message: String },
    /// The cluster may not have the name, as the broker's owner decided. Nothing was done for it.
    NotPermitted {
        /// Who decides, and what helps.
        message: String,
    },
    /// DNS is not managed for the name.
    NotManaged,
    /// Not known whether the record is there: a read or a write failed for a reason that may pass.
    Unknown { message: String },
}

/// Whether the ingress document shows every hostname.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IngressOutcome {
    /// One rule for each hostname, or for each of its paths.
    #[default]
    Complete,
    /// More paths than Cloudflare takes rules: one rule for each hostname.
    WithoutPaths,
    /// More hostnames than Cloudflare takes rules: one catch-all stands for all.
    CatchAll {
        /// How many hostnames there are.
        hostnames: usize,
    },
    /// Not known: the document could not be read or written.
    Unknown { message: String },
}

/// What was found although not everything could be looked at. All of it is there; what is missing from it is
/// unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial<T> {
    /// As far as could be seen.
    pub found: T,
    pub error: PortError,
}

impl<T: Default> From<PortError> for Partial<T> {
    /// Nothing was found.
    fn from(error: PortError) -> Self {
        let found = T::default();
        Self { found, error }
    }
}

/// What is gone already need not be removed.
pub(crate) fn gone_is_fine(result: Result<(), PortError>) -> Result<(), PortError> {
    match result {
        Err(error) if error.kind == PortErrorKind::NotFound => Ok(()),
        other => other,
    }
}
