//! What must be at the edge for a snapshot, computed a second time and more simply than in the domain. The
//! simulation compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::gateway::{
    Adoption, CONFIRM_REMOVAL, CONTROLLER_NAME, DeletionPolicy, Gateway, RECONCILE_ANNOTATION,
    Route,
};
use domain::snapshot::ClusterSnapshot;
use domain::{Hostname, ObjectKey, Timestamp};

use super::cluster_model::{IN_OTHER_ACCOUNT, OTHER_ZONE, ZONES};
use super::harness::ACCOUNTS;

/// What is expected for a Gateway of our class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExpectedGateway {
    /// It gets these names, each with the creation time of the oldest route that has it.
    Served {
        created: Timestamp,
        names: BTreeMap<Hostname, Timestamp>,
    },
    /// It is refused for now and keeps what it has; without the refusal it would get these names.
    Kept {
        created: Timestamp,
        names: BTreeMap<Hostname, Timestamp>,
    },
    /// It is suspended: the same, and nothing is written for it.
    Suspended {
        created: Timestamp,
        names: BTreeMap<Hostname, Timestamp>,
    },
    /// It has no listener, so what it has goes, as if it were deleted.
    WithoutListener { policy: Option<DeletionPolicy> },
    /// It is being deleted.
    Deleting {
        /// What becomes of what it has; `None` where only what was kept of it tells.
        policy: Option<DeletionPolicy>,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Whether an object that the snapshot lacks is known not to exist.
    pub(crate) complete: bool,
    pub(crate) gateways: BTreeMap<ObjectKey, ExpectedGateway>,
    /// Gateways that are served from the other account.
    pub(crate) elsewhere: BTreeSet<ObjectKey>,
    /// Gateways of which somebody confirmed a removal of many names.
    pub(crate) confirmed: BTreeSet<ObjectKey>,
    /// Names whose foreign records may be adopted.
    pub(crate) adopted: BTreeSet<Hostname>,
}

/// Whether a pass may act on the snapshot: each kind was read.
pub(crate) fn is_readable(snapshot: &ClusterSnapshot) -> bool {
    !(snapshot.classes.is_unknown()
        || snapshot.gateways.is_unknown()
        || snapshot.routes.is_unknown()
        || snapshot.services.is_unknown()
        || snapshot.endpoint_slices.is_unknown())
}

impl Expected {
    pub(crate) fn of(snapshot: &ClusterSnapshot) -> Self {
        let classes = || snapshot.classes.items().iter();
        let ours: BTreeSet<&str> = classes()
            .filter(|class| class.controller == CONTROLLER_NAME)
            .map(|class| class.name.as_str())
            .collect();
        let exists = |class: &str| classes().any(|known| known.name == class);
        let gateways = snapshot.gateways.items().iter();
        let is_confirmed = |gateway: &&Gateway| gateway.annotations.contains_key(CONFIRM_REMOVAL);
        let confirmed = gateways.clone().filter(is_confirmed);
        let is_elsewhere = |gateway: &&Gateway| gateway.annotations.contains_key(IN_OTHER_ACCOUNT);
        let elsewhere = gateways.clone().filter(is_elsewhere);
        Self {
            confirmed: confirmed.map(|gateway| gateway.key.clone()).collect(),
            adopted: adopted(snapshot),
            elsewhere: elsewhere.map(|gateway| gateway.key.clone()).collect(),
            complete: snapshot.unreadable.nameless.is_none()
                && snapshot.classes.known().is_some()
                && snapshot.gateways.known().is_some()
                && snapshot.routes.known().is_some(),
            gateways: gateways
                .filter_map(|gateway| {
                    let expected = match gateway.class.as_str() {
                        class if ours.contains(class) => expected_gateway(gateway, snapshot),
                        _ if gateway.deleting => ExpectedGateway::Deleting {
                            policy: is_suspended(gateway).then_some(DeletionPolicy::Orphan),
                        },
                        class if exists(class) && is_suspended(gateway) => {
                            suspended(gateway, BTreeMap::new())
                        }
                        class if exists(class) => return None,
                        _ if is_suspended(gateway) => suspended(gateway, BTreeMap::new()),
                        _ => kept_without_class(gateway),
                    };
                    Some((gateway.key.clone(), expected))
                })
                .collect(),
        }
    }

    pub(crate) fn served(
        &self,
    ) -> impl Iterator<Item = (&ObjectKey, Timestamp, &BTreeMap<Hostname, Timestamp>)> {
        self.gateways
            .iter()
            .filter_map(|(key, gateway)| match gateway {
                ExpectedGateway::Served { created, names } => Some((key, *created, names)),
                _ => None,
            })
    }

    /// Whether `kept` is a Gateway that keeps what it has, with an older claim to a name than `other`.
    pub(crate) fn keeps_from(&self, kept: &ObjectKey, other: &ObjectKey, name: &Hostname) -> bool {
        let rank = |key| match self.gateways.get(key)? {
            ExpectedGateway::Served { created, names }
            | ExpectedGateway::Kept { created, names }
            | ExpectedGateway::Suspended { created, names } => {
                Some((names.get(name)?, created, key))
            }
            ExpectedGateway::WithoutListener { .. } | ExpectedGateway::Deleting { .. } => None,
        };
        let is_kept = matches!(
            self.gateways.get(kept),
            Some(ExpectedGateway::Kept { .. } | ExpectedGateway::Suspended { .. })
        );
        match (rank(kept), rank(other)) {
            (Some(kept), Some(other)) => is_kept && kept < other,
            _ => false,
        }
    }

    /// The Gateway that gets a name: by the age of the route, then of the Gateway, then by key.
    pub(crate) fn holder(&self, name: &Hostname) -> Option<&ObjectKey> {
        let asking = self.served().filter_map(|(key, created, names)| {
            let age = names.get(name)?;
            self.has_zone(key, name).then_some((age, created, key))
        });
        asking.min().map(|(_, _, key)| key)
    }

    /// Whether a Gateway's account has the zone of a name.
    pub(crate) fn has_zone(&self, gateway: &ObjectKey, name: &Hostname) -> bool {
        zone_of(name).is_some_and(|zone| self.account(gateway) == account_of(zone))
    }

    /// The account of a Gateway's credentials.
    pub(crate) fn account(&self, gateway: &ObjectKey) -> &'static str {
        ACCOUNTS[usize::from(self.elsewhere.contains(gateway))]
    }

    /// Whether a Gateway is served and has a route with this name.
    pub(crate) fn wants(&self, gateway: &ObjectKey, name: &Hostname) -> bool {
        let mut served = self.served();
        served.any(|(key, _, names)| key == gateway && names.contains_key(name))
    }

    pub(crate) fn names(&self) -> BTreeSet<&Hostname> {
        self.served()
            .flat_map(|(_, _, names)| names.keys())
            .collect()
    }

    /// Gateways that stay.
    pub(crate) fn staying(&self) -> BTreeSet<&ObjectKey> {
        let stays =
            |gateway: &ExpectedGateway| !matches!(gateway, ExpectedGateway::WithoutListener { .. });
        let staying = self.gateways.iter().filter(|(_, gateway)| stays(gateway));
        staying.map(|(key, _)| key).collect()
    }

    /// Whether nothing may be written for a Gateway.
    pub(crate) fn is_suspended(&self, gateway: &ObjectKey) -> bool {
        matches!(
            self.gateways.get(gateway),
            Some(ExpectedGateway::Suspended { .. })
        )
    }

    /// Whether all that a Gateway has at the edge may be removed. `orphans`: those that are kept as leaving it.
    pub(crate) fn may_remove(&self, gateway: &ObjectKey, orphans: &BTreeSet<ObjectKey>) -> bool {
        let is_kept = orphans.contains(gateway);
        let goes = |policy: &Option<DeletionPolicy>| match policy {
            Some(policy) => *policy == DeletionPolicy::Delete,
            None => !is_kept,
        };
        match self.gateways.get(gateway) {
            Some(ExpectedGateway::Deleting { policy }) => goes(policy),
            Some(ExpectedGateway::WithoutListener { policy }) => self.complete && goes(policy),
            Some(_) => false,
            None => self.complete && !is_kept,
        }
    }

    /// Whether a Gateway's record of this name may be deleted. Where another Gateway gets the name, the record
    /// should be changed in place instead.
    pub(crate) fn may_remove_record(
        &self,
        gateway: &ObjectKey,
        name: &Hostname,
        orphans: &BTreeSet<ObjectKey>,
    ) -> bool {
        let serves = matches!(
            self.gateways.get(gateway),
            Some(ExpectedGateway::Served { .. })
        );
        let holds = self.holder(name) == Some(gateway);
        self.may_remove(gateway, orphans) || (serves && self.complete && !holds)
    }
}

/// Names whose adoption is confirmed.
fn adopted(snapshot: &ClusterSnapshot) -> BTreeSet<Hostname> {
    let parameters = snapshot.parameters.items().iter();
    let adopt = parameters.filter_map(|parameters| parameters.records.adopt.as_ref());
    let confirmed = adopt
        .flatten()
        .filter(|(_, adoption)| matches!(adoption, Adoption::Confirmed(_)));
    confirmed.map(|(name, _)| name.clone()).collect()
}

fn is_suspended(gateway: &Gateway) -> bool {
    let value = gateway.annotations.get(RECONCILE_ANNOTATION);
    value.is_some_and(|value| value == "disabled")
}

fn suspended(gateway: &Gateway, names: BTreeMap<Hostname, Timestamp>) -> ExpectedGateway {
    ExpectedGateway::Suspended {
        created: gateway.created,
        names,
    }
}

fn expected_gateway(gateway: &Gateway, snapshot: &ClusterSnapshot) -> ExpectedGateway {
    let routes: &[Arc<Route>] = snapshot.routes.items();
    let parameters = gateway.parameters.as_ref().map(|named| {
        let mut known = snapshot.parameters.items().iter();
        known.find(|known| known.key == named.key)
    });
    let said = match parameters {
        None => Some(DeletionPolicy::Delete),
        Some(found) => found.map(|found| found.deletion_policy.unwrap_or_default()),
    };
    if gateway.deleting {
        let policy = match is_suspended(gateway) {
            true => Some(DeletionPolicy::Orphan),
            false => said,
        };
        return ExpectedGateway::Deleting { policy };
    }
    let Some(listener) = gateway.listeners.first() else {
        return match is_suspended(gateway) {
            true => suspended(gateway, BTreeMap::new()),
            false => ExpectedGateway::WithoutListener { policy: said },
        };
    };
    let mut names: BTreeMap<Hostname, Timestamp> = BTreeMap::new();
    for route in routes.iter().filter(|route| names_parent(route, gateway)) {
        for name in served_names(&route.hostnames, listener.hostname.as_ref()) {
            let age = names.entry(name).or_insert(route.created);
            *age = route.created.min(*age);
        }
    }
    let created = gateway.created;
    let is_whole = gateway.field_errors.is_empty() && !matches!(parameters, Some(None));
    match (is_suspended(gateway), is_whole) {
        (true, _) => suspended(gateway, names),
        (false, true) => ExpectedGateway::Served { created, names },
        (false, false) => ExpectedGateway::Kept { created, names },
    }
}

/// Its class was not read, so it may be ours.
fn kept_without_class(gateway: &Gateway) -> ExpectedGateway {
    ExpectedGateway::Kept {
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

/// The zone of a name, in whichever account.
pub(crate) fn zone_of(name: &Hostname) -> Option<&'static str> {
    let mut zones = ZONES.iter().copied().chain([OTHER_ZONE]);
    zones.find(|zone| name.is_within(zone))
}

pub(crate) fn account_of(zone: &str) -> &'static str {
    ACCOUNTS[usize::from(zone == OTHER_ZONE)]
}
