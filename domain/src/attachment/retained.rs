//! Which Gateways lose nothing for now, because an object that could not be read may be theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::listener_set::{ListenerSets, all_listeners};
use super::unread::by_labels;
use crate::gateway::{
    AllowedNamespaces, GATEWAY_GROUP, Gateway, LISTENER_SET_KIND, OWN_GROUP, PARAMETERS_KIND,
    Route, RouteKind,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::snapshot::{ClusterSnapshot, Reading, UnreadableObject};

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
        && !snapshot.listener_sets.is_unknown()
        // A Gateway whose parameters were not read is kept as it is, and which names it may have is unknown.
        && !snapshot.parameters.is_unknown();
    if !is_complete {
        return Retained::All;
    }
    let sets = ListenerSets::new(snapshot);
    let objects = snapshot.unreadable.objects.iter();
    let concerned = objects.flat_map(|(object, found)| concerned(snapshot, &sets, object, found));
    Retained::Only(concerned.chain(without_sets(snapshot)).collect())
}

/// The Gateways that may have ListenerSets where that kind is not there: it may have been there before.
fn without_sets(snapshot: &ClusterSnapshot) -> BTreeSet<ObjectKey> {
    match snapshot.listener_sets {
        Reading::Absent => those(snapshot, |gateway| {
            gateway.allowed_listeners != AllowedNamespaces::None
        }),
        Reading::Known(_) | Reading::Unknown(_) => BTreeSet::new(),
    }
}

/// The Gateways that one unreadable object could concern. A Service may ask to be exposed. EndpointSlices say where
/// requests go and not what a Gateway has, and a Gateway whose class is not there loses nothing anyway.
fn concerned(
    snapshot: &ClusterSnapshot,
    sets: &ListenerSets<'_>,
    object: &ObjectRef,
    found: &UnreadableObject,
) -> BTreeSet<ObjectKey> {
    let namespace = object.key.namespace.as_str();
    if object.group == GATEWAY_GROUP
        && let Some(kind) = RouteKind::named(&object.kind)
    {
        return of_route(snapshot, sets, kind, &object.key, found);
    }
    match (object.group.as_str(), object.kind.as_str()) {
        (GATEWAY_GROUP, "Gateway") => [object.key.clone()].into(),
        (GATEWAY_GROUP, LISTENER_SET_KIND) => of_set(snapshot, sets, &object.key, found),
        (GATEWAY_GROUP, "ReferenceGrant") => those(snapshot, |gateway| {
            names_secret_in(gateway, sets, namespace)
        }),
        (OWN_GROUP, PARAMETERS_KIND) => those(snapshot, |gateway| {
            gateway.parameters.as_ref() == Some(object) || class_names(snapshot, gateway, object)
        }),
        ("", "Service") => default_gateways(snapshot).cloned().collect(),
        ("", "Namespace") => {
            let selecting = those(snapshot, |gateway| by_labels(gateway, sets)).into_iter();
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

/// Whether a listener names a Secret of another namespace than that of its object.
fn names_secret_in(gateway: &Gateway, sets: &ListenerSets<'_>, namespace: &str) -> bool {
    all_listeners(gateway, sets).any(|(owner, listener)| {
        let mut secrets = listener.tls.iter().flat_map(|tls| &tls.certificates);
        owner.namespace != namespace && secrets.any(|secret| secret.key.namespace == namespace)
    })
}

fn class_names(snapshot: &ClusterSnapshot, gateway: &Gateway, object: &ObjectRef) -> bool {
    let mut classes = snapshot.classes.items().iter();
    classes.any(|class| class.name == gateway.class && class.parameters.as_ref() == Some(object))
}

/// The Gateways that a ListenerSet named when it was last read, and that it names now; where that is not known, all that
/// take ListenerSets of its namespace.
fn of_set(
    snapshot: &ClusterSnapshot,
    sets: &ListenerSets<'_>,
    key: &ObjectKey,
    found: &UnreadableObject,
) -> BTreeSet<ObjectKey> {
    let earlier = sets.gateway(key).cloned();
    let mut gateways: BTreeSet<ObjectKey> = earlier.into_iter().collect();
    match &found.parents {
        Some(named) => {
            let named = named.iter().filter_map(|parent| sets.gateway_of(parent));
            gateways.extend(named.cloned());
        }
        None => gateways.extend(those(snapshot, |gateway| {
            let allowed = &gateway.allowed_listeners;
            lets_in(snapshot, allowed, &gateway.key.namespace, &key.namespace)
        })),
    }
    gateways
}

/// The Gateways that a route named when it was last read, and those that it names now; where that is not known, all
/// that take routes of its namespace.
fn of_route(
    snapshot: &ClusterSnapshot,
    sets: &ListenerSets<'_>,
    kind: RouteKind,
    key: &ObjectKey,
    found: &UnreadableObject,
) -> BTreeSet<ObjectKey> {
    let mut routes = snapshot.routes.items().iter();
    let earlier = routes.find(|route| route.kind == kind && route.key == *key);
    let mut gateways: BTreeSet<ObjectKey> = earlier
        .map(|route| parents(route, sets))
        .unwrap_or_default();
    match &found.parents {
        Some(named) => {
            let named = named.iter().filter_map(|parent| sets.gateway_of(parent));
            gateways.extend(named.cloned());
        }
        None => gateways.extend(those(snapshot, |gateway| {
            takes_routes_of(snapshot, sets, gateway, &key.namespace)
        })),
    }
    gateways
}

fn parents(route: &Route, sets: &ListenerSets<'_>) -> BTreeSet<ObjectKey> {
    let targets = route.parents.iter().map(|parent| &parent.target);
    let gateways = targets.filter_map(|target| sets.gateway_of(target));
    gateways.cloned().collect()
}

fn takes_routes_of(
    snapshot: &ClusterSnapshot,
    sets: &ListenerSets<'_>,
    gateway: &Gateway,
    namespace: &str,
) -> bool {
    gateway.key.namespace == namespace
        || all_listeners(gateway, sets).any(|(owner, listener)| {
            lets_in(snapshot, &listener.namespaces, &owner.namespace, namespace)
        })
}

/// Whether `allowed`, written in namespace `own`, may let objects of `namespace` in.
fn lets_in(
    snapshot: &ClusterSnapshot,
    allowed: &AllowedNamespaces,
    own: &str,
    namespace: &str,
) -> bool {
    match allowed {
        AllowedNamespaces::All => true,
        AllowedNamespaces::Same => own == namespace,
        AllowedNamespaces::None => false,
        // Unknown for a namespace that was not read.
        AllowedNamespaces::Selector(selector) => {
            let mut namespaces = snapshot.namespaces.items().iter();
            let found = namespaces.find(|known| known.name == namespace);
            found.is_none_or(|found| selector.selects(&found.labels))
        }
    }
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
    let sets = ListenerSets::new(snapshot);
    for route in snapshot.routes.items() {
        for parent in parents(route, &sets) {
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
