//! XBackendTrafficPolicies: which of them holds for a backend.

use std::collections::{BTreeMap, HashMap};

use super::policy::{Ancestors, PolicyResolution, conflict};
use super::{Refusal, listed};
use crate::gateway::{
    BACKEND_TRAFFIC_POLICY_KIND, BackendName, BackendTrafficPolicy, EXPERIMENTAL_GROUP,
};
use crate::names::ObjectRef;
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// The policies of a snapshot, the older ones first.
pub(super) struct BackendTraffic<'s> {
    policies: Vec<Judged<'s>>,
    /// The policies that are for a backend, the one that holds first.
    by_target: HashMap<BackendName<'s>, Vec<usize>>,
}

struct Judged<'s> {
    policy: &'s BackendTrafficPolicy,
    /// Why it is not accepted.
    refusal: Option<Refusal>,
    /// Whether it is carried out where it goes first.
    is_valid: bool,
}

impl<'s> BackendTraffic<'s> {
    pub(super) fn new(snapshot: &'s ClusterSnapshot) -> Self {
        let items = snapshot.backend_traffic_policies.items();
        let mut sorted: Vec<&BackendTrafficPolicy> = items.iter().collect();
        sorted.sort_by_key(|policy| (policy.created, &policy.key));
        let mut by_target: HashMap<BackendName<'_>, Vec<usize>> = HashMap::new();
        let mut policies: Vec<Judged<'_>> = Vec::with_capacity(sorted.len());
        for (index, policy) in sorted.into_iter().enumerate() {
            let mut lost = Vec::new();
            for target in &policy.targets {
                let Some(name) = BackendName::of(&target.object) else {
                    continue;
                };
                let there = by_target.entry(name).or_default();
                let older = there.first().and_then(|first| policies.get(*first));
                lost.extend(
                    older.map(|older| conflict(&reference(policy), target, &older.policy.key)),
                );
                if !there.contains(&index) {
                    there.push(index);
                }
            }
            let invalid = invalid(policy);
            policies.push(Judged {
                policy,
                is_valid: invalid.is_none(),
                refusal: match lost.is_empty() {
                    true => invalid,
                    false => Some(Refusal::new(Reason::Conflicted, listed(lost))),
                },
            });
        }
        Self {
            policies,
            by_target,
        }
    }

    /// What holds for a backend. One that cannot be acted upon holds nothing, and no younger one takes its place: who mends it
    /// has what the younger one never had.
    pub(super) fn of(&self, name: BackendName<'_>) -> Option<&'s BackendTrafficPolicy> {
        let first = self.by_target.get(&name)?.first()?;
        let judged = self.policies.get(*first).filter(|it| it.is_valid)?;
        Some(judged.policy)
    }

    /// The policies that are for a backend, whichever of them holds.
    pub(super) fn touching<'a>(
        &'a self,
        name: BackendName<'a>,
    ) -> impl Iterator<Item = usize> + 'a {
        let found = self.by_target.get(&name);
        found.into_iter().flatten().copied()
    }

    /// The policies, with the Gateways that have a route to each.
    pub(super) fn resolved(self, mut ancestors: Ancestors) -> Vec<PolicyResolution> {
        let policies = self.policies.into_iter().enumerate();
        policies
            .map(|(index, judged)| PolicyResolution {
                policy: reference(judged.policy),
                generation: judged.policy.generation,
                refusal: judged.refusal,
                references: None,
                warnings: Vec::new(),
                ancestors: ancestors.remove(&index).unwrap_or_default(),
                refused_at: BTreeMap::new(),
                trusted: Vec::new(),
            })
            .collect()
    }
}

fn reference(policy: &BackendTrafficPolicy) -> ObjectRef {
    ObjectRef {
        group: EXPERIMENTAL_GROUP.to_owned(),
        kind: BACKEND_TRAFFIC_POLICY_KIND.to_owned(),
        key: policy.key.clone(),
    }
}

/// What its author wrote and cannot be acted upon.
fn invalid(policy: &BackendTrafficPolicy) -> Option<Refusal> {
    if policy.field_errors.is_empty() {
        return None;
    }
    let mut field_errors = policy.field_errors.clone();
    field_errors.sort();
    let sentences = field_errors.iter().map(ToString::to_string);
    let message = format!("{}: {}", reference(policy), listed(sentences));
    Some(Refusal::new(Reason::Invalid, message))
}
