//! `spec.parentRefs` of a route, or `spec.parentRef` of a ListenerSet, of which nothing else may be readable.

use std::collections::BTreeSet;

use domain::gateway::{GATEWAY_GROUP, LISTENER_SET_KIND};
use domain::{ObjectKey, ObjectRef};
use serde::Deserialize;

/// What an object names as its parents.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ParentRefs(Vec<Parent>);

/// What a ListenerSet names as its parent.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct OnlyParentRef(Parent);

#[derive(Debug, Deserialize)]
struct Parent {
    group: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: String,
}

impl ParentRefs {
    /// The Gateways and ListenerSets among them, for an object of this namespace.
    pub fn targets(self, namespace: &str) -> BTreeSet<ObjectRef> {
        let targets = self.0.into_iter().map(|parent| parent.target(namespace));
        targets
            .filter(|target| {
                target.group == GATEWAY_GROUP
                    && ["Gateway", LISTENER_SET_KIND].contains(&target.kind.as_str())
            })
            .collect()
    }
}

impl From<OnlyParentRef> for ParentRefs {
    fn from(OnlyParentRef(parent): OnlyParentRef) -> Self {
        Self(vec![parent])
    }
}

impl Parent {
    fn target(self, own: &str) -> ObjectRef {
        let namespace = self.namespace.unwrap_or_else(|| own.to_owned());
        ObjectRef {
            group: self.group.unwrap_or_else(|| GATEWAY_GROUP.to_owned()),
            kind: self.kind.unwrap_or_else(|| "Gateway".to_owned()),
            key: ObjectKey::new(namespace, self.name),
        }
    }
}
