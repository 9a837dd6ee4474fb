//! What is there and what is to be there.

use adapter_gateway_api::status::is_same_entry;
use domain::gateway::CONTROLLER_NAME;
use domain::status::ConditionType;
use serde_json::{Value, json};

/// A status with our entries of a list in place of the earlier ones of ours; others' stay where they are.
/// `None` where that changes nothing.
pub(super) fn entries(list: &str, earlier: &Value, ours: &Value) -> Option<Value> {
    let there = items(&earlier[list]);
    let mut left: Vec<&Value> = items(&ours[list]).iter().collect();
    let mut merged = Vec::with_capacity(there.len() + left.len());
    for entry in there {
        if entry["controllerName"] != CONTROLLER_NAME {
            merged.push(entry.clone());
            continue;
        }
        // One that is not among ours any more is stale.
        let at = left.iter().position(|own| is_same_entry(own, entry));
        if let Some(at) = at {
            merged.push(left.remove(at).clone());
        }
    }
    merged.extend(left.into_iter().cloned());
    let differs = merged.len() != there.len()
        || merged
            .iter()
            .zip(there)
            .any(|(new, old)| new["controllerName"] == CONTROLLER_NAME && part_differs(new, old));
    differs.then(|| json!({ list: merged }))
}

/// Whether the status of a GatewayClass or Gateway says anything else than ours, where it is ours to say.
pub(super) fn differs(ours: &Value, there: &Value) -> bool {
    let listeners = || {
        let (new, old) = (items(&ours["listeners"]), items(&there["listeners"]));
        new.len() != old.len()
            || new.iter().any(|listener| {
                let old = old.iter().find(|old| is_same_entry(old, listener));
                old.is_none_or(|old| part_differs(listener, old))
            })
    };
    let same = |field: &str| items(&ours[field]) == items(&there[field]);
    conditions_differ(ours, there)
        || !same("addresses")
        || (ours["supportedFeatures"].is_array() && !same("supportedFeatures"))
        || listeners()
}

/// What a Service's load balancer is to tell in place of what it tells. `None` where that is the same, or where nothing is
/// to be told.
pub(super) fn load_balancer(ours: &Value, there: &Value) -> Option<Value> {
    let ingress = ours["loadBalancer"]["ingress"].as_array()?;
    let differs = ingress.as_slice() != items(&there["loadBalancer"]["ingress"]);
    differs.then(|| json!({ "loadBalancer": { "ingress": ingress } }))
}

/// Whether a listener, a parent or the status of a CloudflareGatewayStatus differs.
pub(super) fn part_differs(new: &Value, old: &Value) -> bool {
    let fields = new.as_object().into_iter().flatten();
    let mut others = fields.filter(|(name, _)| *name != "conditions");
    conditions_differ(new, old) || others.any(|(name, value)| old[name] != *value)
}

fn conditions_differ(new: &Value, old: &Value) -> bool {
    let (new, old) = (items(&new["conditions"]), items(&old["conditions"]));
    let ours: Vec<&Value> = old.iter().filter(|condition| is_ours(condition)).collect();
    ours.len() != new.len() || new.iter().any(|condition| !ours.contains(&condition))
}

/// Whether a condition is of a type that is written here. Others on the same object are others'.
fn is_ours(condition: &Value) -> bool {
    let kind = condition["type"].as_str().unwrap_or("");
    ConditionType::ALL.iter().any(|it| it.as_str() == kind)
}

/// The items; none where there is no list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
