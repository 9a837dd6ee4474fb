//! What could not be read, and whether it matters.

use std::collections::BTreeMap;

use super::credentials::{ClassParameters, of_class};
use super::view;
use crate::gateway::{AllowedNamespaces, GatewayClass};
use crate::snapshot::{ClusterSnapshot, ObjectKind};

/// The kinds that a resolution of this snapshot misses. Namespaces count only where a listener, or the parameters of a class,
/// select by their labels.
pub(super) fn unread(snapshot: &ClusterSnapshot, controller: &str) -> BTreeMap<ObjectKind, String> {
    let mut unread = snapshot.unread();
    if !selects_namespaces(snapshot, controller) {
        unread.remove(&ObjectKind::Namespace);
    }
    unread
}

fn selects_namespaces(snapshot: &ClusterSnapshot, controller: &str) -> bool {
    view::gateways_of(snapshot, controller)
        .flat_map(|gateway| &gateway.listeners)
        .any(|listener| matches!(listener.namespaces, AllowedNamespaces::Selector(_)))
        || view::classes_of(snapshot, controller).any(|class| selects_by_class(class, snapshot))
}

fn selects_by_class(class: &GatewayClass, snapshot: &ClusterSnapshot) -> bool {
    let Ok(ClassParameters::Object(object)) = of_class(class, snapshot) else {
        return false;
    };
    let tenants = object.tenants.iter().flatten();
    let of_services = object.services.iter();
    let of_services = of_services.filter_map(|services| services.namespaces.as_ref());
    let mut selectors = tenants.map(|tenant| &tenant.namespaces).chain(of_services);
    selectors.any(|selector| !selector.rules.is_empty())
}
