//! What the last route pass concluded, as far as edge passes need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::attachment::{GatewayResolution, Resolution, Retained, retained, unread_claims};
use crate::gateway::{DeletionPolicy, Gateway, is_suspended};
use crate::names::{Hostname, ObjectKey, Timestamp};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// What a route pass concluded from one snapshot.
#[derive(PartialEq)]
pub(super) struct View {
    /// Gateways of our classes. Nothing else is kept: routes are many, and no edge pass asks for them.
    pub(super) gateways: Arc<BTreeMap<ObjectKey, GatewayResolution>>,
    /// Gateways that lose nothing, because not all is known that may be theirs.
    pub(super) retained: Retained,
    /// What routes ask of Gateways that were never read.
    pub(super) unread_claims: BTreeMap<ObjectKey, BTreeMap<Hostname, Timestamp>>,
    /// Gateways whose class does not exist. Whose they are is not known: a class that is replaced, or handed from one
    /// tool to another, is gone for a moment.
    pub(super) classless: BTreeSet<ObjectKey>,
    /// Namespaces that are looked at; `None` for all. A Gateway elsewhere is not gone.
    pub(super) watched: Option<BTreeSet<String>>,
    /// Gateways whose objects are there, of every class.
    pub(super) shown: BTreeSet<ObjectKey>,
    /// Those that are suspended and not being deleted.
    pub(super) suspended: BTreeSet<ObjectKey>,
    /// What becomes of what they have when they are deleted, as far as that is known.
    pub(super) deletion: BTreeMap<ObjectKey, DeletionPolicy>,
}

/// What becomes of a Gateway at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its intent is made true.
    Serve,
    /// What it has stays as it is: it cannot be served for now (its credentials, a certificate or parameters
    /// are missing, it asks for an address), its class does not exist, nobody looks at its namespace, or it is
    /// retained and the view does not show it.
    Keep,
    /// It is suspended, whatever else is true of it: nothing is written for it, but its route table is published.
    Suspended,
    /// It goes, and what it has is removed or left ([`View::deletion`]): it is being deleted, is no longer ours or there, has no valid listener left, or its class
    /// permits nothing to its namespace. The last two are edits like any other, and what nobody can reach should
    /// not resolve.
    Remove,
}

impl View {
    pub(super) fn of(snapshot: &ClusterSnapshot, resolution: &Resolution) -> Self {
        let all = || snapshot.gateways.items().iter();
        let suspends = |gateway: &&Gateway| is_suspended(&gateway.annotations);
        let at_rest = all().filter(suspends).filter(|gateway| !gateway.deleting);
        let known = resolution.gateways.iter();
        let known =
            known.filter_map(|(key, found)| Some((key.clone(), found.parameters.deletion_policy?)));
        let mut deletion: BTreeMap<_, _> = known.collect();
        let suspended = all().filter(suspends);
        deletion.extend(suspended.map(|gateway| (gateway.key.clone(), DeletionPolicy::Orphan)));
        Self {
            gateways: resolution.gateways.clone(),
            retained: retained(snapshot),
            unread_claims: unread_claims(snapshot),
            classless: classless(snapshot),
            watched: snapshot.watched_namespaces.clone(),
            shown: all().map(|gateway| gateway.key.clone()).collect(),
            suspended: at_rest.map(|gateway| gateway.key.clone()).collect(),
            deletion,
        }
    }

    pub(super) fn fate(&self, gateway: &ObjectKey) -> Fate {
        let is_retained = self.retained.contains(gateway);
        if self.suspended.contains(gateway) && !self.is_not_permitted(gateway) {
            return Fate::Suspended;
        }
        match self.gateways.get(gateway) {
            Some(found) if found.gateway.deleting => Fate::Remove,
            Some(found) if found.is_served() => Fate::Serve,
            Some(found) if !is_retained && may_have_nothing(found) => Fate::Remove,
            None if !is_retained && self.would_be_known(gateway) => Fate::Remove,
            Some(_) | None => Fate::Keep,
        }
    }
}

impl View {
    /// Whether it would be among the Gateways of our classes if it were there and ours.
    fn would_be_known(&self, gateway: &ObjectKey) -> bool {
        let watched = self.watched.as_ref();
        let is_watched = watched.is_none_or(|watched| watched.contains(&gateway.namespace));
        is_watched && !self.classless.contains(gateway)
    }

    /// Whether its class permits nothing to its namespace: then neither its annotations nor its parameters keep what it
    /// has.
    pub(super) fn is_not_permitted(&self, gateway: &ObjectKey) -> bool {
        let found = self.gateways.get(gateway);
        let refusal = found.and_then(|found| found.refusal.as_ref());
        refusal.is_some_and(|refusal| refusal.reason == Reason::NamespaceNotPermitted)
    }

    /// Whether nothing is written for it, be it being deleted or not.
    pub(super) fn is_suspended(&self, gateway: &ObjectKey) -> bool {
        let found = self.gateways.get(gateway);
        found.is_some_and(|found| found.reconciling.is_suspended) && !self.is_not_permitted(gateway)
    }
}

impl Fate {
    /// Whether what it has stays as it is for now.
    pub(super) fn keeps(self) -> bool {
        matches!(self, Self::Keep | Self::Suspended)
    }
}

fn may_have_nothing(found: &GatewayResolution) -> bool {
    let refusal = found.refusal.as_ref();
    refusal.is_some_and(|refusal| {
        matches!(
            refusal.reason,
            Reason::ListenersNotValid | Reason::NamespaceNotPermitted
        )
    })
}

/// Gateways that name a class that does not exist, those that are being deleted excepted.
fn classless(snapshot: &ClusterSnapshot) -> BTreeSet<ObjectKey> {
    let classes = snapshot.classes.items().iter();
    let classes: BTreeSet<&str> = classes.map(|class| class.name.as_str()).collect();
    let gateways = snapshot.gateways.items().iter();
    gateways
        .filter(|gateway| !gateway.deleting && !classes.contains(gateway.class.as_str()))
        .map(|gateway| gateway.key.clone())
        .collect()
}
