//! What is there and what is to be there.

use adapter_gateway_api::status::is_same_entry;
use domain::gateway::CONTROLLER_NAME;
use domain::status::ConditionType;
use serde_json::{Value, json};

/// Entries of `status.ancestors` that the API server takes (Gateway API, `PolicyStatus`).
const MOST_ANCESTORS: usize = 16;

/// Conditions that the API server takes in one entry (Gateway API, `RouteParentStatus`, `PolicyAncestorStatus`).
const MOST_CONDITIONS: usize = 8;

/// A status with our entries of a list in place of the earlier ones of ours; others' stay where they are, and so
/// do conditions of others in entries of ours.
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
            merged.push(with_others(left.remove(at), entry));
        }
    }
    merged.extend(left.into_iter().cloned());
    if list == "ancestors" {
        // Where others have entries, there is room for fewer of ours.
        merged.truncate(MOST_ANCESTORS);
    }
    let differs = merged.len() != there.len()
        || merged
            .iter()
            .zip(there)
            .any(|(new, old)| new["controllerName"] == CONTROLLER_NAME && part_differs(new, old));
    differs.then(|| json!({ list: merged }))
}

/// An entry of ours with the conditions that others put into it. Where there is no room for all, ours go first: without them
/// the API server would take none.
fn with_others(own: &Value, earlier: &Value) -> Value {
    let mut conditions = items(&own["conditions"]).to_vec();
    let of_others = items(&earlier["conditions"])
        .iter()
        .filter(|it| !is_ours(it));
    let room = MOST_CONDITIONS.saturating_sub(conditions.len());
    conditions.extend(of_others.take(room).cloned());
    let mut entry = own.clone();
    entry["conditions"] = conditions.into();
    entry
}

/// Whether the status of a GatewayClass, Gateway or ListenerSet says anything else than ours, where it is ours to say.
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
        || ours["attachedListenerSets"] != there["attachedListenerSets"]
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
    let ours = |of: &Value| -> Vec<Value> {
        let all = items(&of["conditions"]).iter();
        all.filter(|condition| is_ours(condition))
            .cloned()
            .collect()
    };
    let (new, old) = (ours(new), ours(old));
    old.len() != new.len() || new.iter().any(|condition| !old.contains(condition))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: &str) -> Value {
        json!({ "type": kind, "status": status })
    }

    fn entry(controller: &str, name: &str, conditions: &[Value]) -> Value {
        json!({
            "controllerName": controller,
            "ancestorRef": { "name": name },
            "parentRef": { "name": name },
            "conditions": conditions,
        })
    }

    #[test]
    fn conditions_of_others_in_an_entry_of_ours_stay_as_far_as_there_is_room() {
        let ours = |status| entry(CONTROLLER_NAME, "web", &[condition("Accepted", status)]);
        let with = |status, others: usize| {
            let others = (0..others).map(|i| condition(&format!("example.com/{i}"), "True"));
            let all: Vec<Value> = [condition("Accepted", status)]
                .into_iter()
                .chain(others)
                .collect();
            entry(CONTROLLER_NAME, "web", &all)
        };
        for list in ["parents", "ancestors"] {
            for (there, wanted, written) in [
                (with("False", 2), ours("True"), Some(with("True", 2))),
                (with("True", 2), ours("True"), None),
                (with("False", 9), ours("True"), Some(with("True", 7))),
                (with("True", 7), ours("True"), None),
            ] {
                let earlier = json!({ list: [there] });
                let merged = entries(list, &earlier, &json!({ list: [wanted] }));
                assert_eq!(merged, written.map(|it| json!({ list: [it] })), "{earlier}");
            }
        }
        // One of ours that does not hold any more goes.
        let there = [
            condition("Accepted", "True"),
            condition("PartiallyInvalid", "True"),
        ];
        let earlier = json!({ "parents": [entry(CONTROLLER_NAME, "web", &there)] });
        let wanted = json!({ "parents": [ours("True")] });
        assert_eq!(entries("parents", &earlier, &wanted), Some(wanted));
    }

    #[test]
    fn ancestors_of_ours_get_the_places_that_others_leave_of_sixteen() {
        let others = |count: usize| (0..count).map(|i| entry("example.com/c", &i.to_string(), &[]));
        let own = |name: &str| entry(CONTROLLER_NAME, name, &[condition("Accepted", "True")]);
        for (of_others, there, wanted, written) in [
            (14, &[][..], &["a", "b", "c"][..], Some(&["a", "b"][..])),
            (14, &["b"], &["a", "b"], Some(&["b", "a"])),
            (15, &["a"], &["a", "b"], None),
            (15, &["a"], &["b"], Some(&["b"])),
            (16, &[], &["a"], None),
            (1, &["a", "b"], &[], Some(&[])),
        ] {
            let own = |names: &[&str]| names.iter().map(|name| own(name)).collect::<Vec<_>>();
            let whole = |names: &[&str]| -> Value {
                let all: Vec<Value> = others(of_others).chain(own(names)).collect();
                json!({ "ancestors": all })
            };
            let merged = entries(
                "ancestors",
                &whole(there),
                &json!({ "ancestors": own(wanted) }),
            );
            assert_eq!(
                merged,
                written.map(whole),
                "{of_others} {there:?} {wanted:?}"
            );
        }
    }
}
