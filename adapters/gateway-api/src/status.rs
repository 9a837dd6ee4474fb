//! Statuses in the Gateway API's own JSON.

use std::fmt;

use domain::ObjectKey;
use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP, ParentRef, RouteKind};
use domain::status::{Condition, GatewayStatus, ListenerStatus, RouteParentStatus, StatusUpdate};
use serde_json::{Map, Value, json};

use crate::kind::{Kind, Scope};

/// The object that a status is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Group, version, plural and shape of the status follow from it.
    pub kind: Kind,
    /// The key of a class has no namespace.
    pub key: ObjectKey,
}

impl Subject {
    /// The object that an update is about.
    pub fn of(update: &StatusUpdate) -> Self {
        let (kind, key) = match update {
            StatusUpdate::Class { name, .. } => (Kind::GatewayClass, ObjectKey::new("", name)),
            StatusUpdate::Gateway { key, .. } => (Kind::Gateway, key.clone()),
            StatusUpdate::Route { kind, key, .. } => ((*kind).into(), key.clone()),
        };
        Self { kind, key }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.scope() {
            Scope::Cluster => write!(f, "{} {}", self.kind.as_str(), self.key.name),
            Scope::Namespaced => write!(f, "{} {}", self.kind.as_str(), self.key),
        }
    }
}

/// `status` of an update; of a route, our entries alone. Conditions that did not flip keep their `lastTransitionTime` of `earlier`, the
/// same object's status as it was written before (null where there is none); others get `now`.
pub fn status(update: &StatusUpdate, earlier: &Value, now: &str) -> Value {
    match update {
        StatusUpdate::Class { conditions, .. } => {
            json!({ "conditions": conditions_of(conditions, earlier, now) })
        }
        StatusUpdate::Gateway { status, .. } => gateway(status, earlier, now),
        StatusUpdate::Route { parents, .. } => {
            let parents = parents.iter().map(|status| parent(status, earlier, now));
            json!({ "parents": parents.collect::<Vec<_>>() })
        }
    }
}

fn gateway(status: &GatewayStatus, earlier: &Value, now: &str) -> Value {
    let addresses = status.addresses.iter();
    let addresses = addresses.map(|address| json!({ "type": "Hostname", "value": address }));
    let listeners = status.listeners.iter();
    let listeners = listeners.map(|status| listener(status, earlier, now));
    json!({
        "addresses": addresses.collect::<Vec<_>>(),
        "conditions": conditions_of(&status.conditions, earlier, now),
        "listeners": listeners.collect::<Vec<_>>(),
    })
}

fn listener(status: &ListenerStatus, gateway: &Value, now: &str) -> Value {
    let earlier = find(&gateway["listeners"], |entry| {
        entry["name"] == status.name.as_str()
    });
    let kinds = status.supported_kinds.iter().map(|kind| route_kind(*kind));
    json!({
        "name": status.name,
        "supportedKinds": kinds.collect::<Vec<_>>(),
        "attachedRoutes": status.attached_routes,
        "conditions": conditions_of(&status.conditions, earlier, now),
    })
}

fn route_kind(kind: RouteKind) -> Value {
    json!({ "group": GATEWAY_GROUP, "kind": kind.as_str() })
}

fn parent(status: &RouteParentStatus, route: &Value, now: &str) -> Value {
    let reference = parent_ref(&status.parent);
    let earlier = find(&route["parents"], |entry| {
        entry["controllerName"] == CONTROLLER_NAME && entry["parentRef"] == reference
    });
    json!({
        "parentRef": reference,
        "controllerName": CONTROLLER_NAME,
        "conditions": conditions_of(&status.conditions, earlier, now),
    })
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

fn conditions_of(conditions: &[Condition], earlier: &Value, now: &str) -> Vec<Value> {
    let condition = |condition: &Condition| {
        let (kind, status) = (condition.kind.as_str(), condition.truth.as_str());
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
