//! ListenerSets: which Gateway each is for, and whether that one lets it add listeners.

use std::collections::HashMap;

use super::listener::{Judged, ListenerOwner};
use super::namespaces::{Entry, entry};
use super::tenancy::Tenancy;
use super::view::View;
use super::{
    GatewayResolution, ListenerResolution, ListenerSetResolution, Refusal, listed,
    unserved_listeners,
};
use crate::gateway::{GATEWAY_GROUP, Gateway, LISTENER_SET_KIND, Listener, ListenerSet, ParentRef};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// The ListenerSets of a snapshot that name a Gateway, those of each Gateway by precedence: older ones first, then by
/// namespace and name (Gateway API, `ListenerSet.spec.listeners`).
#[derive(Debug, Default)]
pub(super) struct ListenerSets<'s> {
    of_gateway: HashMap<&'s ObjectKey, Vec<&'s ListenerSet>>,
    gateways: HashMap<&'s ObjectKey, &'s ObjectKey>,
}

impl<'s> ListenerSets<'s> {
    pub(super) fn new(snapshot: &'s ClusterSnapshot) -> Self {
        let mut sets = Self::default();
        for set in snapshot.listener_sets.items() {
            let Some(gateway) = set.gateway() else {
                continue;
            };
            sets.of_gateway.entry(gateway).or_default().push(set);
            sets.gateways.insert(&set.key, gateway);
        }
        for of_one in sets.of_gateway.values_mut() {
            of_one.sort_by_key(|set| (set.created, &set.key));
        }
        sets
    }

    /// Those that name a Gateway.
    pub(super) fn of(&self, gateway: &ObjectKey) -> &[&'s ListenerSet] {
        self.of_gateway.get(gateway).map_or(&[], Vec::as_slice)
    }

    /// The Gateway that a ListenerSet names.
    pub(super) fn gateway(&self, set: &ObjectKey) -> Option<&'s ObjectKey> {
        self.gateways.get(set).copied()
    }

    /// The Gateway that a parentRef of a route leads to, itself or by way of a ListenerSet; `None` where its kind is
    /// not served, or the ListenerSet is not there.
    pub(super) fn gateway_of<'k>(&self, target: &'k ObjectRef) -> Option<&'k ObjectKey>
    where
        's: 'k,
    {
        if target.group != GATEWAY_GROUP {
            return None;
        }
        match target.kind.as_str() {
            "Gateway" => Some(&target.key),
            LISTENER_SET_KIND => self.gateway(&target.key),
            _ => None,
        }
    }
}

/// The ListenerSet that a parentRef of a route names; `None` where it names something else.
pub(super) fn set_of(parent: &ParentRef) -> Option<&ObjectKey> {
    let target = &parent.target;
    let is_set = target.group == GATEWAY_GROUP && target.kind == LISTENER_SET_KIND;
    is_set.then_some(&target.key)
}

/// Judges the ListenerSets of one Gateway and adds the listeners of those that it lets in. `tenancy` is that of a
/// namespace.
pub(super) fn attach<'s>(
    resolution: &GatewayResolution,
    sets: &[&'s ListenerSet],
    mut tenancy: impl FnMut(&'s str) -> Tenancy<'s>,
    view: &View<'_>,
    judged: &mut Judged,
) -> Vec<ListenerSetResolution> {
    let gateway = &resolution.gateway;
    let permitted = resolution.parameters.external_hosts.as_slice();
    let of_gateway = (&resolution.frontend, permitted);
    let mut resolutions = Vec::with_capacity(sets.len());
    for set in sets {
        let tenancy = tenancy(&set.key.namespace);
        let refusal = refusal(set, gateway, &tenancy, view);
        let before = judged.listeners.len();
        let is_attached = refusal.is_none();
        if is_attached {
            let owner = ListenerOwner::set(set, gateway, of_gateway);
            judged.add(&owner, &tenancy, view);
        }
        let refusal = refusal.or_else(|| {
            let listeners = &judged.listeners[before..];
            let serves = listeners.iter().any(ListenerResolution::is_served);
            (!serves).then(|| no_listener(set, listeners))
        });
        resolutions.push(ListenerSetResolution {
            set: (*set).clone(),
            is_attached,
            may_upload: set.key.namespace == gateway.key.namespace
                || tenancy.tenant().is_none_or(|it| it.may_upload_certificates),
            refusal,
        });
    }
    resolutions
}

/// Why a ListenerSet may add no listener, whatever its listeners are.
fn refusal(
    set: &ListenerSet,
    gateway: &Gateway,
    tenancy: &Tenancy<'_>,
    view: &View<'_>,
) -> Option<Refusal> {
    let object = format!("{LISTENER_SET_KIND} {}", set.key);
    if let Some((reason, problem)) = not_allowed(set, gateway, view) {
        let message = format!(
            "{object}: spec.parentRef: Gateway {}: {problem}",
            gateway.key
        );
        return Some(Refusal::new(reason, message));
    }
    if let Some(refusal) = tenancy.refusal(&object, &set.key.namespace) {
        return Some(refusal);
    }
    if set.field_errors.is_empty() {
        return None;
    }
    let problems = set.field_errors.iter().map(ToString::to_string);
    let message = format!("{object}: {}", listed(problems));
    Some(Refusal::new(Reason::Invalid, message))
}

/// Why the Gateway takes no listeners of the ListenerSet.
fn not_allowed(set: &ListenerSet, gateway: &Gateway, view: &View<'_>) -> Option<(Reason, String)> {
    const FIELD: &str = "spec.allowedListeners.namespaces";
    let namespace = &set.key.namespace;
    let own = &gateway.key.namespace;
    let problem = match entry(&gateway.allowed_listeners, own, namespace, view) {
        Entry::Open => return None,
        Entry::Nobody => format!(
            "it takes no ListenerSets; ask its owner to set {FIELD}.from to Same, Selector or All"
        ),
        Entry::NotSame => {
            format!("it takes ListenerSets of namespace {own} only; ask its owner to widen {FIELD}")
        }
        Entry::NotSelected => format!(
            "it does not select namespace {namespace}; ask for the labels that {FIELD}.selector names"
        ),
        Entry::NoNamespace => {
            format!("it selects namespaces by labels, and there is no Namespace {namespace}")
        }
        Entry::Undecided(why) => {
            let problem = format!(
                "it selects namespaces by labels, and whether it selects {namespace} is unknown: {why}"
            );
            return Some((Reason::Pending, problem));
        }
    };
    Some((Reason::NotAllowed, format!("Forbidden: {problem}")))
}

fn no_listener(set: &ListenerSet, listeners: &[ListenerResolution]) -> Refusal {
    let object = format!("{LISTENER_SET_KIND} {}", set.key);
    let message = match unserved_listeners(listeners) {
        None => format!("{object}: spec.listeners is empty; add a listener"),
        Some(refused) => {
            format!("{object}: spec.listeners: none can be served: {refused}; see their conditions")
        }
    };
    Refusal::new(Reason::ListenersNotValid, message)
}

/// The listeners of a Gateway and of the ListenerSets that name it, each with the object that it stands in.
pub(super) fn all_listeners<'a>(
    gateway: &'a Gateway,
    sets: &'a ListenerSets<'_>,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Listener)> {
    let of_sets = sets.of(&gateway.key).iter();
    let of_sets = of_sets.flat_map(|set| set.listeners.iter().map(|it| (&set.key, it)));
    let own = gateway.listeners.iter().map(|it| (&gateway.key, it));
    own.chain(of_sets)
}
