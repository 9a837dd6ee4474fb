//! Removing what is not wanted: Gateways, what is left of them, and records that nothing leads to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Reconciler;
use super::edge_pass::{EdgePassReport, Pass};
use super::gateway_state::GatewayState;
use super::orphaning::Failure;
use super::queue::Removals;
use super::term::Search;
use super::view::{Fate, View};
use crate::attachment::Retained;
use crate::error::{PortError, PortErrorKind};
use crate::gateway::DeletionPolicy;
use crate::names::ObjectKey;

impl Reconciler {
    pub(super) async fn remove_unwanted(&self, pass: &Pass<'_>, done: &mut EdgePassReport) -> bool {
        let removals = self.removals_here(pass);
        done.settled &= !removals.waiting;
        if removals.due.is_empty() || !self.read_orphans(pass.term, done).await {
            return self.leads_in(pass.term);
        }
        // Once more, as some of them may be gone already and have left what they had.
        for gateway in self.removals_here(pass).due {
            if !self.leads_in(pass.term) {
                return false;
            }
            if !self.is_wanted_by_now(&gateway) {
                self.remove(&pass.view, &gateway, done).await;
            }
        }
        self.leads_in(pass.term)
    }

    /// Whether a route pass has seen it since the pass began, in which case what it has is not left over, or whether it is
    /// suspended now.
    fn is_wanted_by_now(&self, gateway: &ObjectKey) -> bool {
        let state = self.state();
        let newest = state.view.as_ref();
        state.suspended.contains(gateway)
            || newest.is_some_and(|view| view.fate(gateway) != Fate::Remove)
    }

    fn removals_here(&self, pass: &Pass<'_>) -> Removals {
        let mut state = self.state();
        let mut removals = state.removals(&pass.view, pass.resting);
        let here = |gateway: &ObjectKey| state.queue_of(&pass.view, gateway) == *pass.queue;
        removals.due.retain(here);
        removals
    }

    /// Looks at the edge, among the proxies and the finalizers for Gateways that are gone: once in each term, and at each
    /// resync. Where all are retained none is proved gone, so none is looked for.
    pub(super) async fn search_leftovers(&self, term: u64, view: &View, done: &mut EdgePassReport) {
        if view.retained == Retained::All || self.state().term.search != Search::Due {
            return;
        }
        let begun = self.state().resyncs;
        let (mut at_edge, mut found) = (BTreeSet::new(), BTreeSet::new());
        let mut all_seen = true;
        let mut failed = |subject: &str, error: &PortError| {
            all_seen = false;
            done.failed_for_all(subject, error);
        };
        match self.ports.edge.owned().await {
            Ok(owned) => at_edge.extend(owned),
            Err(partial) => {
                at_edge.extend(partial.found);
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
        found.extend(at_edge.iter().cloned());
        state.leftovers.extend(found);
        state.term.seen_at_edge = at_edge;
        // Where not all went well it is searched for again, and so it is if the next resync has begun meanwhile.
        if all_seen && state.resyncs == begun && state.term.number == Some(term) {
            state.term.saw_all = true;
            state.term.search = Search::Searched;
        }
    }

    /// Removes records that nothing leads to any more, after everything else: a name that another Gateway is
    /// to have was taken over by then, and a Gateway whose removal is not finished still counts as there.
    pub(super) async fn sweep(&self, pass: &Pass<'_>, done: &mut EdgePassReport) {
        let view = &pass.view;
        if !self.state().may_sweep(view) || !self.read_orphans(pass.term, done).await {
            return;
        }
        let live: BTreeSet<ObjectKey> = {
            let state = self.state();
            let shown = view.gateways.keys();
            let shown = shown.filter(|gateway| view.fate(gateway) != Fate::Remove);
            let unfinished = state.at_edge.keys().chain(&state.leftovers);
            let live = shown.chain(&view.classless).chain(view.retained.named());
            let live = live
                .chain(unfinished)
                .chain(&view.suspended)
                .chain(&state.orphans);
            live.cloned().collect()
        };
        match self.ports.edge.sweep(&live).await {
            Ok(swept) => {
                done.swept = swept;
                self.state().term.swept();
            }
            Err(error) => {
                self.state().term.search = Search::Due;
                let subject = "looking for records of Gateways that are gone";
                done.failed_for_all(subject, &error);
            }
        }
    }

    /// Proxy, edge, table, finalizer, in this order: what resolves keeps being answered until it does not resolve,
    /// and the object stays until nothing else is left. A failure leaves the rest for the next pass.
    async fn remove(&self, view: &Arc<View>, gateway: &ObjectKey, done: &mut EdgePassReport) {
        if let Some(found) = view.gateways.get(gateway) {
            let zones = &found.parameters.records.zone_ids;
            self.ports.edge.know_zones(gateway, zones);
        }
        let leaves_all = self.state().leaves_all(view, gateway);
        let went = match leaves_all {
            true => self.orphan(gateway).await,
            false => self.remove_all(view, gateway).await,
        };
        match went {
            Err((subject, error)) => {
                self.tell_of_failed_removal(gateway, &subject, &error);
                done.failed(gateway, subject, &error);
            }
            Ok(()) => {
                let mut state = self.state();
                state.at_edge.remove(gateway);
                state.leftovers.remove(gateway);
                state.removal_waits.remove(gateway);
                state.removal_failures.remove(gateway);
                if view.gateways.contains_key(gateway) {
                    state.removed.insert(gateway.clone());
                }
                let went = match leaves_all {
                    true => &mut done.orphaned,
                    false => &mut done.removed,
                };
                went.push(gateway.clone());
            }
        }
    }

    /// Fails with what was being done.
    async fn remove_all(&self, view: &View, gateway: &ObjectKey) -> Result<(), Failure> {
        let failed = |what: &str, error| (format!("{what} of Gateway {gateway}"), error);
        let known = self.require_credentials(view, gateway).await;
        known.map_err(|error| failed("finding what is left", error))?;
        let ports = &self.ports;
        let stopped = ports.workloads.stop(gateway).await;
        stopped.map_err(|error| failed("stopping the proxy", error))?;
        self.with(gateway, GatewayState::begin_removal);
        let removed = ports.edge.remove(gateway).await;
        removed.map_err(|error| {
            let subject = format!("removing what Gateway {gateway} has at the edge");
            (subject, error)
        })?;
        // A removal that stops after this must not leave a table that is thought to be served.
        self.state().retract(gateway);
        let withdrawn = ports.data_plane.withdraw(gateway).await;
        // A route pass may have published it again meanwhile, before or after it was withdrawn.
        self.state().retract(gateway);
        withdrawn.map_err(|error| failed("withdrawing the routes", error))?;
        let forgotten = ports.rotations.forget(gateway).await;
        forgotten.map_err(|error| failed("forgetting the rotations of the token", error))?;
        self.keep_as(gateway, DeletionPolicy::Delete)
            .await
            .map_err(|error| failed("forgetting the deletion policy", error))?;
        // Counts as removed even if the answer is lost: a Gateway that comes back must get it anew.
        self.with(gateway, GatewayState::finalizer_removed);
        let released = ports.finalizer.remove(gateway).await;
        released.map_err(|error| failed("removing the finalizer", error))
    }

    /// Of a Gateway whose object is there and whose credentials are not, what it has may be where nobody looks. Then it
    /// is not gone because nothing of it is seen.
    async fn require_credentials(&self, view: &View, gateway: &ObjectKey) -> Result<(), PortError> {
        {
            let state = self.state();
            let at_edge = state.at_edge.get(gateway);
            let was_answered = at_edge.is_some_and(|at_edge| at_edge.last_known().is_some());
            let is_seen = was_answered || state.term.seen_at_edge.contains(gateway);
            if is_seen || !view.shown.contains(gateway) {
                return Ok(());
            }
        }
        match self.ports.edge.admit(gateway).await {
            Err(error) if error.kind == PortErrorKind::Credentials => Err(error),
            _ => Ok(()),
        }
    }
}
