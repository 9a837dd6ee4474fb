//! The ordered changes between what was observed at the edge and what one Gateway's intent asks for.
//!
//! The order is tunnel, ingress document, records, certificates, with the fewest calls: at most one creation, one
//! document, and one batch for each zone with something to do (Cloudflare takes 200 operations a batch). It may end
//! after any call, by a failure or a crash, and leave a safe state:
//!
//! - A record is written only once the tunnel it points at is there.
//! - A name gets its ingress rule before its record and loses its record before its rule, so the dashboard
//!   shows every name that resolves. A document that does both goes first: for a moment a name that is going
//!   away resolves without a rule, and the proxy answers 404 for it either way.
//! - Zones that gain or repair a record come before zones that only lose some, and within a batch the API
//!   makes all changes or none.
//! - A certificate is uploaded only for names that have their record, is noted as ours before the next one is changed,
//!   and is removed before the tunnel that notes it.
//! - What is not ours is not touched by any change, and planning again from any prefix leads to the same end.
//!
//! A record of another installation of our name (`RecordMark::is_namesake`) is judged by the tunnel that it leads to.
//! A tunnel that is there and not `down` is a namesake's, whose record stays as it is. One that is gone or down was a
//! former instance's, of a cluster that was rebuilt: its record is taken over in place.
//!
//! Nothing is deleted on a guess: a zone that was not read whole loses no record, and an intent that was
//! made from an incomplete view ([`Policy::UpsertOnly`](crate::edge::Policy)) takes nothing away, nor does one of a Gateway of which
//! it is not known what it has ([`Policy::KeepRecords`](crate::edge::Policy)).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::certificates::plan::{CertificatesPlan, ObservedCertificates, ZoneCertificates};
use crate::edge::objects::IngressDocument;
use crate::edge::observed::Observed;
use crate::edge::{EdgeIntent, HostnameOutcome, IngressOutcome, certificates, dns, tunnel};
use crate::names::{Hostname, Installation, ZoneId};

pub use crate::edge::dns::{
    HeldBack, RecordChange, ZoneChanges, ZoneStatus, wanted_record, zone_of,
};
pub use crate::edge::tunnel::RULE_LIMIT;

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
    /// Zones that hostnames lie in.
    pub zones: BTreeSet<ZoneStatus>,
    /// What others changed on records, and what these changes put right.
    pub repaired: BTreeMap<Hostname, String>,
    /// A removal that waits until somebody confirms it.
    pub held_back: Option<HeldBack>,
    /// Whether records wait, so that their changes are not in the list.
    pub are_records_held: bool,
}

/// One step. The variants stand in the order in which a plan has them; a document that only loses rules comes after
/// the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make the tunnel; always the first step. The steps after it point at the tunnel it gives.
    CreateTunnel,
    /// Replace the ingress document.
    Configure(IngressDocument),
    Records(ZoneChanges),
    /// Note in the ingress document which certificates are ours.
    NoteCertificates,
    /// Change certificates of one zone. Each is noted at once.
    Certificates(ZoneCertificates),
}

impl Plan {
    /// Leaves the records as they are.
    pub(super) fn hold_records(&mut self) {
        self.are_records_held = true;
        let hostnames = &mut self.hostnames;
        self.changes.retain(|change| {
            let Change::Records(zone) = change else {
                return true;
            };
            for hostname in zone.changes.iter().filter_map(RecordChange::hostname) {
                let message =
                    "its record waits until a proxy has joined the tunnel of the new account";
                let message = message.to_owned();
                hostnames.insert(hostname.clone(), HostnameOutcome::Unknown { message });
            }
            false
        });
    }

    /// Zones in which records are changed in place or removed.
    pub(super) fn zones_that_lose(&self) -> impl Iterator<Item = &ZoneId> {
        let zones = self.changes.iter().filter_map(|change| match change {
            Change::Records(zone) => Some(zone),
            _ => None,
        });
        let adds = |change: &RecordChange| matches!(change, RecordChange::Post(_));
        let losing = zones.filter(move |zone| !zone.changes.iter().all(adds));
        losing.map(|zone| &zone.zone)
    }
}

/// Plans the way from what was observed to the intent.
pub fn plan(intent: &EdgeIntent, observed: &Observed, installation: &Installation) -> Plan {
    let records = dns::plan::plan(intent, observed, installation);
    let held_back = records.held_back.as_ref().map(|held| &held.names);
    let ingress = tunnel::plan::plan(intent, observed, held_back);

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
        zones: records.zones,
        repaired: records.repaired,
        held_back: records.held_back,
        are_records_held: false,
    }
}

/// Plans the certificates, once it is known which names have a record: Cloudflare shows a certificate to the visitors
/// of all of its names. They come last, as no request needs them to flow.
pub(super) fn plan_certificates(
    intent: &EdgeIntent,
    observed: &Observed,
    seen: &ObservedCertificates,
    hostnames: &BTreeMap<Hostname, HostnameOutcome>,
) -> (Vec<Change>, CertificatesPlan) {
    let mut planned = certificates::plan::plan(intent, observed, seen, hostnames);
    let note = (!seen.are_noted).then_some(Change::NoteCertificates);
    let zones = std::mem::take(&mut planned.zones).into_iter();
    let changes = note.into_iter().chain(zones.map(Change::Certificates));
    (changes.collect(), planned)
}
