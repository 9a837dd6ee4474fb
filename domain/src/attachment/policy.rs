//! What all kinds of policies that are for backends have in common (GEP-713): who may name a target first, and for which
//! Gateways that matters.

use std::collections::{BTreeMap, BTreeSet};

use super::Refusal;
use crate::gateway::PolicyTarget;
use crate::names::{ObjectKey, ObjectRef};

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyResolution {
    pub policy: ObjectRef,
    pub generation: i64,
    /// Why it is not accepted.
    pub refusal: Option<Refusal>,
    /// Whether its references resolve, and why not; `None` where its kind has no references.
    pub references: Option<Result<(), Refusal>>,
    /// What of it has no effect though it is accepted, as sentences.
    pub warnings: Vec<String>,
    /// Gateways with a route to one of its targets. Of a BackendTLSPolicy, as many as it can be carried out on.
    pub ancestors: BTreeSet<ObjectKey>,
    /// Why single ones of these do not accept it.
    pub refused_at: BTreeMap<ObjectKey, Refusal>,
    /// ConfigMaps and Secrets that it may trust, whether they are there or not.
    pub trusted: Vec<ObjectRef>,
}

/// Entries that the status of a policy has room for. A BackendTLSPolicy is carried out on as many Gateways, and counts as one
/// that cannot be on others (Gateway API, `PolicyStatus.ancestors`).
pub(crate) const MOST_ANCESTORS: usize = 16;

/// For each policy, by its position, the Gateways with a route to one of its targets.
pub(super) type Ancestors = BTreeMap<usize, BTreeSet<ObjectKey>>;

/// That an older policy of the same kind is for the same target.
pub(super) fn conflict(policy: &ObjectRef, target: &PolicyTarget, older: &ObjectKey) -> String {
    let section = target.section.as_deref();
    let section = section.map_or_else(String::new, |name| format!(", port {name}"));
    format!(
        "{policy}: spec.targetRefs: {} {older} is for {}{section} too and goes first; remove one of them",
        policy.kind, target.object
    )
}
