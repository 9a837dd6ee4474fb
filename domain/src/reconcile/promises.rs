//! Which statuses may be written while a route table is on its way to its proxies.
//!
//! A condition that promises traffic (Programmed of a Gateway or listener, Accepted and ResolvedRefs of a
//! route, Ready, each when True) is not written before every ready replica serves the table that keeps the promise.
//! Bad news never waits: not for good news in another object, nor for good news in its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Hostname, ObjectKey, ObjectRef};
use crate::ports::Delivery;
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

/// How far the table of each Gateway has come; one that is not in it is served.
pub(super) type Deliveries = BTreeMap<ObjectKey, Delivery>;

/// Statuses as this process wrote them last: they show which promises are not new.
#[derive(Debug, Default)]
pub(super) struct WrittenStatuses {
    updates: BTreeMap<ObjectRef, StatusUpdate>,
    /// The term of leadership in which they were written.
    term: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) updates: Vec<StatusUpdate>,
    /// Objects whose whole status waits.
    waiting: BTreeSet<ObjectRef>,
}

impl WrittenStatuses {
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
    /// Of Gateways whose edge was not asked yet (`unasked`), what an earlier process wrote stays for the moment.
    pub(super) fn due(
        &self,
        updates: Vec<StatusUpdate>,
        deliveries: &Deliveries,
        unasked: &BTreeSet<ObjectKey>,
    ) -> Due {
        let mut due = Due::default();
        for update in updates {
            let object = update.object.clone();
            let before = self.updates.get(&object);
            let unknown = is_of(&update, unasked) && !update.conditions().any(is_known_to_be_bad);
            if before.is_none() && unknown {
                due.waiting.insert(object);
                continue;
            }
            match judged(update, before, deliveries) {
                Some(update) => due.updates.push(update),
                None => drop(due.waiting.insert(object)),
            }
        }
        due
    }

    /// Those updates were written. Objects that are in none of them and do not wait are forgotten.
    pub(super) fn remember(&mut self, due: Due) {
        let mut before = std::mem::take(&mut self.updates);
        let waiting = due.waiting.into_iter();
        self.updates = waiting
            .filter_map(|object| before.remove_entry(&object))
            .collect();
        let written = due.updates.into_iter();
        self.updates
            .extend(written.map(|update| (update.object.clone(), update)));
    }
}

/// Whether a status is about one of these Gateways.
fn is_of(update: &StatusUpdate, gateways: &BTreeSet<ObjectKey>) -> bool {
    let mut of = update.parts.iter().flat_map(|part| &part.gateway);
    of.any(|gateway| gateways.contains(gateway))
}

/// What may be written of an update now, where this was written `before`; `None` where all of it waits.
fn judged(
    mut update: StatusUpdate,
    before: Option<&StatusUpdate>,
    deliveries: &Deliveries,
) -> Option<StatusUpdate> {
    let delivery = |part: &StatusPart| {
        let delivery = part.gateway.as_ref().and_then(|key| deliveries.get(key));
        delivery.unwrap_or(&Delivery::Served)
    };
    let waits = |part: &StatusPart| {
        let kinds = promises(&part.part);
        *delivery(part) == Delivery::Pending && part.conditions.iter().any(|c| is_promise(c, kinds))
    };
    if before.is_none() && update.parts.iter().any(waits) && !update.conditions().any(is_bad_news) {
        return None;
    }
    let held = update.parts.iter().any(waits);
    for part in &mut update.parts {
        if let Part::LoadBalancer { hostnames } = &mut part.part {
            let before = before.filter(|_| held);
            hostnames.retain(|name| before.is_none_or(|before| is_shown(before, name)));
            continue;
        }
        let earlier = before.map_or(&[][..], |before| conditions_of(before, &part.part));
        match delivery(part) {
            Delivery::Pending if before.is_some() => {
                hold(&mut part.conditions, earlier, promises(&part.part));
            }
            Delivery::Late(laggards) => {
                let (kind, earlier) = match part.part {
                    // A Gateway names them for as long as there are any.
                    Part::Object => (ConditionType::Programmed, &[][..]),
                    Part::Listener { .. }
                    | Part::ListenerSets { .. }
                    | Part::LoadBalancer { .. } => continue,
                    Part::Parent(_) => (ConditionType::Accepted, earlier),
                };
                name(laggards, &mut part.conditions, earlier, kind);
            }
            _ => {}
        }
    }
    Some(update)
}

fn conditions_of<'u>(update: &'u StatusUpdate, part: &Part) -> &'u [Condition] {
    let mut parts = update.parts.iter();
    let found = parts.find(|found| found.part.is_same(part));
    found.map_or(&[], |found| &found.conditions)
}

fn promises(part: &Part) -> &'static [ConditionType] {
    match part {
        Part::Object | Part::Listener { .. } => &[ConditionType::Programmed, ConditionType::Ready],
        Part::Parent(_) => &[
            ConditionType::Accepted,
            ConditionType::ResolvedRefs,
            ConditionType::Ready,
        ],
        Part::ListenerSets { .. } | Part::LoadBalancer { .. } => &[],
    }
}

/// Whether a load balancer's status named this hostname.
fn is_shown(update: &StatusUpdate, hostname: &Hostname) -> bool {
    let mut parts = update.parts.iter();
    parts.any(|part| match &part.part {
        Part::LoadBalancer { hostnames } => hostnames.contains(hostname),
        _ => false,
    })
}

fn is_promise(condition: &Condition, kinds: &[ConditionType]) -> bool {
    condition.truth == Truth::True && kinds.contains(&condition.kind)
}

/// What a user has to mend. Our own conditions (DNS, say) are read by no other controller and may wait.
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
/// Gateway until the edge was asked.
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
                reason: match condition.kind {
                    ConditionType::Ready => Reason::Progressing,
                    _ => Reason::Pending,
                },
                message: "the routes are on their way to the proxies".to_owned(),
                ..condition.clone()
            };
            *condition = before_of(condition, before)
                .cloned()
                .unwrap_or_else(waiting);
        }
    }
}

/// Names the laggards in a promise that is new. One that was made before is not written again for them.
fn name(
    laggards: &[String],
    conditions: &mut [Condition],
    before: &[Condition],
    kind: ConditionType,
) {
    let promises = conditions.iter_mut();
    for condition in promises.filter(|c| is_promise(c, &[kind])) {
        match promised(condition, before) {
            None => {
                let laggards = laggards.join(", ");
                condition.message.push_str(&format!(
                    "; these proxy replicas do not serve the latest routes yet: {laggards}"
                ));
            }
            Some(said) if said.message.starts_with(&condition.message) => {
                condition.message.clone_from(&said.message);
            }
            Some(_) => {}
        }
    }
}
