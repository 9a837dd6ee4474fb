//! From the last route pass to the edge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::state::{Fate, Proxy, View};
use super::{Problem, Reconciler};
use crate::attachment::Spared;
use crate::edge::{EdgeError, EdgeIntent, EdgeStatus};
use crate::names::ObjectKey;

/// What an edge pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePassReport {
    /// Whether nothing is left to do until something changes. Otherwise another pass is worth while, after a
    /// pause that grows with each.
    pub settled: bool,
    /// The longest time for which the edge asked to be left alone.
    pub retry_after: Option<Duration>,
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
            retry_after: None,
            stated: Vec::new(),
            removed: Vec::new(),
            swept: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, problem: Problem) {
        self.settled = false;
        self.problems.push(problem);
    }

    fn edge_problem(&mut self, subject: String, error: &EdgeError) {
        self.retry_after = self.retry_after.max(error.retry_after);
        self.problem(Problem::new(subject, error));
    }
}

/// Granting again after the first answers is enough: only a name found to have no zone changes a grant, and only
/// what a Gateway is found to have, which all first answers tell, changes what it yields.
const ROUNDS: usize = 2;

impl Reconciler {
    /// States the intents that changed (all of them with `resync`), then removes what nobody wants. One
    /// Gateway's failure does not stop another. Does nothing without leadership, and stops when it is lost.
    pub async fn edge_pass(&self, resync: bool) -> EdgePassReport {
        let mut done = EdgePassReport::nothing_to_do();
        let Some(term) = self.ports.leadership.term() else {
            return done;
        };
        let Some(view) = self.state().view.clone() else {
            done.settled = false;
            return done;
        };
        // A new term may follow what another instance did: everything is stated once.
        let new_term = self.state().begin_term(term);
        if new_term {
            self.ports.edge.begin_term();
        } else if resync {
            self.ports.edge.begin_resync();
        }
        let by_the_clock = resync;
        let resync = resync || new_term;
        let searched = self.search_leftovers(term, resync, &view, &mut done).await;
        let mut tried = BTreeSet::new();
        for round in 0..ROUNDS {
            let due = self.due(&view, resync && round == 0, &tried);
            for intent in due {
                if self.ports.leadership.term() != Some(term) {
                    done.settled = false;
                    return done;
                }
                tried.insert(intent.gateway.clone());
                self.serve(&view, intent, resync, &mut done).await;
            }
        }
        self.reshape_proxies(term, &view, &tried, &mut done).await;
        let removals = self.to_remove(&view);
        let awaited = match removals.is_empty() {
            true => BTreeSet::new(),
            false => self.state().awaited(&view),
        };
        for gateway in removals {
            if self.ports.leadership.term() != Some(term) {
                done.settled = false;
                return done;
            }
            if self.state().waits(&gateway, &awaited, by_the_clock) {
                done.settled = false;
                continue;
            }
            self.remove(&view, &gateway, &mut done).await;
        }
        if searched && self.ports.leadership.term() == Some(term) {
            self.sweep(term, &view, &mut done).await;
        }
        self.state().passed_in = Some(term);
        done
    }

    /// Makes proxies run as they should now where that is all that changed, or where an earlier call left
    /// something to do. The edge is not asked, but for the token.
    async fn reshape_proxies(
        &self,
        term: u64,
        view: &View,
        tried: &BTreeSet<ObjectKey>,
        done: &mut EdgePassReport,
    ) {
        let outdated = self.state().outdated_proxies(view).into_iter();
        for (gateway, status) in outdated.filter(|(gateway, _)| !tried.contains(gateway)) {
            if self.ports.leadership.term() != Some(term) {
                done.settled = false;
                return;
            }
            let runs = self.run_proxy(view, &gateway, &status, false, done).await;
            self.with(&gateway, |at_edge| at_edge.settled = runs);
        }
    }

    /// Looks at the edge, among the proxies and the holds for Gateways that are gone: once in each term, and at each
    /// resync. Where all are spared none is proved gone, so then nobody is looked for. Whether all was seen.
    async fn search_leftovers(
        &self,
        term: u64,
        resync: bool,
        view: &View,
        done: &mut EdgePassReport,
    ) -> bool {
        let searched = self.state().searched_in == Some(term);
        if view.spared == Spared::All || (searched && !resync) {
            return false;
        }
        let mut found = BTreeSet::new();
        let mut all_seen = true;
        match self.ports.edge.owned().await {
            Ok(owned) => found.extend(owned),
            Err(partial) => {
                all_seen = false;
                found.extend(partial.found);
                let subject = "looking for what is left at the edge".to_owned();
                done.edge_problem(subject, &partial.error);
            }
        }
        match self.ports.workloads.running().await {
            Ok(running) => found.extend(running),
            Err(error) => {
                all_seen = false;
                let subject = "looking for proxies that are left";
                done.problem(Problem::new(subject, &error));
            }
        }
        match self.ports.hold.held().await {
            Ok(held) => found.extend(held),
            Err(error) => {
                all_seen = false;
                let subject = "looking for Gateways that are still held";
                done.problem(Problem::new(subject, &error));
            }
        }
        let mut state = self.state();
        state.leftovers.extend(found);
        if all_seen {
            state.saw_all_in = Some(term);
        }
        // It is searched for again until all of it went well.
        state.searched_in = None;
        all_seen
    }

    /// Removes records that nothing leads to any more, after everything else: a name that another Gateway is
    /// to have was taken over by then, and a Gateway whose removal is not finished still counts as there.
    async fn sweep(&self, term: u64, view: &View, done: &mut EdgePassReport) {
        let live: BTreeSet<ObjectKey> = {
            let state = self.state();
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
                self.state().searched_in = Some(term);
            }
            Err(error) => {
                let subject = "looking for records of Gateways that are gone".to_owned();
                done.edge_problem(subject, &error);
            }
        }
    }

    /// Intents worth stating. In the second round those of the first are not tried again, unless their grants
    /// changed.
    fn due(&self, view: &View, all: bool, tried: &BTreeSet<ObjectKey>) -> Vec<EdgeIntent> {
        let state = self.state();
        let intents = state.intents(view).into_values();
        intents
            .filter(|intent| view.fate(&intent.gateway) == Fate::Serve)
            .filter(|intent| match state.at_edge.get(&intent.gateway) {
                None => true,
                Some(at_edge) => {
                    let again = !at_edge.settled && !tried.contains(&intent.gateway);
                    let found = view.gateways.get(&intent.gateway);
                    let differ = found.is_some_and(|found| at_edge.credentials_differ(found));
                    all || again || differ || at_edge.needs(intent)
                }
            })
            .collect()
    }

    async fn serve(
        &self,
        view: &View,
        intent: EdgeIntent,
        resync: bool,
        done: &mut EdgePassReport,
    ) {
        let gateway = intent.gateway.clone();
        if !self.is_published(&gateway) {
            // The route pass told why; a name must not lead to a proxy that does not know it.
            done.settled = false;
            return;
        }
        if let Err(error) = self.hold(&gateway).await {
            return done.problem(error);
        }
        if !self.is_published(&gateway) {
            // Withdrawn by a route pass while it was being held.
            done.settled = false;
            return;
        }
        self.state().begin(view, &intent);
        let answer = self.ports.edge.reconcile(&intent).await;
        done.stated.push(gateway.clone());
        self.with(&gateway, |at_edge| at_edge.answered(answer.clone()));
        let subject = || format!("applying Gateway {gateway} at the edge");
        let status = match answer {
            Ok(status) => status,
            Err(error) => return done.edge_problem(subject(), &error),
        };
        for error in &status.failures {
            done.edge_problem(subject(), error);
        }
        let runs = self.run_proxy(view, &gateway, &status, resync, done).await;
        let settled = runs && status.failures.is_empty();
        self.with(&gateway, |at_edge| at_edge.settled = settled);
    }

    /// Whether the proxy knows the names of this view or of a later one.
    fn is_published(&self, gateway: &ObjectKey) -> bool {
        let state = self.state();
        state.published.contains_key(gateway) && !state.unpublished.contains(gateway)
    }

    /// Before the first write at the edge, so that the Gateway cannot vanish and leave it there.
    async fn hold(&self, gateway: &ObjectKey) -> Result<(), Problem> {
        let at_edge = self.state().at_edge.get(gateway).map(|a| a.held);
        if at_edge == Some(true) {
            return Ok(());
        }
        match self.ports.hold.hold(gateway).await {
            Ok(()) => {
                let mut state = self.state();
                state.at_edge.entry(gateway.clone()).or_default().held = true;
                Ok(())
            }
            Err(error) => Err(Problem::new(format!("holding Gateway {gateway}"), &error)),
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
                done.edge_problem(subject, &error);
                return false;
            }
        };
        let workloads = &self.ports.workloads;
        match workloads.ensure(gateway, &proxy.spec, tunnel, &token).await {
            Ok(status) => {
                let finished = !status.unfinished;
                done.settled &= finished;
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
                done.problem(Problem::new(subject, &error));
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

    /// Gateways that something may be left of and that nobody wants.
    fn to_remove(&self, view: &View) -> Vec<ObjectKey> {
        let mut state = self.state();
        let gateways = &view.gateways;
        state
            .removed
            .retain(|gateway| gateways.contains_key(gateway));
        state
            .leftovers
            .retain(|gateway| view.fate(gateway) != Fate::Serve);
        state
            .held_up
            .retain(|gateway, _| view.fate(gateway) == Fate::Remove);
        let deleting = gateways
            .values()
            .filter(|found| found.gateway.deleting)
            .map(|found| &found.gateway.key);
        let candidates: BTreeSet<_> = state
            .at_edge
            .keys()
            .chain(&state.leftovers)
            .chain(deleting.filter(|gateway| !state.removed.contains(*gateway)))
            .filter(|gateway| view.fate(gateway) == Fate::Remove)
            .cloned()
            .collect();
        candidates.into_iter().collect()
    }

    /// Proxy, edge, table, hold, in this order: what resolves keeps being answered until it does not resolve,
    /// and the object stays until nothing else is left. A failure leaves the rest for the next pass.
    async fn remove(&self, view: &Arc<View>, gateway: &ObjectKey, done: &mut EdgePassReport) {
        match self.remove_all(gateway).await {
            Err(Failed::Port(problem)) => done.problem(problem),
            Err(Failed::Edge(subject, error)) => done.edge_problem(subject, &error),
            Ok(()) => {
                let mut state = self.state();
                state.at_edge.remove(gateway);
                state.published.remove(gateway);
                state.unpublished.remove(gateway);
                state.leftovers.remove(gateway);
                state.held_up.remove(gateway);
                if view.gateways.contains_key(gateway) {
                    state.removed.insert(gateway.clone());
                }
                done.removed.push(gateway.clone());
            }
        }
    }

    async fn remove_all(&self, gateway: &ObjectKey) -> Result<(), Failed> {
        let port = |what: &str, error| {
            let subject = format!("{what} of Gateway {gateway}");
            Failed::Port(Problem::new(subject, &error))
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
        let forgotten = ports.edge.forget(gateway).await;
        forgotten.map_err(|error| {
            let subject = format!("removing what Gateway {gateway} has at the edge");
            Failed::Edge(subject, error)
        })?;
        // A removal that stops after this must not leave a table that is thought to be served.
        self.state().retract(gateway);
        let withdrawn = ports.data_plane.withdraw(gateway).await;
        withdrawn.map_err(|error| port("withdrawing the routes", error))?;
        // Let go even if the answer is lost: a Gateway that comes back must be held anew.
        self.with(gateway, |at_edge| at_edge.held = false);
        let released = ports.hold.release(gateway).await;
        released.map_err(|error: crate::ports::PortError| port("letting go", error))
    }
}

/// Where a removal stopped.
enum Failed {
    Port(Problem),
    Edge(String, EdgeError),
}
