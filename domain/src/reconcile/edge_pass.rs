//! From the last route pass to the edge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::gateway_state::GatewayState;
use super::view::View;
use super::{Problem, Queue, Reconciler};
use crate::error::PortError;
use crate::names::ObjectKey;

pub(super) struct Pass<'a> {
    pub(super) term: u64,
    pub(super) view: Arc<View>,
    pub(super) queue: &'a Queue,
    pub(super) resting: &'a BTreeSet<ObjectKey>,
}

/// What an edge pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePassReport {
    /// Whether nothing is left to do until something changes. Otherwise another pass is worth while, after a
    /// pause that grows with each.
    pub settled: bool,
    /// Gateways for which something is left, each with the least time to the next attempt where one is known.
    pub again: BTreeMap<ObjectKey, Option<Duration>>,
    pub stated: Vec<ObjectKey>,
    /// Gateways of which nothing is left.
    pub removed: Vec<ObjectKey>,
    /// Gateways that are gone and left what they had.
    pub orphaned: Vec<ObjectKey>,
    /// Names of records that were removed because neither a Gateway nor a tunnel led to them any more.
    pub swept: BTreeSet<String>,
    pub problems: Vec<Problem>,
}

impl EdgePassReport {
    fn nothing_to_do() -> Self {
        Self {
            settled: true,
            again: BTreeMap::new(),
            stated: Vec::new(),
            removed: Vec::new(),
            orphaned: Vec::new(),
            swept: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn unfinished() -> Self {
        Self {
            settled: false,
            ..Self::nothing_to_do()
        }
    }

    /// Takes in what another pass did.
    fn add(&mut self, other: Self) {
        self.settled &= other.settled;
        for (gateway, retry_after) in other.again {
            self.again(&gateway, retry_after);
        }
        self.stated.extend(other.stated);
        self.removed.extend(other.removed);
        self.orphaned.extend(other.orphaned);
        self.swept.extend(other.swept);
        self.problems.extend(other.problems);
    }

    pub(super) fn again(&mut self, gateway: &ObjectKey, retry_after: Option<Duration>) {
        self.settled = false;
        let known = self.again.entry(gateway.clone()).or_default();
        *known = retry_after.max(*known);
    }

    /// Something is left to do for the Gateway.
    pub(super) fn failed(&mut self, gateway: &ObjectKey, subject: String, error: &PortError) {
        self.again(gateway, error.retry_after);
        self.problems.push(Problem::of(gateway, subject, error));
    }

    /// Something is left to do that is of no Gateway in particular.
    pub(super) fn failed_for_all(&mut self, subject: &str, error: &PortError) {
        self.settled = false;
        self.problems.push(Problem::new(subject, error));
    }
}

/// Granting again after the first answers is enough: only a name found to have no zone changes a grant, and only
/// what a Gateway is found to have, which all first answers tell, changes what it yields.
const ROUNDS: usize = 2;

/// Queues that [`Reconciler::edge_pass`] works on at a time.
const QUEUES_AT_A_TIME: usize = 8;

impl Reconciler {
    /// Passes of all queues that have something to do, side by side, in the order that costs the fewest calls: first
    /// is found what may be left, last is removed what nothing leads to. For callers to whom time does not matter; a program that
    /// runs on keeps its queues apart with [`Reconciler::edge_queues`] and [`Reconciler::edge_pass_of`].
    pub async fn edge_pass(&self, resync: bool) -> EdgePassReport {
        if self.ports.leadership.term().is_none() {
            return EdgePassReport::nothing_to_do();
        }
        if resync {
            self.begin_resync();
        }
        let Some((term, view)) = self.begin() else {
            return EdgePassReport::unfinished();
        };
        let mut done = EdgePassReport::nothing_to_do();
        self.search_leftovers(term, &view, &mut done).await;
        // The answers that one queue got may change what another is to do.
        for _ in 0..ROUNDS {
            let resting = &done.again.keys().cloned().collect();
            let mut queues = {
                let now = self.ports.clock.now();
                self.state().due_queues(&view, resting, now)
            };
            queues.remove(&Queue::Leftovers);
            let passes = queues.into_iter().map(|queue| {
                let view = view.clone();
                async move { self.work(term, view, &queue, resting).await }
            });
            let passes = stream::iter(passes).buffer_unordered(QUEUES_AT_A_TIME);
            let reports: Vec<_> = passes.collect().await;
            reports.into_iter().for_each(|report| done.add(report));
        }
        let resting = &done.again.keys().cloned().collect();
        let last = self.work(term, view, &Queue::Leftovers, resting);
        done.add(last.await);
        done
    }

    /// States the intents of one queue that changed, then removes what is not wanted. One Gateway's failure does not
    /// stop another. Gateways that `rest` are left alone as [`Reconciler::edge_queues`] says. Does nothing without
    /// leadership, and stops when it is lost.
    pub async fn edge_pass_of(
        &self,
        queue: &Queue,
        resting: &BTreeSet<ObjectKey>,
    ) -> EdgePassReport {
        let mut done = EdgePassReport::nothing_to_do();
        let Some((term, view)) = self.begin() else {
            return done;
        };
        if *queue == Queue::Leftovers {
            self.search_leftovers(term, &view, &mut done).await;
        }
        done.add(self.work(term, view, queue, resting).await);
        done
    }

    async fn work(
        &self,
        term: u64,
        view: Arc<View>,
        queue: &Queue,
        resting: &BTreeSet<ObjectKey>,
    ) -> EdgePassReport {
        let mut done = EdgePassReport::nothing_to_do();
        let pass = Pass {
            term,
            view,
            queue,
            resting,
        };
        let went_on =
            self.serve_all(&pass, &mut done).await && self.remove_unwanted(&pass, &mut done).await;
        if !went_on {
            done.settled = false;
            return done;
        }
        if *queue == Queue::Leftovers {
            self.sweep(&pass, &mut done).await;
        }
        self.state().term.passed.insert(queue.clone());
        done
    }

    /// The term and the view to work in; `None` without leadership, and before the first route pass. A new term may
    /// follow what another instance did: everything is stated once.
    pub(super) fn begin(&self) -> Option<(u64, Arc<View>)> {
        let term = self.ports.leadership.term()?;
        let view = self.state().view.clone()?;
        if self.state().begin_term(term) {
            self.ports.edge.begin_resync();
        }
        let now = self.ports.clock.now();
        let compared = self.state().begin_comparisons(&view, now);
        for gateway in &compared {
            self.ports.edge.read_anew(gateway);
        }
        Some((term, view))
    }

    pub(super) fn leads_in(&self, term: u64) -> bool {
        self.ports.leadership.term() == Some(term)
    }

    /// Whether all was gone through, and the leadership kept.
    async fn serve_all(&self, pass: &Pass<'_>, done: &mut EdgePassReport) -> bool {
        let mut tried = BTreeSet::new();
        for _ in 0..ROUNDS {
            let due = self
                .state()
                .due(&pass.view, Some(pass.queue), pass.resting, &tried);
            for intent in due {
                if !self.leads_in(pass.term) {
                    return false;
                }
                tried.insert(intent.gateway.clone());
                if self.state().suspended.contains(&intent.gateway) {
                    continue;
                }
                self.serve(pass, intent, done).await;
            }
        }
        self.reshape_proxies(pass, &tried, done).await
    }

    /// Makes proxies run as they should now where that is all that changed, or where an earlier call left
    /// something to do. The edge is not asked, but for the token.
    async fn reshape_proxies(
        &self,
        pass: &Pass<'_>,
        tried: &BTreeSet<ObjectKey>,
        done: &mut EdgePassReport,
    ) -> bool {
        let now = self.ports.clock.now();
        let outdated = {
            let state = self.state();
            let mut outdated = state.outdated_proxies(&pass.view, now);
            outdated.retain(|(gateway, _)| {
                let left_alone = tried.contains(gateway) || pass.resting.contains(gateway);
                !left_alone && state.queue_of(&pass.view, gateway) == *pass.queue
            });
            outdated
        };
        for (gateway, status) in outdated {
            if !self.leads_in(pass.term) {
                return false;
            }
            if self.state().suspended.contains(&gateway) {
                continue;
            }
            let runs = self
                .run_proxy(&pass.view, &gateway, &status, false, done)
                .await;
            self.with(&gateway, |at_edge| at_edge.settle(runs.is_some()));
            match runs {
                Some(runs) => self.rotate(pass, &gateway, &status, runs, done).await,
                None => self.state().note_failure(&pass.view, &gateway),
            }
        }
        true
    }

    pub(super) fn with<T>(
        &self,
        gateway: &ObjectKey,
        act: impl FnOnce(&mut GatewayState) -> T,
    ) -> Option<T> {
        self.state().at_edge.get_mut(gateway).map(act)
    }
}
