//! Replacing the token of a Gateway's tunnel, step by step: each step is kept before what follows from it is done.

use super::Reconciler;
use super::edge_pass::{EdgePassReport, Pass};
use super::gateway_state::GatewayState;
use super::serve::Runs;
use crate::edge::EdgeStatus;
use crate::error::PortError;
use crate::names::{ObjectKey, Timestamp};
use crate::rotation::{
    FORCE_ANNOTATION, REQUEST_ANNOTATION, RotationFacts, RotationIntent, RotationState, Stage,
};
use crate::secret::TokenHash;
use crate::workload::WorkloadSpec;

/// What is kept of a Gateway's rotations, as far as it is known here.
pub(super) struct Rotation {
    state: RotationState,
    /// What [`Self::next`] was reckoned from.
    intent: RotationIntent,
    /// When the schedule calls for a new token.
    pub(super) next: Option<Timestamp>,
}

impl Rotation {
    fn new(state: RotationState, intent: &RotationIntent) -> Self {
        Self {
            next: state.next(intent),
            intent: intent.clone(),
            state,
        }
    }
}

impl GatewayState {
    /// What users are shown of the rotations of the Gateway's token; `None` while nothing is known of them.
    pub(super) fn rotation_facts(&self) -> Option<RotationFacts> {
        let known = self.rotation.as_ref()?;
        Some(known.state.facts(&known.intent, self.token))
    }
}

/// Whether there is something to do for the token of a Gateway whose proxy runs.
pub(super) fn needs_rotation(
    at_edge: &GatewayState,
    intent: &RotationIntent,
    now: Timestamp,
) -> bool {
    at_edge.rotation.as_ref().is_none_or(|known| {
        known.intent != *intent
            || known.state.stage != Stage::Idle
            || known.next.is_some_and(|next| next <= now)
            || known.state.is_requested(intent)
    })
}

/// One Gateway whose token may have to be replaced.
struct Target<'a> {
    pass: &'a Pass<'a>,
    gateway: &'a ObjectKey,
    status: &'a EdgeStatus,
    intent: &'a RotationIntent,
    workload: &'a WorkloadSpec,
}

impl Reconciler {
    /// Goes on with the rotation of a Gateway whose proxy runs, as far as it can.
    pub(super) async fn rotate(
        &self,
        pass: &Pass<'_>,
        gateway: &ObjectKey,
        status: &EdgeStatus,
        runs: Runs,
        done: &mut EdgePassReport,
    ) {
        let Some(found) = pass
            .view
            .gateways
            .get(gateway)
            .filter(|_| !status.tunnels.is_empty())
        else {
            return;
        };
        if self.state().suspended.contains(gateway) {
            return;
        }
        let target = Target {
            pass,
            gateway,
            status,
            intent: &found.parameters.rotation,
            workload: &found.parameters.workload,
        };
        if let Err(error) = self.go_on(&target, runs, done).await {
            let subject = format!("rotating the token of Gateway {gateway}");
            done.failed(gateway, subject, &error);
        }
    }

    async fn go_on(
        &self,
        target: &Target<'_>,
        mut runs: Runs,
        done: &mut EdgePassReport,
    ) -> Result<(), PortError> {
        let now = self.ports.clock.now();
        let mut state = self.known_rotation(target, now).await?;
        if state.is_due(target.intent, now) {
            self.check_replicas(target, &state).await?;
            let present = self.ports.edge.connector_token(target.gateway).await?;
            if present.is_partial() {
                let message = "not all of the Gateway's tunnels can be reached";
                return Err(PortError::unavailable(message));
            }
            state = self
                .keep(target, state.begun(target.intent, present.hash(), now))
                .await?;
        }
        if let Stage::Replace(retired) = state.stage {
            self.check_leadership(target)?;
            self.ports
                .edge
                .retire_token(target.gateway, retired)
                .await?;
            state = self.keep(target, state.replaced(retired, now)).await?;
            runs = Runs::Unasked;
        }
        if let Stage::RollOut(retired) = state.stage {
            if runs == Runs::Unasked {
                let Target {
                    pass,
                    gateway,
                    status,
                    ..
                } = target;
                let running = self.run_proxy(&pass.view, gateway, status, true, done);
                let Some(now) = running.await else {
                    self.with(gateway, |at_edge| at_edge.settle(false));
                    return Ok(());
                };
                runs = now;
            }
            if !holds_another_than(retired, runs) {
                done.again(target.gateway, None);
                return Ok(());
            }
            if target.intent.closes_connections && target.intent.request == state.request {
                self.check_leadership(target)?;
                self.ports.edge.close_connections(target.gateway).await?;
            }
            self.keep(target, state.finished()).await?;
        }
        Ok(())
    }

    /// What is kept of the Gateway's rotations, under its present schedule.
    async fn known_rotation(
        &self,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Result<RotationState, PortError> {
        let known = self.with(target.gateway, |at_edge| {
            at_edge.rotation.as_ref().map(|known| known.state.clone())
        });
        let known = match known.flatten() {
            Some(known) => Some(known),
            None => self.ports.rotations.load(target.gateway).await?,
        };
        let Some(known) = known else {
            return self
                .keep(target, RotationState::first_seen(target.intent, now))
                .await;
        };
        match known.rescheduled(target.intent, now) {
            Some(rescheduled) => self.keep(target, rescheduled).await,
            None => {
                self.remember(target, &known);
                Ok(known)
            }
        }
    }

    async fn keep(
        &self,
        target: &Target<'_>,
        state: RotationState,
    ) -> Result<RotationState, PortError> {
        self.check_leadership(target)?;
        self.ports.rotations.save(target.gateway, &state).await?;
        self.remember(target, &state);
        Ok(state)
    }

    fn remember(&self, target: &Target<'_>, state: &RotationState) {
        let known = Rotation::new(state.clone(), target.intent);
        self.with(target.gateway, |at_edge| at_edge.rotation = Some(known));
    }

    fn check_leadership(&self, target: &Target<'_>) -> Result<(), PortError> {
        match self.leads_in(target.pass.term) {
            true => Ok(()),
            false => Err(PortError::unavailable("another instance leads")),
        }
    }

    /// A replica that is not ready may be unable to take the new token, so the others must not lose the old one.
    async fn check_replicas(
        &self,
        target: &Target<'_>,
        state: &RotationState,
    ) -> Result<(), PortError> {
        if !state.waits_for_replicas(target.intent) || target.workload.replicas.count() == 0 {
            return Ok(());
        }
        let status = self.ports.workloads.status(target.gateway).await;
        if status.ready > 0 && status.problems.is_empty() {
            return Ok(());
        }
        let problems = match status.problems.is_empty() {
            true => "none is".to_owned(),
            false => status.problems.join("; "),
        };
        Err(PortError::unavailable(format!(
            "it is due and waits until every replica is ready ({problems}); to go on all the same, give the annotations {REQUEST_ANNOTATION} and {FORCE_ANNOTATION} one new value"
        )))
    }
}

/// Whether all connections are held with a token that came after this one. A read of the token may lag behind.
fn holds_another_than(retired: TokenHash, runs: Runs) -> bool {
    matches!(runs, Runs::Holds(token) if token != retired)
}
