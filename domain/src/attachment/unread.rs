//! What could not be read, and whether it matters.

use std::collections::BTreeMap;

use super::credentials::{ClassParameters, of_class};
use super::listener_set::{ListenerSets, all_listeners};
use super::view;
use crate::gateway::{AllowedNamespaces, BackendKind, Gateway, GatewayClass, Listener};
use crate::snapshot::{ClusterSnapshot, ObjectKind};

/// The kinds that a resolution of this snapshot misses. Namespaces count only where a listener, or the parameters of a class,
/// select by their labels, ServiceImports and XBackends only where a
/// route or a listener names one.
pub(super) fn unread(snapshot: &ClusterSnapshot, controller: &str) -> BTreeMap<ObjectKind, String> {
    let mut unread = snapshot.unread();
    if !selects_namespaces(snapshot, controller) {
        unread.remove(&ObjectKind::Namespace);
    }
    for (kind, object) in [
        (BackendKind::ServiceImport, ObjectKind::ServiceImport),
        (BackendKind::External, ObjectKind::ExternalBackend),
    ] {
        if unread.contains_key(&object) && !is_named(kind, snapshot) {
            unread.remove(&object);
        }
    }
    unread
}

/// Whether a route or a listener names a backend of this kind.
fn is_named(kind: BackendKind, snapshot: &ClusterSnapshot) -> bool {
    let routes = snapshot.routes.items().iter();
    let of_gateways = snapshot
        .gateways
        .items()
        .iter()
        .flat_map(|it| &it.listeners);
    let of_sets = snapshot
        .listener_sets
        .items()
        .iter()
        .flat_map(|it| &it.listeners);
    let listeners = of_gateways.chain(of_sets);
    let mut references = routes
        .flat_map(|route| route.references())
        .chain(listeners.flat_map(Listener::references));
    references.any(|object| BackendKind::of(object) == Some(kind))
}

fn selects_namespaces(snapshot: &ClusterSnapshot, controller: &str) -> bool {
    let sets = ListenerSets::new(snapshot);
    view::gateways_of(snapshot, controller).any(|gateway| by_labels(gateway, &sets))
        || view::classes_of(snapshot, controller).any(|class| selects_by_class(class, snapshot))
}

/// Whether a Gateway, a listener of it or one of its ListenerSets selects namespaces by their labels.
pub(super) fn by_labels(gateway: &Gateway, sets: &ListenerSets<'_>) -> bool {
    let is_selector =
        |allowed: &AllowedNamespaces| matches!(allowed, AllowedNamespaces::Selector(_));
    is_selector(&gateway.allowed_listeners)
        || all_listeners(gateway, sets).any(|(_, listener)| is_selector(&listener.namespaces))
}

fn selects_by_class(class: &GatewayClass, snapshot: &ClusterSnapshot) -> bool {
    let Ok(ClassParameters::Object(object)) = of_class(class, snapshot) else {
        return false;
    };
    let tenants = object.tenants.iter().flatten();
    let of_services = object.services.iter();
    let of_services = of_services.filter_map(|services| services.namespaces.as_ref());
    let external = object.external_hosts.iter().flatten();
    let external = external.map(|entry| &entry.namespaces);
    let selectors = tenants.map(|tenant| &tenant.namespaces).chain(of_services);
    let mut selectors = selectors.chain(external);
    selectors.any(|selector| !selector.rules.is_empty())
}
