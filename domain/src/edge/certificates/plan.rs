//! The certificates' part of a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{CertificateIntent, CertificateOutcome, Note};
use crate::certificate::Fingerprint;
use crate::edge::objects::Zone;
use crate::edge::observed::Observed;
use crate::edge::{EdgeIntent, HostnameOutcome, Policy};
use crate::error::{PortError, PortErrorKind};
use crate::names::{CertificateId, Hostname, ObjectKey, ZoneId};

/// Certificates in the zones that matter: those that get one, and those in which one of ours is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObservedCertificates {
    pub(crate) notes: BTreeSet<Note>,
    /// Whether the ingress document notes exactly that, with the API token in use.
    pub(crate) are_noted: bool,
    /// Ids of all certificates of each of these zones, ours and others'.
    pub(crate) present: BTreeMap<ZoneId, Result<BTreeSet<CertificateId>, PortError>>,
}

/// One step in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateChange {
    /// Upload where there is none of ours that could give way.
    Upload(CertificateIntent),
    /// Put it in the place of one of ours that is not wanted any more.
    Replace(Note, CertificateIntent),
    /// Remove one of ours.
    Delete(Note),
    /// Ours is gone already; only the note goes.
    DropNote(Note),
}

/// Changes of one zone, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneCertificates {
    pub zone: Zone,
    pub changes: Vec<CertificateChange>,
}

/// What to do, and what then is true if all of it succeeds.
#[derive(Debug, Default)]
pub(crate) struct CertificatesPlan {
    pub(crate) zones: Vec<ZoneCertificates>,
    /// Of each certificate of the intent.
    pub(crate) outcomes: BTreeMap<ObjectKey, CertificateOutcome>,
    /// Reads that failed for a reason that may pass.
    pub(crate) failures: Vec<PortError>,
}

impl CertificatesPlan {
    /// Nothing can be done for any.
    pub(crate) fn failed(wanted: &BTreeSet<CertificateIntent>, error: &PortError) -> Self {
        let message = error.message.clone();
        Self {
            failures: transient(error).into_iter().collect(),
            ..Self::all(wanted, &CertificateOutcome::Failed { message })
        }
    }

    /// The same outcome for all.
    pub(crate) fn all(wanted: &BTreeSet<CertificateIntent>, outcome: &CertificateOutcome) -> Self {
        let outcomes = wanted.iter();
        let outcomes = outcomes.map(|one| (one.secret.clone(), outcome.clone()));
        Self {
            outcomes: outcomes.collect(),
            ..Self::default()
        }
    }
}

/// An error that may pass. A refusal that only a user can mend is worth no further try until something changes.
pub(crate) fn transient(error: &PortError) -> Option<PortError> {
    error.kind.is_transient().then(|| error.clone())
}

/// Certificates of the intent, each for those names alone that have a record; `None` where they are not known.
pub(crate) fn wanted(
    intent: &EdgeIntent,
    hostnames: &BTreeMap<Hostname, HostnameOutcome>,
) -> Option<BTreeSet<CertificateIntent>> {
    let has_record = |outcome: &HostnameOutcome| {
        matches!(
            outcome,
            HostnameOutcome::Applied | HostnameOutcome::Drifted { .. }
        )
    };
    let applied = hostnames.iter().filter(|(_, outcome)| has_record(outcome));
    let records = applied.map(|(hostname, _)| hostname.clone()).collect();
    let wanted = intent.certificates.as_ref()?.iter();
    Some(wanted.map(|one| one.with_records(&records)).collect())
}

/// The zones that matter: those that get a certificate, and those in which one of ours is.
pub(crate) fn zones_of<'z>(
    wanted: &BTreeSet<CertificateIntent>,
    zones: impl Iterator<Item = &'z Zone>,
    notes: &BTreeSet<Note>,
) -> BTreeMap<ZoneId, &'z Zone> {
    let matters = |zone: &&Zone| {
        notes.iter().any(|note| note.zone == zone.id) || wanted.iter().any(|one| one.is_for(zone))
    };
    zones
        .filter(matters)
        .map(|zone| (zone.id.clone(), zone))
        .collect()
}

/// Plans for all zones. `hostnames`: what became of each name. Nothing is removed where one may still turn out to be
/// the Gateway's.
pub(crate) fn plan(
    intent: &EdgeIntent,
    observed: &Observed,
    seen: &ObservedCertificates,
    hostnames: &BTreeMap<Hostname, HostnameOutcome>,
) -> CertificatesPlan {
    let Some(wanted) = wanted(intent, hostnames) else {
        return CertificatesPlan::default();
    };
    let zones: Vec<&Zone> = match &observed.zones {
        Ok(zones) => zones.iter().map(|zone| &zone.zone).collect(),
        Err(error) => return CertificatesPlan::failed(&wanted, error),
    };
    let is_unknown = |outcome: &HostnameOutcome| {
        matches!(
            outcome,
            HostnameOutcome::Unknown { .. } | HostnameOutcome::Paused { .. }
        )
    };
    let prune = intent.policy != Policy::UpsertOnly && !hostnames.values().any(is_unknown);
    let mut plan = CertificatesPlan {
        outcomes: outcomes(&wanted, &zones),
        ..CertificatesPlan::default()
    };
    for zone in zones_of(&wanted, zones.iter().copied(), &seen.notes).into_values() {
        let wanted: Vec<_> = wanted.iter().filter(|one| one.is_for(zone)).collect();
        match seen.present.get(&zone.id) {
            Some(Ok(present)) => {
                let changes = plan_zone(prune, &wanted, zone, &seen.notes, present);
                if !changes.is_empty() {
                    let zone = zone.clone();
                    plan.zones.push(ZoneCertificates { zone, changes });
                }
            }
            Some(Err(error)) => {
                for one in wanted {
                    plan.outcomes
                        .insert(one.secret.clone(), failed(zone, error));
                }
                plan.failures.extend(transient(error));
            }
            None => {}
        }
    }
    plan
}

/// What it means for a certificate that its chain and key could not be had.
pub(crate) fn without_pair(error: &PortError) -> CertificateOutcome {
    let message = error.to_string();
    match error.kind {
        PortErrorKind::NotFound => CertificateOutcome::WithoutKey { message },
        _ => CertificateOutcome::Failed { message },
    }
}

/// What a failed call means for a certificate.
pub(crate) fn failed(zone: &Zone, error: &PortError) -> CertificateOutcome {
    let message = format!("zone {}: {error}", zone.name);
    CertificateOutcome::Failed { message }
}

fn outcomes(
    wanted: &BTreeSet<CertificateIntent>,
    zones: &[&Zone],
) -> BTreeMap<ObjectKey, CertificateOutcome> {
    let in_order: BTreeMap<&ZoneId, &Zone> = zones.iter().map(|zone| (&zone.id, *zone)).collect();
    let outcome = |one: &CertificateIntent| {
        let names: BTreeSet<Hostname> = zones
            .iter()
            .flat_map(|zone| one.without_record(zone))
            .collect();
        if !names.is_empty() {
            return CertificateOutcome::WithoutRecord { names };
        }
        let zones = in_order.values().filter(|zone| one.is_for(zone));
        let zones: Vec<String> = zones.map(|zone| zone.name.clone()).collect();
        match zones.is_empty() {
            true => CertificateOutcome::NoZone,
            false => CertificateOutcome::Uploaded { zones },
        }
    };
    let each = wanted.iter();
    each.map(|one| (one.secret.clone(), outcome(one))).collect()
}

/// Plans for one zone, in which these certificates are, ours and others'. Without `prune` nothing is removed.
pub(super) fn plan_zone(
    prune: bool,
    wanted: &[&CertificateIntent],
    zone: &Zone,
    notes: &BTreeSet<Note>,
    present: &BTreeSet<CertificateId>,
) -> Vec<CertificateChange> {
    let ours = notes.iter().filter(|note| note.zone == zone.id);
    let (there, gone): (Vec<_>, Vec<_>) = ours.partition(|note| present.contains(&note.id));
    let gone = gone.into_iter().cloned();
    let mut changes: Vec<_> = gone.map(CertificateChange::DropNote).collect();
    let is_wanted = |note: &Note| wanted.iter().any(|one| one.fingerprint == note.fingerprint);
    let (current, stale): (Vec<&Note>, Vec<&Note>) =
        there.into_iter().partition(|note| is_wanted(note));
    let mut stale = stale.into_iter().filter(|_| prune).cloned();
    let mut served: BTreeSet<&Fingerprint> = current.iter().map(|note| &note.fingerprint).collect();
    for one in wanted {
        if served.insert(&one.fingerprint) {
            let one = (*one).clone();
            changes.push(match stale.next() {
                Some(note) => CertificateChange::Replace(note, one),
                None => CertificateChange::Upload(one),
            });
        }
    }
    changes.extend(stale.map(CertificateChange::Delete));
    changes
}
