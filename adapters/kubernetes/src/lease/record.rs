//! What is written in a Lease, and what one that watches it may conclude.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use tokio::time::Instant;

use super::options::LeaseOptions;
use crate::owner::with_owner;

/// A Lease as it was last seen to change, by this instance's own clock.
#[derive(Debug, Default)]
pub(super) struct Record {
    seen: Option<(LeaseSpec, Instant)>,
}

impl Record {
    /// When the Lease may be taken: now if it has no holder, else its duration after it was last seen to change.
    pub(super) fn observe(&mut self, lease: &Lease, now: Instant) -> Instant {
        let spec = lease.spec.clone().unwrap_or_default();
        if holder_of(lease).is_none() {
            return now;
        }
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => now,
        };
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        self.seen = Some((spec, since));
        since + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

/// The holder, if there is one.
pub(super) fn holder_of(lease: &Lease) -> Option<String> {
    let holder = lease.spec.as_ref()?.holder_identity.clone();
    holder.filter(|holder| !holder.is_empty())
}

/// The term in which its holder leads.
pub(super) fn term(lease: &Lease) -> u64 {
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
    u64::try_from(transitions.unwrap_or(0)).unwrap_or(0)
}

/// Whether both are of the same holder in the same term.
pub(super) fn is_same_term(lease: &Lease, other: &Lease) -> bool {
    holder_of(lease) == holder_of(other) && term(lease) == term(other)
}

/// A free Lease, taken in a new term. The first term of a new Lease is the minutes since the epoch, so that terms
/// go on growing when the Lease was deleted.
pub(super) fn taken(free: Option<&Lease>, options: &LeaseOptions, now: Timestamp) -> Lease {
    let transitions = match free {
        Some(lease) => lease.spec.as_ref().and_then(|spec| spec.lease_transitions),
        None => None,
    };
    let transitions = match transitions {
        Some(transitions) => transitions.saturating_add(1),
        None => i32::try_from(now.as_second() / 60).unwrap_or(1),
    };
    let mut metadata = free.map_or_else(
        || ObjectMeta {
            name: Some(options.name.clone()),
            namespace: Some(options.namespace.clone()),
            ..ObjectMeta::default()
        },
        |lease| lease.metadata.clone(),
    );
    if let Some(owner) = &options.owner {
        metadata.owner_references = Some(with_owner(metadata.owner_references, owner));
    }
    Lease {
        metadata,
        spec: Some(LeaseSpec {
            holder_identity: Some(options.holder()),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_duration_seconds: i32::try_from(options.duration.as_secs().max(1)).ok(),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }),
    }
}

/// The same term, renewed.
pub(super) fn renewed(lease: &Lease, now: Timestamp) -> Lease {
    let mut next = lease.clone();
    if let Some(spec) = &mut next.spec {
        spec.renew_time = Some(MicroTime(now));
    }
    next
}

/// Given up: the term stays written, so that the next one is higher.
pub(super) fn freed(lease: &Lease, now: Timestamp) -> Lease {
    let mut next = renewed(lease, now);
    if let Some(spec) = &mut next.spec {
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
    }
    next
}
