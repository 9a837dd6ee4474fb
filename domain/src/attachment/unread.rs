//! What could not be read, and whether it matters.

use std::collections::BTreeMap;

use super::credentials::{ClassParameters, of_class};
use super::view;
use crate::gateway::{AllowedNamespaces, GatewayClass};
use crate::snapshot::{ClusterSnapshot, Reading};

/// Kinds of object that verdicts depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    GatewayClass,
    Gateway,
    Route,
    ReferenceGrant,
    Service,
    EndpointSlice,
    /// Namespaces; they count only where a listener, or an entry of a class's tenants, selects by their labels.
    Namespace,
}

impl ObjectKind {
    /// The plural, for messages.
    pub fn plural(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClasses",
            Self::Gateway => "Gateways",
            Self::Route => "routes",
            Self::ReferenceGrant => "ReferenceGrants",
            Self::Service => "Services",
            Self::EndpointSlice => "EndpointSlices",
            Self::Namespace => "Namespaces",
        }
    }
}

/// The kinds that a resolution of this snapshot misses.
pub(super) fn unread(snapshot: &ClusterSnapshot, controller: &str) -> BTreeMap<ObjectKind, String> {
    let namespaces = if selects_namespaces(snapshot, controller) {
        why(&snapshot.namespaces)
    } else {
        None
    };
    [
        (ObjectKind::GatewayClass, why(&snapshot.classes)),
        (ObjectKind::Gateway, why(&snapshot.gateways)),
        (ObjectKind::Route, why(&snapshot.routes)),
        (ObjectKind::ReferenceGrant, why(&snapshot.grants)),
        (ObjectKind::Service, why(&snapshot.services)),
        (ObjectKind::EndpointSlice, why(&snapshot.endpoint_slices)),
        (ObjectKind::Namespace, namespaces),
    ]
    .into_iter()
    .filter_map(|(kind, why)| Some((kind, why?)))
    .collect()
}

fn why<T>(reading: &Reading<T>) -> Option<String> {
    match reading {
        Reading::Unknown(why) => Some(why.clone()),
        Reading::Known(_) | Reading::Absent => None,
    }
}

fn selects_namespaces(snapshot: &ClusterSnapshot, controller: &str) -> bool {
    view::gateways_of(snapshot, controller)
        .flat_map(|gateway| &gateway.listeners)
        .any(|listener| matches!(listener.namespaces, AllowedNamespaces::Selector(_)))
        || view::classes_of(snapshot, controller).any(|class| selects_tenants(class, snapshot))
}

fn selects_tenants(class: &GatewayClass, snapshot: &ClusterSnapshot) -> bool {
    let Ok(ClassParameters::Object(object)) = of_class(class, snapshot) else {
        return false;
    };
    let mut tenants = object.tenants.iter().flatten();
    tenants.any(|tenant| !tenant.namespaces.rules.is_empty())
}
