//! Statuses in the Gateway API's own JSON.

use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP, ParentRef, RouteKind};
use domain::status::{Condition, Part, StatusUpdate};
use serde_json::{Map, Value, json};

use crate::kind::{Kind, StatusShape};

mod details;

/// Fields that tell the entries of a list in a status apart.
const IDENTITY: [&str; 4] = ["name", "controllerName", "parentRef", "ancestorRef"];

/// The kind of the object that an update is about.
pub fn kind_of(update: &StatusUpdate) -> Kind {
    Kind::of_object(&update.object).expect("every kind that is reported on is in the table")
}

/// Whether two entries of a list in a status are about the same listener, or the same reference.
pub fn is_same_entry(one: &Value, other: &Value) -> bool {
    IDENTITY.iter().all(|field| one[*field] == other[*field])
}

/// `status` of an update; of a list for the entries of all controllers, our entries alone. Conditions that did not flip
/// keep their `lastTransitionTime` of `earlier`, the same object's status as it was written before (null where there is
/// none); others get `now`. A condition of a later generation than the
/// update's stays, and so does an entry without conditions.
pub fn status(update: &StatusUpdate, earlier: &Value, now: &str) -> Value {
    let mut status = Map::new();
    let (list, reference) = match kind_of(update).status() {
        Some(StatusShape::Listeners) => {
            let addresses = update.addresses.iter();
            let addresses = addresses.map(|value| json!({ "type": "Hostname", "value": value }));
            status.insert("addresses".to_owned(), addresses.collect());
            ("listeners", "")
        }
        Some(StatusShape::ListenerEntries) => ("listeners", ""),
        Some(StatusShape::References { list, reference }) => (list, reference),
        Some(StatusShape::Details) => {
            let details = update.details.as_deref();
            let fields = details.map(|details| details::fields(details, earlier));
            status.extend(fields.unwrap_or_default());
            ("", "")
        }
        Some(StatusShape::LoadBalancer) => ("parents", "parentRef"),
        Some(StatusShape::Conditions) | None => ("", ""),
    };
    let mut entries = Vec::new();
    for part in &update.parts {
        let mut entry = match &part.part {
            Part::Object => {
                let conditions = conditions_of(&part.conditions, earlier, now);
                status.insert("conditions".to_owned(), conditions);
                continue;
            }
            Part::Listener {
                name,
                supported_kinds,
                attached_routes,
            } => {
                let kinds = supported_kinds.iter().map(|kind| route_kind(*kind));
                json!({
                    "name": name,
                    "supportedKinds": kinds.collect::<Value>(),
                    "attachedRoutes": attached_routes,
                })
            }
            Part::ListenerSets { attached } => {
                status.insert("attachedListenerSets".to_owned(), json!(attached));
                continue;
            }
            Part::LoadBalancer { hostnames } => {
                let ingress = hostnames.iter();
                let ingress: Value = ingress
                    .map(|name| json!({ "hostname": name.as_str() }))
                    .collect();
                status.insert("loadBalancer".to_owned(), json!({ "ingress": ingress }));
                continue;
            }
            Part::Parent(parent) => json!({
                "controllerName": CONTROLLER_NAME,
                reference: parent_ref(parent),
            }),
        };
        let before = find(&earlier[list], |before| is_same_entry(before, &entry));
        if part.conditions.is_empty() {
            entries.extend((!before.is_null()).then(|| before.clone()));
            continue;
        }
        entry["conditions"] = conditions_of(&part.conditions, before, now);
        entries.push(entry);
    }
    if !list.is_empty() {
        status.insert(list.to_owned(), entries.into());
    }
    status.into()
}

fn route_kind(kind: RouteKind) -> Value {
    json!({ "group": GATEWAY_GROUP, "kind": kind.as_str() })
}

/// The reference as the route's author wrote it: no namespace where none was written.
fn parent_ref(parent: &ParentRef) -> Value {
    let target = &parent.target;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("group", json!(target.group));
    put("kind", json!(target.kind));
    if parent.namespace_written {
        put("namespace", json!(target.key.namespace));
    }
    put("name", json!(target.key.name));
    if let Some(section) = &parent.section {
        put("sectionName", json!(section));
    }
    if let Some(port) = parent.port {
        put("port", json!(port));
    }
    Value::Object(fields)
}

fn conditions_of(conditions: &[Condition], earlier: &Value, now: &str) -> Value {
    let condition = |condition: &Condition| {
        let (kind, status) = (condition.kind.as_str(), condition.truth.as_str());
        let there = find(&earlier["conditions"], |entry| entry["type"] == kind);
        let judged = there["observedGeneration"].as_i64();
        if judged.is_some_and(|judged| judged > condition.generation) {
            return there.clone();
        }
        let before = find(&earlier["conditions"], |entry| {
            entry["type"] == kind && entry["status"] == status
        });
        let since = before["lastTransitionTime"].as_str().unwrap_or(now);
        json!({
            "type": kind,
            "status": status,
            "reason": condition.reason.as_str(),
            "message": condition.message,
            "observedGeneration": condition.generation,
            "lastTransitionTime": since,
        })
    };
    conditions.iter().map(condition).collect()
}

fn find(list: &Value, is_it: impl Fn(&Value) -> bool) -> &Value {
    let mut entries = list.as_array().into_iter().flatten();
    entries.find(|entry| is_it(entry)).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use domain::status::{ConditionType, Reason, Truth};

    use super::*;

    #[test]
    fn a_condition_of_a_later_generation_is_not_overwritten() {
        for (there, stays) in [
            (Some(1), false),
            (Some(2), false),
            (Some(3), true),
            (None, false),
        ] {
            let earlier = json!({ "conditions": [
                { "type": "Accepted", "status": "False", "observedGeneration": there },
                { "type": "Programmed", "status": "False", "observedGeneration": 9 },
            ] });
            let condition = Condition {
                kind: ConditionType::Accepted,
                truth: Truth::True,
                reason: Reason::Accepted,
                message: String::new(),
                generation: 2,
            };
            let written = conditions_of(&[condition], &earlier, "now");
            let is_earlier = written[0] == earlier["conditions"][0];
            assert_eq!(is_earlier, stays, "{there:?}: {written}");
        }
    }
}
