//! `spec.parentRefs` of a route of which nothing else may be readable.

use std::collections::BTreeSet;

use domain::ObjectKey;
use domain::gateway::GATEWAY_GROUP;
use serde::Deserialize;

/// What a route names as its parents.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ParentRefs(Vec<Parent>);

#[derive(Debug, Deserialize)]
struct Parent {
    group: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: String,
}

impl ParentRefs {
    /// The Gateways among them, for a route of this namespace.
    pub fn gateways(self, namespace: &str) -> BTreeSet<ObjectKey> {
        let gateways = self.0.into_iter().filter(Parent::is_gateway);
        gateways
            .map(|parent| {
                let own = || namespace.to_owned();
                ObjectKey::new(parent.namespace.unwrap_or_else(own), parent.name)
            })
            .collect()
    }
}

impl Parent {
    fn is_gateway(&self) -> bool {
        self.group.as_deref().unwrap_or(GATEWAY_GROUP) == GATEWAY_GROUP
            && self.kind.as_deref().unwrap_or("Gateway") == "Gateway"
    }
}
