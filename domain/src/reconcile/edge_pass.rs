//! From the last route pass to the edge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::state::{AtEdge, Fate, Proxy, View};
use super::{Problem, Queue, Reconciler};
use crate::attachment::Spared;
use crate::edge::{EdgeError, EdgeIntent, EdgeStatus, namesakes};
use crate::names::ObjectKey;
use crate::ports::PortError;

/// What a pass works on.
struct Pass<'a> {
    term: u64,
    view: Arc<View>,
    queue: &'a Queue,
    resting: &'a BTreeSet<ObjectKey>,
}

/// What an edge pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePassReport {
    /// Whether nothing is left to do until something changes. Otherwise another pass is worth while, after a
    /// pause that grows with each.
    pub settled: bool,
    /// Gateways for which something is left, each with the time for which the edge asked to be left alone.
    pub again: BTreeMap<ObjectKey, Option<Duration>>,
    /// Gateways whose intent was stated.
    pub stated: Vec<ObjectKey>,
    /// Gateways of which nothing is left.
    pub removed: Vec<ObjectKey>,
    /// Names of records that were removed because neither a Gateway nor a tunnel led to them any more.
    pub swept: BTreeSet<String>,
    /// What failed.
    pub problems: Vec<Problem>,
}

impl EdgePassReport {
    fn nothing_to_do() -> Self {
        Self {
            settled: true,
            again: BTreeMap::new(),
            stated: Vec::new(),
            removed: Vec::new(),
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
        self.swept.extend(other.swept);
        self.problems.extend(other.problems);
    }

    fn again(&mut self, gateway: &ObjectKey, retry_after: Option<Duration>) {
        self.settled = false;
        let known = self.again.entry(gateway.clone()).or_default();
        *known = retry_after.max(*known);
    }

    /// Something is left to do for the Gateway that the problem is about, or for none.
    fn problem(&mut self, problem: Problem, retry_after: Option<Duration>) {
        self.settled = false;
        if let Some(gateway) = &problem.gateway {
            self.again(gateway, retry_after);
        }
        self.problems.push(problem);
    }
}

/// Granting again after the first answers is enough: only a name found to have no zone changes a grant, and only
/// what a Gateway is found to have, which all first answers tell, changes what it yields.
const ROUNDS: usize = 2;

/// Queues that [`Reconciler::edge_pass`] works on at a time.
const QUEUES_AT_A_TIME: usize = 8;

impl Reconciler {
    /// Passes of all queues that have something to do, side by side, in the order that costs the fewest calls: first
    /// is found what may be left, last is removed what nothing leads to. For whoever cares for no time; a program that
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
        // What one queue was told may change what another is to do.
        for _ in 0..ROUNDS {
            let resting = &done.again.keys().cloned().collect();
            let mut queues = self.state().due_queues(&view, resting);
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

    /// States the intents of one queue that changed, then removes what nobody wants. One Gateway's failure does not
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
        self.state().passed.insert(queue.clone());
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
        Some((term, view))
    }

    fn leads_in(&self, term: u64) -> bool {
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
                self.serve(&pass.view, intent, done).await;
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
        let outdated = {
            let state = self.state();
            let mut outdated = state.outdated_proxies(&pass.view);
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
            let runs = self
                .run_proxy(&pass.view, &gateway, &status, false, done)
                .await;
            self.with(&gateway, |at_edge| at_edge.settled = runs);
            if !runs {
                self.state().note_failure(&pass.view, &gateway);
            }
        }
        true
    }

    async fn remove_unwanted(&self, pass: &Pass<'_>, done: &mut EdgePassReport) -> bool {
        let removals = {
            let mut state = self.state();
            let mut removals = state.removals(&pass.view, pass.resting);
            let here = |gateway: &ObjectKey| state.queue_of(&pass.view, gateway) == *pass.queue;
            removals.due.retain(here);
            removals
        };
        done.settled &= !removals.waiting;
        for gateway in removals.due {
            if !self.leads_in(pass.term) {
                return false;
            }
            self.remove(&pass.view, &gateway, done).await;
        }
        self.leads_in(pass.term)
    }

    /// Looks at the edge, among the proxies and the finalizers for Gateways that are gone: once in each term, and at each
    /// resync. Where all are spared none is proved gone, so then nobody is looked for.
    async fn search_leftovers(&self, term: u64, view: &View, done: &mut EdgePassReport) {
        if view.spared == Spared::All || !self.state().search_due {
            return;
        }
        let begun = self.state().resyncs;
        let mut found = BTreeSet::new();
        let mut all_seen = true;
        let mut failed = |subject: &str, error: &dyn std::fmt::Display| {
            all_seen = false;
            done.problem(Problem::new(subject, &error), None);
        };
        match self.ports.edge.owned().await {
            Ok(owned) => found.extend(owned),
            Err(partial) => {
                found.extend(partial.found);
                failed("looking for what is left at the edge", &partial.error);
            }
        }
        match self.ports.workloads.running().await {
            Ok(running) => found.extend(running),
            Err(error) => failed("looking for proxies that are left", &error),
        }
        match self.ports.finalizer.gateways().await {
            Ok(gateways) => found.extend(gateways),
            Err(error) => failed("looking for Gateways that still have the finalizer", &error),
        }
        let mut state = self.state();
        state.leftovers.extend(found);
        // Where not all went well it is searched for again, and so it is if the next resync has begun meanwhile.
        if all_seen && state.resyncs == begun && state.stated_in == Some(term) {
            state.saw_all_in = Some(term);
            state.search_due = false;
            state.sweep_due = Some(begun);
        }
    }

    /// Removes records that nothing leads to any more, after everything else: a name that another Gateway is
    /// to have was taken over by then, and a Gateway whose removal is not finished still counts as there.
    async fn sweep(&self, pass: &Pass<'_>, done: &mut EdgePassReport) {
        let view = &pass.view;
        let live: BTreeSet<ObjectKey> = {
            let state = self.state();
            if state.search_due || !state.may_sweep(view) {
                return;
            }
            let shown = view.gateways.keys();
            let shown = shown.filter(|gateway| view.fate(gateway) != Fate::Remove);
            let unfinished = state.at_edge.keys().chain(&state.leftovers);
            let live = shown.chain(&view.classless).chain(view.spared.named());
            let live = live.chain(unfinished);
            live.cloned().collect()
        };
        match self.ports.edge.sweep(&live).await {
            Ok(swept) => {
                done.swept = swept;
                self.state().sweep_due = None;
            }
            Err(error) => {
                self.state().search_due = true;
                let subject = "looking for records of Gateways that are gone";
                done.problem(Problem::new(subject, &error), None);
            }
        }
    }

    async fn serve(&self, view: &View, intent: EdgeIntent, done: &mut EdgePassReport) {
        let gateway = intent.gateway.clone();
        {
            let mut state = self.state();
            let attempt = state.attempt(view, &intent);
            // Until it is known to have gone well.
            state.failed.insert(gateway.clone(), attempt);
        }
        if !self.state().is_published(&gateway) {
            // The route pass told why; a name must not lead to a proxy that does not know it.
            return done.again(&gateway, None);
        }
        let problem = |error: &EdgeError| {
            let subject = format!("applying Gateway {gateway} at the edge");
            Problem::of(&gateway, subject, error)
        };
        if let Err(error) = self.admit(view, &gateway).await {
            return done.problem(problem(&error), error.retry_after);
        }
        if let Err(problem) = self.add_finalizer(view, &gateway).await {
            return done.problem(problem, None);
        }
        if !self.state().is_published(&gateway) {
            // Withdrawn by a route pass while the finalizer was being added.
            return done.again(&gateway, None);
        }
        let compared = {
            let mut state = self.state();
            state.begin(view, &intent);
            state.to_compare.remove(&gateway)
        };
        let answer = self.ports.edge.reconcile(&intent).await;
        done.stated.push(gateway.clone());
        self.with(&gateway, |at_edge| at_edge.answered(answer.clone()));
        let status = match answer {
            Ok(status) => status,
            Err(error) => return done.problem(problem(&error), error.retry_after),
        };
        for error in &status.failures {
            done.problem(problem(error), error.retry_after);
        }
        // Nothing is left to do for these; whoever can mend them must hear of them.
        for told in namesakes::told(&status) {
            let subject = format!("applying Gateway {gateway} at the edge");
            done.problems.push(Problem::of(&gateway, subject, &told));
        }
        let runs = self
            .run_proxy(view, &gateway, &status, compared, done)
            .await;
        let settled = runs && status.failures.is_empty();
        self.with(&gateway, |at_edge| at_edge.settled = settled);
        if settled {
            self.state().failed.remove(&gateway);
        }
    }

    /// Before the finalizer is added: a Gateway whose credentials never worked has nothing at the edge, and its object must not
    /// wait for credentials that do.
    async fn admit(&self, view: &View, gateway: &ObjectKey) -> Result<(), EdgeError> {
        let has_finalizer = |at_edge: &AtEdge| at_edge.finalizer;
        if self.state().at_edge.get(gateway).is_some_and(has_finalizer) {
            return Ok(());
        }
        let admitted = self.ports.edge.admit(gateway).await;
        if let Err(error) = &admitted {
            let mut state = self.state();
            state.at_edge_of(view, gateway).answered(Err(error.clone()));
        }
        admitted
    }

    /// Before the first write at the edge, so that the Gateway cannot vanish and leave it there.
    async fn add_finalizer(&self, view: &View, gateway: &ObjectKey) -> Result<(), Problem> {
        let has_finalizer = |at_edge: &AtEdge| at_edge.finalizer;
        if self.state().at_edge.get(gateway).is_some_and(has_finalizer) {
            return Ok(());
        }
        match self.ports.finalizer.add(gateway).await {
            Ok(()) => {
                self.state().at_edge_of(view, gateway).finalizer = true;
                Ok(())
            }
            Err(error) => {
                let subject = format!("adding the finalizer to Gateway {gateway}");
                Err(Problem::of(gateway, subject, &error))
            }
        }
    }

    /// Makes the proxy run where its tunnel is new to it or it should run otherwise than before, and at a
    /// resync, in case its token was changed.
    async fn run_proxy(
        &self,
        view: &View,
        gateway: &ObjectKey,
        status: &EdgeStatus,
        resync: bool,
        done: &mut EdgePassReport,
    ) -> bool {
        let Some(tunnel) = status.tunnels.first().map(|tunnel| tunnel.id) else {
            return true;
        };
        let Some(found) = view.gateways.get(gateway) else {
            return true;
        };
        let spec = found.parameters.workload.clone();
        let proxy = Proxy {
            tunnel,
            spec,
            finished: true,
        };
        let runs = self.with(gateway, |at_edge| at_edge.proxy.take()).flatten();
        if runs.as_ref() == Some(&proxy) && !resync {
            self.with(gateway, |at_edge| at_edge.proxy = runs);
            return true;
        }
        let token = match self.ports.edge.connector_token(gateway).await {
            Ok(token) => token,
            Err(error) => {
                let subject = format!("getting the connector token of Gateway {gateway}");
                let problem = Problem::of(gateway, subject, &error);
                done.problem(problem, error.retry_after);
                return false;
            }
        };
        let workloads = &self.ports.workloads;
        match workloads.ensure(gateway, &proxy.spec, tunnel, &token).await {
            Ok(status) => {
                let finished = !status.unfinished;
                if !finished {
                    done.again(gateway, None);
                }
                let proxy = Proxy { finished, ..proxy };
                self.with(gateway, |at_edge| {
                    at_edge.proxy = Some(proxy);
                    at_edge.not_run = None;
                });
                true
            }
            Err(error) => {
                let subject = format!("running the proxy of Gateway {gateway}");
                self.with(gateway, |at_edge| at_edge.not_run = Some(error.to_string()));
                done.problem(Problem::of(gateway, subject, &error), None);
                false
            }
        }
    }

    fn with<T>(
        &self,
        gateway: &ObjectKey,
        act: impl FnOnce(&mut super::state::AtEdge) -> T,
    ) -> Option<T> {
        self.state().at_edge.get_mut(gateway).map(act)
    }

    /// Proxy, edge, table, finalizer, in this order: what resolves keeps being answered until it does not resolve,
    /// and the object stays until nothing else is left. A failure leaves the rest for the next pass.
    async fn remove(&self, view: &Arc<View>, gateway: &ObjectKey, done: &mut EdgePassReport) {
        match self.remove_all(gateway).await {
            Err(failed) => done.problem(failed.problem, failed.retry_after),
            Ok(()) => {
                let mut state = self.state();
                state.at_edge.remove(gateway);
                state.published.remove(gateway);
                state.unpublished.remove(gateway);
                state.leftovers.remove(gateway);
                state.removal_waits.remove(gateway);
                if view.gateways.contains_key(gateway) {
                    state.removed.insert(gateway.clone());
                }
                done.removed.push(gateway.clone());
            }
        }
    }

    async fn remove_all(&self, gateway: &ObjectKey) -> Result<(), Failed> {
        let port = |what: &str, error: PortError| {
            let subject = format!("{what} of Gateway {gateway}");
            Failed {
                problem: Problem::of(gateway, subject, &error),
                retry_after: None,
            }
        };
        let ports = &self.ports;
        let stopped = ports.workloads.stop(gateway).await;
        stopped.map_err(|error| port("stopping the proxy", error))?;
        // Whatever comes of it, a Gateway that comes back must be stated anew.
        self.with(gateway, |at_edge| {
            at_edge.proxy = None;
            at_edge.intent = None;
            at_edge.settled = false;
        });
        let removed = ports.edge.remove(gateway).await;
        removed.map_err(|error| {
            let subject = format!("removing what Gateway {gateway} has at the edge");
            Failed {
                problem: Problem::of(gateway, subject, &error),
                retry_after: error.retry_after,
            }
        })?;
        // A removal that stops after this must not leave a table that is thought to be served.
        self.state().retract(gateway);
        let withdrawn = ports.data_plane.withdraw(gateway).await;
        withdrawn.map_err(|error| port("withdrawing the routes", error))?;
        // Counts as removed even if the answer is lost: a Gateway that comes back must get it anew.
        self.with(gateway, |at_edge| at_edge.finalizer = false);
        let released = ports.finalizer.remove(gateway).await;
        released.map_err(|error| port("removing the finalizer", error))
    }
}

/// Where a removal stopped.
struct Failed {
    problem: Problem,
    retry_after: Option<Duration>,
}
