//! Statuses of policies that are for backends: an entry for each Gateway with a route to a target.

use super::{Verdict, reference};
use crate::attachment::{MOST_ANCESTORS, PolicyResolution, listed};
use crate::gateway::ParentRef;
use crate::names::ObjectKey;
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

pub(super) fn status(policy: &PolicyResolution) -> StatusUpdate {
    let ancestors = policy.ancestors.iter().take(MOST_ANCESTORS);
    let parts = ancestors.map(|gateway| StatusPart {
        part: Part::Parent(ParentRef {
            target: reference("Gateway", gateway),
            namespace_written: true,
            section: None,
            port: None,
        }),
        gateway: Some(gateway.clone()),
        conditions: conditions(policy, gateway),
    });
    StatusUpdate {
        object: policy.policy.clone(),
        addresses: Vec::new(),
        details: None,
        parts: parts.collect(),
    }
}

fn conditions(policy: &PolicyResolution, gateway: &ObjectKey) -> Vec<Condition> {
    let refusal = policy.refusal.as_ref();
    let refusal = refusal.or_else(|| policy.refused_at.get(gateway));
    let accepted = Verdict::of(refusal, || {
        let mut message = format!("{} is carried out", policy.policy);
        if !policy.warnings.is_empty() {
            let warnings = listed(policy.warnings.iter().cloned());
            message.push_str(&format!("; without effect: {warnings}"));
        }
        Verdict::new(Truth::True, Reason::Accepted, message)
    });
    let references = policy.references.as_ref().map(|references| {
        let verdict = Verdict::of(references.as_ref().err(), || {
            let message = "every reference of the policy resolves";
            Verdict::new(Truth::True, Reason::ResolvedRefs, message)
        });
        (ConditionType::ResolvedRefs, verdict)
    });
    let verdicts = [(ConditionType::Accepted, accepted)].into_iter();
    let conditions = verdicts.chain(references);
    let conditions = conditions.map(|(kind, verdict)| verdict.condition(kind, policy.generation));
    conditions.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_policy_has_an_entry_for_each_gateway_and_at_most_sixteen() {
        let accepted = [ConditionType::Accepted].as_slice();
        let with_references = [ConditionType::Accepted, ConditionType::ResolvedRefs].as_slice();
        for (gateways, references, entries, told) in [
            (0, Some(Ok(())), 0, with_references),
            (2, Some(Ok(())), 2, with_references),
            (16, None, 16, accepted),
            (20, Some(Ok(())), 16, with_references),
        ] {
            let ancestors = (0..gateways).map(|i| ObjectKey::new("infra", format!("gw-{i}")));
            let update = status(&PolicyResolution {
                policy: reference("BackendTLSPolicy", &ObjectKey::new("shop", "tls")),
                generation: 3,
                refusal: None,
                references,
                warnings: Vec::new(),
                ancestors: ancestors.collect(),
                refused_at: BTreeMap::new(),
                trusted: Vec::new(),
            });
            assert_eq!(update.parts.len(), entries);
            for part in update.parts {
                let kinds = part.conditions.iter().map(|it| it.kind);
                assert_eq!(kinds.collect::<Vec<_>>(), told);
                assert!(part.conditions.iter().all(|it| it.generation == 3));
            }
        }
    }
}
