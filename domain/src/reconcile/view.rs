//! What the last route pass concluded, as far as edge passes need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::attachment::{GatewayResolution, Retained};
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
}

/// What becomes of a Gateway at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its intent is made true.
    Serve,
    /// What it has stays as it is: it cannot be served for now (its credentials, a certificate or parameters
    /// are missing, it asks for an address), its class does not exist, or it is retained and the view does not
    /// show it.
    Keep,
    /// It is removed: it is being deleted, is no longer ours or there, has no valid listener left, or its class
    /// permits nothing to its namespace. The last two are edits like any other, and what nobody can reach should
    /// not resolve.
    Remove,
}

impl View {
    pub(super) fn fate(&self, gateway: &ObjectKey) -> Fate {
        let is_retained = self.retained.contains(gateway);
        match self.gateways.get(gateway) {
            Some(found) if found.gateway.deleting => Fate::Remove,
            Some(found) if found.is_served() => Fate::Serve,
            Some(found) if !is_retained && may_have_nothing(found) => Fate::Remove,
            None if !is_retained && !self.classless.contains(gateway) => Fate::Remove,
            Some(_) | None => Fate::Keep,
        }
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
pub(super) fn classless(snapshot: &ClusterSnapshot) -> BTreeSet<ObjectKey> {
    let classes = snapshot.classes.items().iter();
    let classes: BTreeSet<&str> = classes.map(|class| class.name.as_str()).collect();
    let gateways = snapshot.gateways.items().iter();
    gateways
        .filter(|gateway| !gateway.deleting && !classes.contains(gateway.class.as_str()))
        .map(|gateway| gateway.key.clone())
        .collect()
}
