//! Making the intent of one Gateway true, and its proxy run.

use super::edge_pass::{EdgePassReport, Pass};
use super::gateway_state::{GatewayState, Proxy};
use super::view::View;
use super::{Problem, Reconciler};
use crate::attachment::listed;
use crate::edge::{EdgeIntent, EdgeStatus, namesakes};
use crate::error::PortError;
use crate::names::ObjectKey;
use crate::secret::TokenHash;
use crate::status::{EventReason, GatewayEvent};

impl Reconciler {
    pub(super) async fn serve(
        &self,
        pass: &Pass<'_>,
        intent: EdgeIntent,
        done: &mut EdgePassReport,
    ) {
        let view = &*pass.view;
        let gateway = intent.gateway.clone();
        {
            let mut state = self.state();
            let attempt = state.attempt(view, &intent);
            // Until it is known to have gone well.
            state.failed.insert(gateway.clone(), attempt);
        }
        if !self.prepare(pass, &gateway, done).await {
            return;
        }
        let compared = {
            let mut state = self.state();
            state.begin(view, &intent);
            let compares = state.to_compare.remove(&gateway);
            let now = self.ports.clock.now();
            state.at_edge_of(view, &gateway).compared(now, compares);
            compares
        };
        let answer = self.ports.edge.reconcile(&intent).await;
        done.stated.push(gateway.clone());
        self.with(&gateway, |at_edge| at_edge.answered(answer.clone()));
        let status = match answer {
            Ok(status) => status,
            Err(error) => return done.failed(&gateway, applying(&gateway), &error),
        };
        for error in &status.failures {
            done.failed(&gateway, applying(&gateway), error);
        }
        // Nothing is left to do here for these, but the log shows them.
        for told in namesakes::told(&status) {
            done.problems
                .push(Problem::of(&gateway, applying(&gateway), &told));
        }
        self.tell_of_repairs(&gateway, &status);
        self.tell_of_changes(&gateway, &status);
        self.state().lead_away(&gateway, &status);
        let runs = self
            .run_proxy(view, &gateway, &status, compared, done)
            .await;
        let settled = runs.is_some() && status.failures.is_empty();
        self.with(&gateway, |at_edge| at_edge.settle(settled));
        if settled {
            self.state().failed.remove(&gateway);
        }
        if let Some(runs) = runs {
            self.rotate(pass, &gateway, &status, runs, done).await;
        }
    }

    fn tell_of_repairs(&self, gateway: &ObjectKey, status: &EdgeStatus) {
        let repaired = &status.repaired;
        if repaired.is_empty() {
            return;
        }
        let told = repaired
            .iter()
            .map(|(hostname, was)| format!("{hostname}: {was}"));
        let message = format!(
            "{} records that others had changed were put right: {}",
            repaired.len(),
            listed(told)
        );
        let reason = EventReason::DriftRepaired;
        self.ports
            .events
            .tell(gateway, &GatewayEvent { reason, message });
    }

    fn tell_of_changes(&self, gateway: &ObjectKey, status: &EdgeStatus) {
        if status.changes.is_empty() {
            return;
        }
        let event = GatewayEvent {
            reason: EventReason::EdgeChanged,
            message: status.changes.to_string(),
        };
        self.ports.events.tell(gateway, &event);
    }

    /// All that must be true before anything is written at the edge. Whether it is.
    async fn prepare(
        &self,
        pass: &Pass<'_>,
        gateway: &ObjectKey,
        done: &mut EdgePassReport,
    ) -> bool {
        let view = &*pass.view;
        if !self.state().is_published(gateway) {
            // The route pass reported why. A name must not lead to a proxy that does not serve it.
            done.again(gateway, None);
            return false;
        }
        if let Err(error) = self.admit(view, gateway).await {
            done.failed(gateway, applying(gateway), &error);
            return false;
        }
        if let Err(error) = self.add_finalizer(view, gateway).await {
            let subject = format!("adding the finalizer to Gateway {gateway}");
            done.failed(gateway, subject, &error);
            return false;
        }
        if !self
            .keep_deletion_policy(view, gateway, pass.term, done)
            .await
        {
            return false;
        }
        let is_published = self.state().is_published(gateway);
        if !is_published {
            // Withdrawn by a route pass meanwhile.
            done.again(gateway, None);
        }
        is_published
    }

    fn has_finalizer(&self, gateway: &ObjectKey) -> bool {
        let state = self.state();
        let gateway = state.at_edge.get(gateway);
        gateway.is_some_and(GatewayState::has_finalizer)
    }

    /// Before the finalizer is added: a Gateway whose credentials never worked has nothing at the edge, and its object must not
    /// wait for credentials that do.
    async fn admit(&self, view: &View, gateway: &ObjectKey) -> Result<(), PortError> {
        if self.has_finalizer(gateway) {
            return Ok(());
        }
        let admitted = self.ports.edge.admit(gateway).await;
        if let Err(error) = &admitted {
            let now = self.ports.clock.now();
            let mut state = self.state();
            let at_edge = state.at_edge_of(view, gateway);
            if let Some(found) = view.gateways.get(gateway) {
                at_edge.take_first_request(&found.reconciling);
            }
            at_edge.compared(now, false);
            at_edge.answered(Err(error.clone()));
        }
        admitted
    }

    /// Before the first write at the edge, so that the Gateway cannot vanish and leave it there.
    async fn add_finalizer(&self, view: &View, gateway: &ObjectKey) -> Result<(), PortError> {
        if !self.has_finalizer(gateway) {
            self.ports.finalizer.add(gateway).await?;
            self.state().at_edge_of(view, gateway).finalizer_added();
        }
        Ok(())
    }

    /// Makes the proxy run where its tunnel is new to it or it should run otherwise than before, and at a
    /// resync, in case its token was changed. `None` where that failed.
    pub(super) async fn run_proxy(
        &self,
        view: &View,
        gateway: &ObjectKey,
        status: &EdgeStatus,
        resync: bool,
        done: &mut EdgePassReport,
    ) -> Option<Runs> {
        let tunnels: Vec<_> = status.tunnels.iter().map(|tunnel| tunnel.id).collect();
        let Some(tunnel) = tunnels.first().copied() else {
            return Some(Runs::Unasked);
        };
        let Some(found) = view.gateways.get(gateway) else {
            return Some(Runs::Unasked);
        };
        let spec = found.parameters.workload.clone();
        let proxy = Proxy {
            tunnels,
            spec,
            finished: true,
        };
        let runs = self.with(gateway, GatewayState::take_proxy).flatten();
        if runs.as_ref() == Some(&proxy) && !resync {
            self.with(gateway, |at_edge| at_edge.proxy_runs(proxy));
            return Some(Runs::Unasked);
        }
        let token = match self.ports.edge.connector_token(gateway).await {
            Ok(token) => token,
            Err(error) => {
                let subject = format!("getting the connector token of Gateway {gateway}");
                done.failed(gateway, subject, &error);
                return None;
            }
        };
        let workloads = &self.ports.workloads;
        match workloads.ensure(gateway, &proxy.spec, tunnel, &token).await {
            Ok(status) => {
                let finished = !status.unfinished && !token.is_partial();
                if !finished {
                    done.again(gateway, None);
                }
                let proxy = Proxy { finished, ..proxy };
                self.with(gateway, |at_edge| {
                    at_edge.proxy_runs(proxy);
                    at_edge.token = Some(token.hash());
                });
                Some(match status.holds_token && !token.is_partial() {
                    true => Runs::Holds(token.hash()),
                    false => Runs::Takes,
                })
            }
            Err(error) => {
                let subject = format!("running the proxy of Gateway {gateway}");
                self.with(gateway, |at_edge| at_edge.proxy_failed(error.to_string()));
                done.failed(gateway, subject, &error);
                None
            }
        }
    }
}

fn applying(gateway: &ObjectKey) -> String {
    format!("applying Gateway {gateway} at the edge")
}

/// How far a proxy that runs is with its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// As it did before; nobody was asked.
    Unasked,
    /// Some of its connections may still be held with another token.
    Takes,
    /// All of its connections are held with the token that has this hash.
    Holds(TokenHash),
}
