//! What a snapshot asks for at the edge, worked out a second time and more simply than the domain does:
//! what the simulation holds the domain to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::gateway::{CONTROLLER_NAME, Gateway, Route};
use domain::snapshot::ClusterSnapshot;
use domain::{Hostname, ObjectKey, Timestamp};

use super::town::ZONES;

/// What becomes of a Gateway that the snapshot shows as ours. One without a listener is as good as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It is to have these names, each with the age of the oldest route that asks.
    Served {
        created: Timestamp,
        names: BTreeMap<Hostname, Timestamp>,
    },
    /// It is refused for now and keeps what it has; these names it would have.
    Kept {
        created: Timestamp,
        names: BTreeMap<Hostname, Timestamp>,
    },
    /// It is being deleted.
    Leaving,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Whether what is not there is not wanted.
    pub(crate) complete: bool,
    pub(crate) gateways: BTreeMap<ObjectKey, Wish>,
}

/// Whether a pass may act on it at all: no kind failed to be read.
pub(crate) fn is_readable(snapshot: &ClusterSnapshot) -> bool {
    !(snapshot.classes.is_unknown()
        || snapshot.gateways.is_unknown()
        || snapshot.routes.is_unknown()
        || snapshot.services.is_unknown()
        || snapshot.endpoint_slices.is_unknown())
}

impl Wishes {
    pub(crate) fn of(snapshot: &ClusterSnapshot) -> Self {
        let classes = || snapshot.classes.items().iter();
        let ours: BTreeSet<&str> = classes()
            .filter(|class| class.controller == CONTROLLER_NAME)
            .map(|class| class.name.as_str())
            .collect();
        let exists = |class: &str| classes().any(|known| known.name == class);
        let gateways = snapshot.gateways.items().iter();
        Self {
            complete: snapshot.unreadable.nameless.is_none()
                && snapshot.classes.known().is_some()
                && snapshot.gateways.known().is_some()
                && snapshot.routes.known().is_some(),
            gateways: gateways
                .filter_map(|gateway| {
                    let wish = match gateway.class.as_str() {
                        class if ours.contains(class) => wish(gateway, snapshot.routes.items())?,
                        class if exists(class) || gateway.deleting => return None,
                        _ => kept_without_class(gateway),
                    };
                    Some((gateway.key.clone(), wish))
                })
                .collect(),
        }
    }

    pub(crate) fn served(
        &self,
    ) -> impl Iterator<Item = (&ObjectKey, Timestamp, &BTreeMap<Hostname, Timestamp>)> {
        self.gateways.iter().filter_map(|(key, wish)| match wish {
            Wish::Served { created, names } => Some((key, *created, names)),
            Wish::Kept { .. } | Wish::Leaving => None,
        })
    }

    /// Whether a Gateway that is kept as it is has the older claim to a name.
    pub(crate) fn keeps_from(&self, kept: &ObjectKey, other: &ObjectKey, name: &Hostname) -> bool {
        let rank = |key| match self.gateways.get(key)? {
            Wish::Served { created, names } | Wish::Kept { created, names } => {
                Some((names.get(name)?, created, key))
            }
            Wish::Leaving => None,
        };
        let is_kept = matches!(self.gateways.get(kept), Some(Wish::Kept { .. }));
        match (rank(kept), rank(other)) {
            (Some(kept), Some(other)) => is_kept && kept < other,
            _ => false,
        }
    }

    /// Who is to have a name: the oldest route that asks, then the oldest Gateway, then the first by key.
    pub(crate) fn holder(&self, name: &Hostname) -> Option<&ObjectKey> {
        let asking = self.served().filter_map(|(key, created, names)| {
            let age = names.get(name)?;
            Some((age, created, key))
        });
        let oldest = asking.min();
        oldest
            .filter(|_| zone_of(name).is_some())
            .map(|(_, _, key)| key)
    }

    /// Whether a Gateway is served and asks for a name.
    pub(crate) fn asks(&self, gateway: &ObjectKey, name: &Hostname) -> bool {
        let mut served = self.served();
        served.any(|(key, _, names)| key == gateway && names.contains_key(name))
    }

    pub(crate) fn names(&self) -> BTreeSet<&Hostname> {
        self.served()
            .flat_map(|(_, _, names)| names.keys())
            .collect()
    }

    /// Whether all that a Gateway has may be taken away.
    pub(crate) fn releases(&self, gateway: &ObjectKey) -> bool {
        match self.gateways.get(gateway) {
            Some(Wish::Leaving) => true,
            Some(Wish::Served { .. } | Wish::Kept { .. }) => false,
            None => self.complete,
        }
    }

    /// Whether a Gateway's record of this name may be deleted. Where another Gateway is to have the name, its
    /// record should be taken over in place.
    pub(crate) fn releases_name(&self, gateway: &ObjectKey, name: &Hostname) -> bool {
        let serves = matches!(self.gateways.get(gateway), Some(Wish::Served { .. }));
        let holds = self.holder(name) == Some(gateway);
        self.releases(gateway) || (serves && self.complete && !holds)
    }
}

fn wish(gateway: &Gateway, routes: &[Arc<Route>]) -> Option<Wish> {
    if gateway.deleting {
        return Some(Wish::Leaving);
    }
    let listener = gateway.listeners.first()?;
    let mut names: BTreeMap<Hostname, Timestamp> = BTreeMap::new();
    for route in routes.iter().filter(|route| names_parent(route, gateway)) {
        for name in served_names(&route.hostnames, listener.hostname.as_ref()) {
            let age = names.entry(name).or_insert(route.created);
            *age = route.created.min(*age);
        }
    }
    let created = gateway.created;
    Some(match gateway.defects.is_empty() {
        true => Wish::Served { created, names },
        false => Wish::Kept { created, names },
    })
}

/// Whose it is nobody knows for the moment.
fn kept_without_class(gateway: &Gateway) -> Wish {
    Wish::Kept {
        created: gateway.created,
        names: BTreeMap::new(),
    }
}

fn names_parent(route: &Route, gateway: &Gateway) -> bool {
    let mut parents = route.parents.iter();
    parents.any(|parent| parent.target.key == gateway.key)
}

fn served_names(of_route: &[Hostname], of_listener: Option<&Hostname>) -> Vec<Hostname> {
    match (of_route, of_listener) {
        ([], None) => Vec::new(),
        ([], Some(listener)) => vec![listener.clone()],
        (names, None) => names.to_vec(),
        (names, Some(listener)) => {
            let common = names.iter().map(|name| name.intersection(listener));
            common.flatten().collect()
        }
    }
}

pub(crate) fn zone_of(name: &Hostname) -> Option<&'static str> {
    let mut zones = ZONES.iter().copied();
    zones.find(|zone| name.is_within(zone))
}
