//! From the last route pass to statuses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::promises::Deliveries;
use super::view::{Fate, View};
use super::{Problem, Reconciler};
use crate::attachment::Resolution;
use crate::names::ObjectKey;
use crate::ports::Delivery;
use crate::report::{GatewayFacts, report};
use crate::status::{StatusPart, StatusUpdate};

/// What a status pass did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusPassReport {
    /// Gateways whose table is on its way to their replicas: statuses that newly promise traffic wait for it.
    /// Another pass is due when the data plane reports a change of this.
    pub waiting: Vec<ObjectKey>,
    /// What failed; another pass tries again.
    pub problems: Vec<Problem>,
    /// The least time to that pass.
    pub retry_after: Option<Duration>,
}

/// What a route pass concluded, for the statuses.
pub(super) struct Conclusions {
    pub(super) view: Arc<View>,
    pub(super) resolution: Resolution,
    /// Whether tables and the edge were left as they were.
    pub(super) withheld: bool,
}

impl Reconciler {
    /// Writes what the last route pass concluded, with what is known of edge and proxies by now, if this instance
    /// leads. Does nothing where all of it is written.
    pub async fn status_pass(&self) -> StatusPassReport {
        let mut done = StatusPassReport::default();
        let Some(conclusions) = self.state().unwritten.clone() else {
            return done;
        };
        if let Some(term) = self.ports.leadership.term() {
            self.report(&conclusions, term, &mut done).await;
        }
        let mut state = self.state();
        let is_last = |last: &Arc<Conclusions>| Arc::ptr_eq(last, &conclusions);
        if done.problems.is_empty() && state.unwritten.as_ref().is_some_and(is_last) {
            state.unwritten = None;
        }
        done
    }

    /// Writes the statuses that may be written by now.
    async fn report(&self, conclusions: &Conclusions, term: u64, done: &mut StatusPassReport) {
        let view = &conclusions.view;
        // Before the facts: an edge pass that ends while they are gathered must not make them look known.
        let unasked = match conclusions.withheld {
            false => self.state().unasked(view, term),
            // No edge pass would come to ask.
            true => BTreeSet::new(),
        };
        let facts = self.facts(view).await;
        let updates = without_suspended(report(&conclusions.resolution, &facts), view);
        let deliveries: Deliveries = facts
            .keys()
            .map(|key| (key.clone(), self.ports.data_plane.delivery(key)))
            .collect();
        let pending = deliveries.iter();
        let pending = pending.filter(|(_, delivery)| **delivery == Delivery::Pending);
        done.waiting = pending.map(|(key, _)| key.clone()).collect();
        let due = {
            let mut state = self.state();
            state.written.begin_term(term);
            state.written.due(updates, &deliveries, &unasked)
        };
        match self.ports.statuses.write(&due.updates).await {
            Ok(()) => self.state().written.remember(due),
            Err(error) => {
                done.retry_after = error.retry_after;
                done.problems.push(Problem::new("writing statuses", &error));
            }
        }
    }

    async fn facts(&self, view: &View) -> BTreeMap<ObjectKey, GatewayFacts> {
        let mut facts = BTreeMap::new();
        for (key, found) in &*view.gateways {
            let workload = self.ports.workloads.status(key).await;
            let mut of_gateway = self.state().facts(key, workload);
            if view.fate(key) == Fate::Keep {
                // There is nothing to compare.
                of_gateway.handled.clone_from(&found.reconciling.request);
            }
            facts.insert(key.clone(), of_gateway);
        }
        facts
    }
}

/// Without what is about Gateways that are suspended: their statuses stay as they are, and so do the entries of routes
/// for them.
fn without_suspended(mut updates: Vec<StatusUpdate>, view: &View) -> Vec<StatusUpdate> {
    let is_suspended = |part: &StatusPart| {
        let gateway = part.gateway.as_ref();
        gateway.is_some_and(|gateway| view.is_suspended(gateway))
    };
    updates.retain(|update| update.parts.is_empty() || !update.parts.iter().all(is_suspended));
    for part in updates.iter_mut().flat_map(|update| &mut update.parts) {
        if is_suspended(part) {
            part.conditions.clear();
        }
    }
    updates
}
