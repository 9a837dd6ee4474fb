//! Which statuses may be written while a route table is on its way to its proxies.
//!
//! A condition that promises traffic (Programmed of a Gateway or listener, Accepted and ResolvedRefs of a
//! route, each when True) is not written before every ready replica serves the table that keeps the promise.
//! Bad news never waits: not for good news in another object, nor for good news in its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::gateway::{ParentRef, RouteKind};
use crate::names::ObjectKey;
use crate::ports::Delivery;
use crate::status::{
    Condition, ConditionType, GatewayStatus, ListenerStatus, Reason, RouteParentStatus,
    StatusUpdate, Truth,
};

/// How far the table of each Gateway has come; one that is not in it is served.
pub(super) type Deliveries = BTreeMap<ObjectKey, Delivery>;

/// Statuses as this process wrote them last: what is no new promise is known from them.
#[derive(Debug, Default)]
pub(super) struct Written {
    updates: BTreeMap<Subject, StatusUpdate>,
    /// The term of leadership in which they were written.
    term: Option<u64>,
}

/// Whose status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Gateway(ObjectKey),
    Route(RouteKind, ObjectKey),
}

impl Subject {
    /// Statuses of classes promise nothing and are not remembered.
    fn of(update: &StatusUpdate) -> Option<Self> {
        match update {
            StatusUpdate::Class { .. } => None,
            StatusUpdate::Gateway { key, .. } => Some(Self::Gateway(key.clone())),
            StatusUpdate::Route { kind, key, .. } => Some(Self::Route(*kind, key.clone())),
        }
    }
}

/// What to write now.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) updates: Vec<StatusUpdate>,
    /// Objects whose whole status waits.
    waiting: BTreeSet<Subject>,
}

impl Written {
    /// Forgets what was written in another term: other instances may have written since.
    pub(super) fn begin_term(&mut self, term: u64) {
        if self.term.replace(term) != Some(term) {
            self.updates.clear();
        }
    }

    /// What of these statuses may be written. New promises of a Gateway whose table is on its way stay as they
    /// were written last; where nothing was, the status waits as a whole, unless it has bad news: then it is
    /// written as it is, because what the cluster has from an earlier process may promise as much already.
    ///
    /// Of Gateways whose edge was not asked yet (`unasked`), what an earlier process wrote stays for the moment:
    /// that nothing is known here is no news.
    pub(super) fn due(
        &self,
        updates: Vec<StatusUpdate>,
        deliveries: &Deliveries,
        unasked: &BTreeSet<ObjectKey>,
    ) -> Due {
        let mut due = Due::default();
        for update in updates {
            let Some(subject) = Subject::of(&update) else {
                due.updates.push(update);
                continue;
            };
            let unknown = is_of(&update, unasked) && !conditions(&update).any(is_known_to_be_bad);
            if !self.updates.contains_key(&subject) && unknown {
                due.waiting.insert(subject);
                continue;
            }
            match judged(update, self.updates.get(&subject), deliveries) {
                Some(update) => due.updates.push(update),
                None => drop(due.waiting.insert(subject)),
            }
        }
        due
    }

    /// Those updates were written. Objects that are in none of them and do not wait are forgotten.
    pub(super) fn remember(&mut self, due: Due) {
        let mut before = std::mem::take(&mut self.updates);
        let waiting = due.waiting.into_iter();
        self.updates = waiting
            .filter_map(|subject| before.remove_entry(&subject))
            .collect();
        let written = due.updates.into_iter();
        let written = written.filter_map(|update| Some((Subject::of(&update)?, update)));
        self.updates.extend(written);
    }
}

/// Whether a status tells of one of these Gateways.
fn is_of(update: &StatusUpdate, gateways: &BTreeSet<ObjectKey>) -> bool {
    match update {
        StatusUpdate::Class { .. } => false,
        StatusUpdate::Gateway { key, .. } => gateways.contains(key),
        StatusUpdate::Route { parents, .. } => parents
            .iter()
            .any(|parent| gateways.contains(&parent.gateway)),
    }
}

/// All conditions of an object, of its listeners and parents too. Those of classes wait for nothing.
fn conditions(update: &StatusUpdate) -> Box<dyn Iterator<Item = &Condition> + '_> {
    match update {
        StatusUpdate::Class { .. } => Box::new(std::iter::empty()),
        StatusUpdate::Gateway { status, .. } => {
            let listeners = status.listeners.iter().flat_map(|l| &l.conditions);
            Box::new(status.conditions.iter().chain(listeners))
        }
        StatusUpdate::Route { parents, .. } => {
            Box::new(parents.iter().flat_map(|parent| &parent.conditions))
        }
    }
}

fn judged(
    update: StatusUpdate,
    before: Option<&StatusUpdate>,
    deliveries: &Deliveries,
) -> Option<StatusUpdate> {
    match update {
        StatusUpdate::Class { .. } => Some(update),
        StatusUpdate::Gateway { key, status } => {
            let before = match before {
                Some(StatusUpdate::Gateway { status, .. }) => Some(status),
                _ => None,
            };
            let delivery = deliveries.get(&key).unwrap_or(&Delivery::Served);
            let status = gateway(status, before, delivery)?;
            Some(StatusUpdate::Gateway { key, status })
        }
        StatusUpdate::Route { kind, key, parents } => {
            let before = match before {
                Some(StatusUpdate::Route { parents, .. }) => Some(parents.as_slice()),
                _ => None,
            };
            let parents = route(parents, before, deliveries)?;
            Some(StatusUpdate::Route { kind, key, parents })
        }
    }
}

const GATEWAY_PROMISES: &[ConditionType] = &[ConditionType::Programmed];
const ROUTE_PROMISES: &[ConditionType] = &[ConditionType::Accepted, ConditionType::ResolvedRefs];

fn gateway(
    mut status: GatewayStatus,
    before: Option<&GatewayStatus>,
    delivery: &Delivery,
) -> Option<GatewayStatus> {
    match delivery {
        Delivery::Served => {}
        Delivery::Late(laggards) => {
            let programmed = status.conditions.iter_mut();
            for condition in programmed.filter(|c| is_promise(c, GATEWAY_PROMISES)) {
                condition.message.push_str(&note(laggards));
            }
        }
        Delivery::Pending => {
            let all = || {
                let listeners = status.listeners.iter().flat_map(|l| &l.conditions);
                status.conditions.iter().chain(listeners)
            };
            if before.is_none() && !all().any(is_bad_news) {
                let promises = all().any(|c| is_promise(c, GATEWAY_PROMISES));
                return (!promises).then_some(status);
            }
            if let Some(before) = before {
                hold(&mut status.conditions, &before.conditions, GATEWAY_PROMISES);
                for listener in &mut status.listeners {
                    let before = listener_before(before, &listener.name);
                    hold(&mut listener.conditions, before, GATEWAY_PROMISES);
                }
            }
        }
    }
    Some(status)
}

fn listener_before<'b>(before: &'b GatewayStatus, name: &str) -> &'b [Condition] {
    let mut listeners = before.listeners.iter();
    let found: Option<&ListenerStatus> = listeners.find(|listener| listener.name == name);
    found.map_or(&[], |listener| &listener.conditions)
}

fn route(
    mut parents: Vec<RouteParentStatus>,
    before: Option<&[RouteParentStatus]>,
    deliveries: &Deliveries,
) -> Option<Vec<RouteParentStatus>> {
    let delivery = |parent: &RouteParentStatus| {
        let delivery = deliveries.get(&parent.gateway);
        delivery.unwrap_or(&Delivery::Served)
    };
    let Some(before) = before else {
        let waits = parents.iter().any(|parent| {
            *delivery(parent) == Delivery::Pending
                && parent
                    .conditions
                    .iter()
                    .any(|c| is_promise(c, ROUTE_PROMISES))
        });
        let mut all = parents.iter().flat_map(|parent| &parent.conditions);
        if waits && !all.any(is_bad_news) {
            return None;
        }
        for parent in &mut parents {
            if let Delivery::Late(laggards) = delivery(parent) {
                name(laggards, &mut parent.conditions, &[]);
            }
        }
        return Some(parents);
    };
    for parent in &mut parents {
        let before = parent_before(before, &parent.parent);
        match delivery(parent) {
            Delivery::Served => {}
            Delivery::Pending => hold(&mut parent.conditions, before, ROUTE_PROMISES),
            Delivery::Late(laggards) => name(laggards, &mut parent.conditions, before),
        }
    }
    Some(parents)
}

fn parent_before<'b>(before: &'b [RouteParentStatus], parent: &ParentRef) -> &'b [Condition] {
    let found = before.iter().find(|before| before.parent == *parent);
    found.map_or(&[], |before| &before.conditions)
}

fn is_promise(condition: &Condition, kinds: &[ConditionType]) -> bool {
    condition.truth == Truth::True && kinds.contains(&condition.kind)
}

/// What a user has to mend. Our own conditions (DNS, say) are judged by nobody else and may wait.
fn is_bad_news(condition: &Condition) -> bool {
    match condition.kind {
        ConditionType::Accepted | ConditionType::Programmed | ConditionType::ResolvedRefs => {
            condition.truth == Truth::False
        }
        ConditionType::Conflicted | ConditionType::PartiallyInvalid => {
            condition.truth == Truth::True
        }
        _ => false,
    }
}

/// Bad news that does not come from the edge not having been asked: that a tunnel is not made yet is said of every
/// Gateway for as long as nobody has looked.
fn is_known_to_be_bad(condition: &Condition) -> bool {
    is_bad_news(condition) && condition.reason != Reason::Pending
}

/// A promise is kept already where the same was said of the same generation.
fn promised<'b>(condition: &Condition, before: &'b [Condition]) -> Option<&'b Condition> {
    before_of(condition, before)
        .filter(|before| before.truth == Truth::True && before.generation == condition.generation)
}

fn before_of<'b>(condition: &Condition, before: &'b [Condition]) -> Option<&'b Condition> {
    before.iter().find(|before| before.kind == condition.kind)
}

/// Puts what was said before in the place of new promises.
fn hold(conditions: &mut [Condition], before: &[Condition], kinds: &[ConditionType]) {
    for condition in conditions {
        if is_promise(condition, kinds) && promised(condition, before).is_none() {
            let waiting = || Condition {
                truth: Truth::Unknown,
                reason: Reason::Pending,
                message: "the routes are on their way to the proxies".to_owned(),
                ..condition.clone()
            };
            *condition = before_of(condition, before)
                .cloned()
                .unwrap_or_else(waiting);
        }
    }
}

/// Names the laggards in what newly says Accepted. What says it already is not written again for them.
fn name(laggards: &[String], conditions: &mut [Condition], before: &[Condition]) {
    let promises = conditions.iter_mut();
    for condition in promises.filter(|c| is_promise(c, &[ConditionType::Accepted])) {
        match promised(condition, before) {
            None => condition.message.push_str(&note(laggards)),
            Some(said) if said.message.starts_with(&condition.message) => {
                condition.message.clone_from(&said.message);
            }
            Some(_) => {}
        }
    }
}

fn note(laggards: &[String]) -> String {
    format!(
        "; these proxy replicas do not serve the latest routes yet: {}",
        laggards.join(", ")
    )
}
