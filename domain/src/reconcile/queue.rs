//! What there is to do at the edge, and in which queue.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reconciler;
use super::gateway_state::GatewayState;
use super::state::{Attempt, State};
use super::term::Search;
use super::view::{Fate, View};
use crate::attachment::{GatewayResolution, Retained};
use crate::edge::EdgeIntent;
use crate::gateway::DeletionPolicy;
use crate::names::{ObjectKey, Timestamp};

/// Gateways that are worked on one after another.
///
/// Whoever may write the Secrets of a namespace decides which accounts and tokens stand in them, so all of them are one
/// queue: an account that is slow, or a token that is refused, holds up no Gateway of another namespace's Secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// Gateways that are gone and whose credentials are not known: looked for, and removed.
    Leftovers,
    /// Gateways without a Secret of their own or of their class, as behind a broker.
    WithoutSecret,
    /// Gateways whose Cloudflare credentials are in Secrets of this namespace.
    Secrets(String),
}

impl Queue {
    pub(super) fn of(found: &GatewayResolution) -> Self {
        match &found.credentials_namespace {
            Some(namespace) => Self::Secrets(namespace.clone()),
            None => Self::WithoutSecret,
        }
    }
}

impl Reconciler {
    /// Compares everything with the edge again, in the passes to come.
    pub fn begin_resync(&self) {
        self.ports.edge.begin_resync();
        self.state().begin_resync();
    }

    /// Until only time calls for something: a token that is to be replaced by a schedule, or a Gateway that is to be
    /// compared at its own interval. What is due already does not count.
    pub fn until_due(&self) -> Option<Duration> {
        let now = self.ports.clock.now();
        let state = self.state();
        let view = state.view.clone()?;
        let times = state.at_edge.iter().flat_map(|(key, at_edge)| {
            let found = view.gateways.get(key);
            let found = found.filter(|_| view.fate(key) == Fate::Serve);
            let rotation = at_edge.rotation.as_ref().and_then(|known| known.next);
            let comparison = found.and_then(|found| at_edge.next_comparison(&found.reconciling));
            [rotation.filter(|_| found.is_some()), comparison]
        });
        let until = times
            .flatten()
            .filter_map(|next| u64::try_from(next.0 - now.0).ok());
        let next = until.filter(|seconds| *seconds > 0).min();
        next.map(Duration::from_secs)
    }

    /// Queues in which there is something to do now. Gateways that `rest` are left out, as far as an attempt would be
    /// the same as their last one, which failed. Empty without leadership.
    pub fn edge_queues(&self, resting: &BTreeSet<ObjectKey>) -> BTreeSet<Queue> {
        match self.begin() {
            Some((_, view)) => {
                let now = self.ports.clock.now();
                self.state().due_queues(&view, resting, now)
            }
            None => BTreeSet::new(),
        }
    }
}

/// Gateways that are not wanted and of which something may be left.
#[derive(Default)]
pub(super) struct Removals {
    pub(super) due: Vec<ObjectKey>,
    /// Whether there are more, which have to wait.
    pub(super) waiting: bool,
}

impl State {
    pub(super) fn queue_of(&self, view: &View, gateway: &ObjectKey) -> Queue {
        let found = view.gateways.get(gateway).map(Queue::of);
        let remembered = || {
            self.at_edge
                .get(gateway)
                .map(|at_edge| at_edge.queue.clone())
        };
        found.or_else(remembered).unwrap_or(Queue::Leftovers)
    }

    pub(super) fn due_queues(
        &mut self,
        view: &View,
        resting: &BTreeSet<ObjectKey>,
        now: Timestamp,
    ) -> BTreeSet<Queue> {
        let due = self.due(view, None, resting, &BTreeSet::new()).into_iter();
        let mut gateways: BTreeSet<_> = due.map(|intent| intent.gateway).collect();
        let outdated = self.outdated_proxies(view, now).into_iter();
        let outdated = outdated.map(|(gateway, _)| gateway);
        gateways.extend(outdated.filter(|gateway| !resting.contains(gateway)));
        gateways.extend(self.removals(view, resting).due);
        let queues = gateways.iter();
        let mut queues: BTreeSet<_> = queues.map(|gateway| self.queue_of(view, gateway)).collect();
        if view.retained != Retained::All
            && (self.term.search == Search::Due || self.may_sweep(view))
        {
            queues.insert(Queue::Leftovers);
        }
        queues
    }

    /// Intents worth stating, of one queue or of all. Those that were `tried` in this pass are not tried again, unless
    /// their grants changed.
    pub(super) fn due(
        &self,
        view: &View,
        queue: Option<&Queue>,
        resting: &BTreeSet<ObjectKey>,
        tried: &BTreeSet<ObjectKey>,
    ) -> Vec<EdgeIntent> {
        // What is there is in another queue.
        if queue == Some(&Queue::Leftovers) {
            return Vec::new();
        }
        let is_due = |intent: &EdgeIntent| {
            let gateway = &intent.gateway;
            let rests = resting.contains(gateway)
                && self.failed.get(gateway) == Some(&self.attempt(view, intent));
            let was_tried = tried.contains(gateway);
            !rests
                && match self.at_edge.get(gateway).filter(|at| at.was_begun()) {
                    None => !was_tried,
                    Some(at_edge) => {
                        let compare = self.to_compare.contains(gateway) || !at_edge.is_settled();
                        (compare && !was_tried)
                            || differs(at_edge, view, gateway)
                            || self.must_keep_policy(view, gateway)
                            || at_edge.needs(intent)
                    }
                }
        };
        let is_here = |gateway: &ObjectKey| {
            view.fate(gateway) == Fate::Serve
                && queue.is_none_or(|queue| self.queue_of(view, gateway) == *queue)
        };
        let intents = self.intents(view, is_here).into_values();
        intents.filter(is_due).collect()
    }

    /// All that decides how it ends to state an intent now, as far as it is known here.
    pub(super) fn attempt(&self, view: &View, intent: &EdgeIntent) -> Attempt {
        let found = view.gateways.get(&intent.gateway);
        Attempt {
            intent: intent.clone(),
            credentials: found.and_then(|found| found.credentials),
            published: self.is_published(&intent.gateway),
        }
    }

    /// Notes that what would be attempted now has failed.
    pub(super) fn note_failure(&mut self, view: &View, gateway: &ObjectKey) {
        let intents = self.intents(view, |wanted| wanted == gateway);
        if let Some(intent) = intents.get(gateway) {
            let attempt = self.attempt(view, intent);
            self.failed.insert(gateway.clone(), attempt);
        }
    }

    /// Whether the proxy knows the names of this view or of a later one.
    pub(super) fn is_published(&self, gateway: &ObjectKey) -> bool {
        self.published.contains_key(gateway) && !self.unpublished.contains(gateway)
    }

    /// Gateways that are not wanted and of which something may be left.
    pub(super) fn removals(&mut self, view: &View, resting: &BTreeSet<ObjectKey>) -> Removals {
        self.forget_what_is_settled(view);
        let deleting = view.gateways.values();
        let deleting = deleting
            .filter(|found| found.gateway.deleting)
            .map(|found| &found.gateway.key);
        let candidates: BTreeSet<_> = self
            .at_edge
            .keys()
            .chain(&self.leftovers)
            .chain(deleting.filter(|gateway| !self.removed.contains(*gateway)))
            .filter(|gateway| view.fate(gateway) == Fate::Remove && !self.is_left(view, gateway))
            .cloned()
            .collect();
        let mut removals = Removals::default();
        if candidates.is_empty() {
            return removals;
        }
        let awaited = self.awaited(view);
        for gateway in candidates {
            let leaves_all = self.leaves_all(view, &gateway);
            if !leaves_all && self.waits(&gateway, &awaited) {
                removals.waiting = true;
            } else if !resting.contains(&gateway) {
                removals.due.push(gateway);
            }
        }
        removals
    }

    /// Whether what becomes of a Gateway's things is not kept as it is said by now.
    fn must_keep_policy(&self, view: &View, gateway: &ObjectKey) -> bool {
        let is_kept = self.orphans.contains(gateway);
        let is_unsure = self.orphans_unsure.contains(gateway);
        let policy = view.deletion.get(gateway);
        policy.is_some_and(|policy| is_unsure || (*policy == DeletionPolicy::Orphan) != is_kept)
    }

    /// Whether it is gone and what it had was left: then there is nothing to do for it.
    fn is_left(&self, view: &View, gateway: &ObjectKey) -> bool {
        let is_at_work = self.at_edge.contains_key(gateway) || view.shown.contains(gateway);
        !is_at_work && self.orphans.contains(gateway)
    }

    fn forget_what_is_settled(&mut self, view: &View) {
        let gateways = &view.gateways;
        self.at_edge
            .retain(|gateway, at_edge| at_edge.was_begun() || view.fate(gateway) != Fate::Remove);
        self.removed
            .retain(|gateway| gateways.contains_key(gateway));
        self.to_compare
            .retain(|gateway| view.fate(gateway) == Fate::Serve);
        self.failed
            .retain(|gateway, _| view.fate(gateway) == Fate::Serve);
        self.leftovers
            .retain(|gateway| view.fate(gateway) != Fate::Serve);
        self.removal_failures
            .retain(|gateway, _| view.fate(gateway) == Fate::Remove);
        self.removal_waits
            .retain(|gateway, _| view.fate(gateway) == Fate::Remove);
    }
}

/// Whether the credentials are others than the intent was stated with.
fn differs(at_edge: &GatewayState, view: &View, gateway: &ObjectKey) -> bool {
    let found = view.gateways.get(gateway);
    found.is_some_and(|found| at_edge.credentials_differ(found))
}
