//! The ordered changes between what was observed at the edge and what one Gateway's intent asks for.
//!
//! The order is tunnel, ingress document, records, with the fewest calls: at most one creation, one document,
//! and one batch for each zone with something to do (Cloudflare takes 200 operations a batch). It may end
//! after any call, by a failure or a crash, and leave a safe state:
//!
//! - A record is written only once the tunnel it points at is there.
//! - A name gets its ingress rule before its record and loses its record before its rule, so the dashboard
//!   shows every name that resolves. A document that does both goes first: for a moment a name that is going
//!   away resolves without a rule, and the proxy answers 404 for it either way.
//! - Zones that gain or repair a record come before zones that only lose some, and within a batch the API
//!   makes all changes or none.
//! - What is not ours is not touched by any change, and planning again from any prefix leads to the same end.
//!
//! A record of another installation of our name ([`RecordMark::is_namesake`]) is judged by the tunnel that it leads to.
//! A tunnel that is there and not `down` is a namesake's, whose record stays as it is. One that is gone or down was a
//! former instance's, of a cluster that was rebuilt: its record is taken over in place.
//!
//! Nothing is deleted on a guess: a zone that was not read whole loses no record, and an intent that was
//! made from an incomplete view ([`Policy::UpsertOnly`](crate::edge::Policy)) takes nothing away, nor does one of a Gateway of which
//! it is not known what it has ([`Policy::KeepRecords`](crate::edge::Policy)).

mod ingress;
pub(crate) mod owner;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::objects::{DnsRecord, IngressDocument, RecordBatch, RecordData, Tunnel, Zone};
use crate::edge::ownership::RecordMark;
use crate::edge::{EdgeError, EdgeErrorKind, EdgeIntent, HostnameOutcome, IngressOutcome};
use crate::names::{Hostname, Installation, RecordId, TunnelId, ZoneId};

pub use ingress::RULE_LIMIT;

/// What is at the edge for one Gateway, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The Gateway's tunnel, if it has one. An edge whose tunnels cannot be listed cannot be planned for.
    pub tunnel: Option<ObservedTunnel>,
    /// Every zone that the credentials can see, in any order.
    pub zones: Result<Vec<ObservedZone>, EdgeError>,
    /// Every tunnel of the account, listed after the records, to tell a former instance's records from those of a
    /// namesake that is there. `None` where no wanted name has a record of either.
    pub tunnels: Option<Result<Vec<Tunnel>, EdgeError>>,
}

/// A tunnel of the Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTunnel {
    /// Its id.
    pub id: TunnelId,
    /// Its ingress document; `None` where none was ever put.
    pub ingress: Result<Option<IngressDocument>, EdgeError>,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedZone {
    /// Which.
    pub zone: Zone,
    /// What is in it.
    pub records: ZoneRecords,
}

/// What is in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneRecords {
    /// All of its records, in any order.
    Read(Vec<DnsRecord>),
    /// Not known, for this reason.
    Failed(EdgeError),
    /// Not asked for: no wanted name lies in it and nothing of ours was ever there.
    Skipped,
}

/// What to do, in order, and what then is true of each hostname if all of it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each is one call to the API, but for zones with more changes than a batch takes.
    pub changes: Vec<Change>,
    /// For every hostname of the intent, and every one that it lost.
    pub hostnames: BTreeMap<Hostname, HostnameOutcome>,
    /// Becomes [`EdgeStatus::unwanted_kept`](crate::edge::EdgeStatus::unwanted_kept).
    pub unwanted_kept: Option<BTreeSet<Hostname>>,
    /// What the ingress document shows.
    pub ingress: IngressOutcome,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make the tunnel; always the first step. The steps after it point at the tunnel it gives.
    CreateTunnel,
    /// Replace the ingress document.
    Configure(IngressDocument),
    /// Change records of one zone.
    Records(ZoneChanges),
}

/// Changes to the records of one zone. What is written to a record follows from its name, the tunnel and
/// the Gateway's mark, so no change can point anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneChanges {
    /// The zone.
    pub zone: ZoneId,
    /// One by one, in the order in which they go into batches.
    pub changes: Vec<RecordChange>,
}

/// A change to one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordChange {
    /// Make a record of ours say what it should; keeps its id, so the name never stops to resolve.
    Put(RecordId, Hostname),
    /// Make a record where there is none.
    Post(Hostname),
    /// Remove a record of this Gateway.
    Delete(RecordId),
}

impl RecordChange {
    /// The hostname that it is made for; a removal is made for none.
    pub fn hostname(&self) -> Option<&Hostname> {
        match self {
            Self::Put(_, hostname) | Self::Post(hostname) => Some(hostname),
            Self::Delete(_) => None,
        }
    }
}

impl ZoneChanges {
    /// The call to the API.
    pub fn batch(&self, tunnel: TunnelId, mark: RecordMark) -> RecordBatch {
        let mut batch = RecordBatch::default();
        for change in &self.changes {
            match change {
                RecordChange::Put(id, hostname) => {
                    let data = wanted_record(hostname, tunnel, mark);
                    batch.puts.push((id.clone(), data));
                }
                RecordChange::Post(hostname) => {
                    batch.posts.push(wanted_record(hostname, tunnel, mark));
                }
                RecordChange::Delete(id) => batch.deletes.push(id.clone()),
            }
        }
        batch
    }
}

/// The record of a hostname: a proxied CNAME to the tunnel's address, whose TTL Cloudflare keeps automatic.
pub fn wanted_record(hostname: &Hostname, tunnel: TunnelId, mark: RecordMark) -> RecordData {
    RecordData {
        name: hostname.as_str().to_owned(),
        kind: "CNAME".to_owned(),
        content: tunnel.address(),
        proxied: true,
        ttl: 1,
        comment: mark.to_string(),
    }
}

/// Plans the way from what was observed to the intent.
pub fn plan(intent: &EdgeIntent, observed: &Observed, installation: &Installation) -> Plan {
    let records = records::plan(intent, observed, installation);
    let ingress = ingress::plan(intent, observed);

    let mut changes = Vec::new();
    if observed.tunnel.is_none() {
        changes.push(Change::CreateTunnel);
    }
    let (before, after) = match ingress.document {
        Some(document) if ingress.only_removes => (None, Some(document)),
        document => (document, None),
    };
    changes.extend(before.map(Change::Configure));
    changes.extend(records.changes.into_iter().map(Change::Records));
    changes.extend(after.map(Change::Configure));
    Plan {
        changes,
        hostnames: records.hostnames,
        unwanted_kept: records.unwanted_kept,
        ingress: ingress.outcome,
    }
}

/// The zone that a hostname lies in: the one with the longest name that the hostname ends in.
pub fn zone_of<'a>(hostname: &Hostname, zones: impl Iterator<Item = &'a Zone>) -> Option<&'a Zone> {
    zones
        .filter(|zone| hostname.is_within(&zone.name))
        .max_by(|a, b| (a.name.len(), &b.id).cmp(&(b.name.len(), &a.id)))
}

/// What a failed call means for the hostnames that needed it.
pub(crate) fn outcome_of(error: &EdgeError) -> HostnameOutcome {
    let message = error.message.clone();
    match error.kind {
        EdgeErrorKind::Forbidden | EdgeErrorKind::Unauthenticated => {
            HostnameOutcome::Forbidden { message }
        }
        kind if kind.is_transient() => HostnameOutcome::Unknown { message },
        _ => HostnameOutcome::Refused { message },
    }
}
