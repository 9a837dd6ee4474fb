//! Which Gateways lose nothing for now, because an object that could not be read may be theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::parent::gateway_of;
use crate::gateway::{
    AllowedNamespaces, GATEWAY_GROUP, Gateway, OWN_GROUP, PARAMETERS_KIND, Route, RouteKind,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::snapshot::{ClusterSnapshot, UnreadableObject};

/// Gateways that nothing may be taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retained {
    /// All of them: a kind was not read, or there are objects of which nothing is known.
    All,
    /// These, which the snapshot may not show.
    Only(BTreeSet<ObjectKey>),
}

impl Default for Retained {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl Retained {
    /// Whether nothing may be taken from this Gateway.
    pub fn contains(&self, gateway: &ObjectKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(gateways) => gateways.contains(gateway),
        }
    }

    /// The Gateways that are named.
    pub fn named(&self) -> impl Iterator<Item = &ObjectKey> {
        match self {
            Self::All => None,
            Self::Only(gateways) => Some(gateways),
        }
        .into_iter()
        .flatten()
    }
}

/// Which Gateways an unreadable object could concern. A kind that is absent (its CRD is gone) proves no more than one
/// that was not read: CRDs may be reinstalled, and then the Gateways come back.
pub fn retained(snapshot: &ClusterSnapshot) -> Retained {
    let is_complete = snapshot.unreadable.nameless.is_none()
        && snapshot.classes.known().is_some()
        && snapshot.gateways.known().is_some()
        && snapshot.routes.known().is_some()
        // A Gateway whose parameters were not read is kept as it is, and which names it may have is unknown.
        && !snapshot.parameters.is_unknown();
    if !is_complete {
        return Retained::All;
    }
    let objects = snapshot.unreadable.objects.iter();
    Retained::Only(
        objects
            .flat_map(|(object, found)| concerned(snapshot, object, found))
            .collect(),
    )
}

/// The Gateways that one unreadable object could concern. A Service may ask to be exposed. EndpointSlices say where
/// requests go and not what a Gateway has, and a Gateway whose class is not there loses nothing anyway.
fn concerned(
    snapshot: &ClusterSnapshot,
    object: &ObjectRef,
    found: &UnreadableObject,
) -> BTreeSet<ObjectKey> {
    let namespace = object.key.namespace.as_str();
    if object.group == GATEWAY_GROUP
        && let Some(kind) = RouteKind::named(&object.kind)
    {
        return of_route(snapshot, kind, &object.key, found);
    }
    match (object.group.as_str(), object.kind.as_str()) {
        (GATEWAY_GROUP, "Gateway") => [object.key.clone()].into(),
        (GATEWAY_GROUP, "ReferenceGrant") => those(snapshot, |gateway| {
            gateway.key.namespace != namespace && names_secret_in(gateway, namespace)
        }),
        (OWN_GROUP, PARAMETERS_KIND) => those(snapshot, |gateway| {
            gateway.parameters.as_ref() == Some(object) || class_names(snapshot, gateway, object)
        }),
        ("", "Service") => default_gateways(snapshot).cloned().collect(),
        ("", "Namespace") => {
            let selecting = those(snapshot, selects_namespaces).into_iter();
            selecting
                .chain(default_gateways(snapshot).cloned())
                .collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The Gateways that Services may be exposed through.
fn default_gateways(snapshot: &ClusterSnapshot) -> impl Iterator<Item = &ObjectKey> {
    let parameters = snapshot.parameters.items().iter();
    let services = parameters.filter_map(|parameters| parameters.services.as_ref());
    services.map(|services| &services.gateway)
}

fn those(snapshot: &ClusterSnapshot, is_one: impl Fn(&Gateway) -> bool) -> BTreeSet<ObjectKey> {
    let gateways = snapshot.gateways.items().iter();
    gateways
        .filter(|gateway| is_one(gateway))
        .map(|gateway| gateway.key.clone())
        .collect()
}

fn names_secret_in(gateway: &Gateway, namespace: &str) -> bool {
    let tls = gateway.listeners.iter().flat_map(|listener| &listener.tls);
    tls.flat_map(|tls| &tls.certificates)
        .any(|secret| secret.key.namespace == namespace)
}

fn class_names(snapshot: &ClusterSnapshot, gateway: &Gateway, object: &ObjectRef) -> bool {
    let mut classes = snapshot.classes.items().iter();
    classes.any(|class| class.name == gateway.class && class.parameters.as_ref() == Some(object))
}

fn selects_namespaces(gateway: &Gateway) -> bool {
    let mut listeners = gateway.listeners.iter();
    listeners.any(|listener| matches!(listener.namespaces, AllowedNamespaces::Selector(_)))
}

/// The Gateways that a route named when it was last read, and those that it names now; where that is not known, all
/// that take routes of its namespace.
fn of_route(
    snapshot: &ClusterSnapshot,
    kind: RouteKind,
    key: &ObjectKey,
    found: &UnreadableObject,
) -> BTreeSet<ObjectKey> {
    let mut routes = snapshot.routes.items().iter();
    let earlier = routes.find(|route| route.kind == kind && route.key == *key);
    let mut parents: BTreeSet<ObjectKey> = earlier.map(|route| parents(route)).unwrap_or_default();
    match &found.parents {
        Some(named) => parents.extend(named.iter().cloned()),
        None => parents.extend(those(snapshot, |gateway| {
            takes_routes_of(snapshot, gateway, &key.namespace)
        })),
    }
    parents
}

fn parents(route: &Route) -> BTreeSet<ObjectKey> {
    let gateways = route.parents.iter().filter_map(gateway_of);
    gateways.cloned().collect()
}

fn takes_routes_of(snapshot: &ClusterSnapshot, gateway: &Gateway, namespace: &str) -> bool {
    let is_own = gateway.key.namespace == namespace;
    let mut namespaces = snapshot.namespaces.items().iter();
    let labels = namespaces
        .find(|known| known.name == namespace)
        .map(|known| &known.labels);
    let mut listeners = gateway.listeners.iter();
    is_own
        || listeners.any(|listener| match &listener.namespaces {
            AllowedNamespaces::All => true,
            AllowedNamespaces::Same | AllowedNamespaces::None => false,
            // Unknown for a namespace that was not read.
            AllowedNamespaces::Selector(selector) => {
                labels.is_none_or(|labels| selector.selects(labels))
            }
        })
}

/// The hostnames that routes ask of Gateways which were never read, with the age of the oldest route that asks: while
/// it is not known what such a Gateway has, its names go to no other.
pub fn unread_claims(
    snapshot: &ClusterSnapshot,
) -> BTreeMap<ObjectKey, BTreeMap<Hostname, Timestamp>> {
    let unreadable = snapshot.unreadable.of_kind(GATEWAY_GROUP, "Gateway");
    let mut claims: BTreeMap<_, BTreeMap<Hostname, Timestamp>> = unreadable
        .map(|(gateway, _)| (gateway.clone(), BTreeMap::new()))
        .collect();
    for shown in snapshot.gateways.items() {
        claims.remove(&shown.key);
    }
    if claims.is_empty() {
        return claims;
    }
    for route in snapshot.routes.items() {
        for parent in parents(route) {
            let Some(names) = claims.get_mut(&parent) else {
                continue;
            };
            for hostname in &route.hostnames {
                let oldest = names.entry(hostname.clone()).or_insert(route.created);
                *oldest = route.created.min(*oldest);
            }
        }
    }
    for gateway in default_gateways(snapshot) {
        let Some(names) = claims.get_mut(gateway) else {
            continue;
        };
        let services = snapshot.services.items().iter();
        for exposure in services.filter_map(|service| service.exposure.as_ref()) {
            for hostname in &exposure.hostnames {
                let oldest = names.entry(hostname.clone()).or_insert(exposure.created);
                *oldest = exposure.created.min(*oldest);
            }
        }
    }
    claims
}
