//! The Gateways that a BackendTLSPolicy is carried out on: its status has room for so many.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::Backends;
use super::policy::{Ancestors, MOST_ANCESTORS};
use super::view::View;
use super::{GatewayResolution, Refusal, RouteResolution};
use crate::gateway::BACKEND_TLS_POLICY_KIND;
use crate::names::ObjectKey;
use crate::route_table::UpstreamKey;
use crate::status::Reason;

/// Takes the Gateways away that a policy has no room for, and gives them back: the younger ones.
pub(super) fn without_room(
    ancestors: &mut Ancestors,
    gateways: &BTreeMap<ObjectKey, GatewayResolution>,
) -> Ancestors {
    let age = |key: &&ObjectKey| gateways.get(*key).map(|found| found.gateway.created);
    let mut without_room = Ancestors::new();
    for (policy, of_policy) in ancestors {
        if of_policy.len() > MOST_ANCESTORS {
            let mut by_age: Vec<&ObjectKey> = of_policy.iter().collect();
            by_age.sort_by_key(|key| (age(key), *key));
            let others: BTreeSet<ObjectKey> = by_age.drain(MOST_ANCESTORS..).cloned().collect();
            of_policy.retain(|key| !others.contains(key));
            without_room.insert(*policy, others);
        }
    }
    without_room
}

/// Whether a port must have TLS and cannot on this Gateway, because the policy has no room for it.
pub(super) fn is_without_room(
    without_room: &Ancestors,
    gateway: &ObjectKey,
    key: &UpstreamKey,
    view: &View<'_>,
) -> bool {
    let backend = key.backend();
    let port = view.port_name(backend, key.port);
    let holding = view.tls.holding(backend, port);
    let holding = holding.filter(|policy| view.tls.key(*policy).is_some());
    let gateways = holding.and_then(|policy| without_room.get(&policy));
    gateways.is_some_and(|gateways| gateways.contains(gateway))
}

/// Tells routes of it, on each Gateway that a policy of theirs has no room for.
pub(super) fn tell(
    routes: &mut [RouteResolution],
    backends: &BTreeMap<usize, Backends>,
    without_room: &Ancestors,
    view: &View<'_>,
) {
    for (position, of_route) in backends {
        let policies = of_route.policies.holding.iter();
        let affected = policies.filter_map(|policy| Some((*policy, without_room.get(policy)?)));
        let Some(route) = routes.get_mut(*position) else {
            continue;
        };
        for (policy, gateways) in affected {
            let Some(name) = view.tls.key(policy) else {
                continue;
            };
            let parents = route.parents.iter_mut();
            for parent in parents.filter(|parent| gateways.contains(&parent.gateway)) {
                let message = format!(
                    "{}: {BACKEND_TLS_POLICY_KIND} {name}: Too many: it can be carried out on {MOST_ANCESTORS} Gateways, and as many older ones have routes to its targets; use another Service with a policy of its own on Gateway {}",
                    route.route, parent.gateway
                );
                if let Some(tls) = &mut parent.backend_tls {
                    tls.unusable.get_or_insert_with(|| message.clone());
                }
                let refusal = Refusal::new(Reason::UnsupportedProtocol, message);
                parent.unresolved.get_or_insert(refusal);
            }
        }
    }
}
