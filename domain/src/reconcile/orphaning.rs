//! Gateways that go and leave what they have, and what is told of those that cannot go.

use super::Reconciler;
use super::edge_pass::EdgePassReport;
use super::gateway_state::GatewayState;
use super::view::View;
use crate::error::{PortError, PortErrorKind};
use crate::gateway::{DeletionPolicy, how_to_let_go};
use crate::names::ObjectKey;
use crate::status::{EventReason, GatewayEvent};

/// How many Gateways of one namespace may leave what they have, those that are there among them: the list of all is of a
/// limited length, and one namespace must not use it up for the others.
const MOST_OF_A_NAMESPACE: usize = 256;

/// What was being done, and why it failed.
pub(super) type Failure = (String, PortError);

impl Reconciler {
    /// Whether it is known whose things stay when they go: read once in each term.
    pub(super) async fn read_orphans(&self, term: u64, done: &mut EdgePassReport) -> bool {
        if self.state().term.orphans_read {
            return true;
        }
        match self.ports.orphans.all().await {
            Ok(all) => {
                let mut state = self.state();
                // Another queue may have read them meanwhile, and changed them since.
                if state.term.number == Some(term) && !state.term.orphans_read {
                    state.orphans = all;
                    state.term.orphans_read = true;
                }
                state.term.orphans_read
            }
            Err(error) => {
                done.failed_for_all("reading whose things stay at Cloudflare", &error);
                false
            }
        }
    }

    /// Keeps the policy of a Gateway that is about to be stated, so that it counts also when its parameters are gone.
    /// Whether that is done.
    pub(super) async fn keep_deletion_policy(
        &self,
        view: &View,
        gateway: &ObjectKey,
        term: u64,
        done: &mut EdgePassReport,
    ) -> bool {
        let Some(policy) = view.deletion.get(gateway).copied() else {
            return true;
        };
        if policy == DeletionPolicy::Orphan && !self.read_orphans(term, done).await {
            done.again(gateway, None);
            return false;
        }
        match self.keep_as(gateway, policy).await {
            Ok(()) => true,
            Err(error) => {
                let subject = format!("keeping the deletion policy of Gateway {gateway}");
                done.failed(gateway, subject, &error);
                false
            }
        }
    }

    /// Nothing is written where it is known to be kept already. A write that failed may have been done.
    pub(super) async fn keep_as(
        &self,
        gateway: &ObjectKey,
        policy: DeletionPolicy,
    ) -> Result<(), PortError> {
        let is_to_stay = policy == DeletionPolicy::Orphan;
        {
            let state = self.state();
            let is_kept = state.orphans.contains(gateway);
            if is_kept == is_to_stay && !state.orphans_unsure.contains(gateway) {
                return Ok(());
            }
        }
        if is_to_stay {
            self.check_room(gateway)?;
        }
        self.state().orphans_unsure.insert(gateway.clone());
        match is_to_stay {
            true => self.ports.orphans.add(gateway).await?,
            false => self.ports.orphans.remove(gateway).await?,
        }
        let mut state = self.state();
        state.orphans_unsure.remove(gateway);
        match is_to_stay {
            true => state.orphans.insert(gateway.clone()),
            false => state.orphans.remove(gateway),
        };
        Ok(())
    }

    fn check_room(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let namespace = &gateway.namespace;
        let state = self.state();
        let others = state.orphans.iter().filter(|it| *it != gateway);
        let of_namespace = others.filter(|it| it.namespace == *namespace);
        if of_namespace.count() < MOST_OF_A_NAMESPACE {
            return Ok(());
        }
        let message = format!(
            "{MOST_OF_A_NAMESPACE} Gateways of namespace {namespace} leave what they have, which is the most; set deletionPolicy Delete for some, or make Gateways that are gone again and delete them so"
        );
        Err(PortError::new(PortErrorKind::Invalid, message))
    }

    /// Lets go of a Gateway: nothing is written at the edge, its proxies serve on, and its table is not withdrawn.
    pub(super) async fn orphan(&self, gateway: &ObjectKey) -> Result<(), Failure> {
        let failed = |what: &str, error| (format!("{what} of Gateway {gateway}"), error);
        let ports = &self.ports;
        // First: whoever comes next must not take for left over what is let go of.
        let kept = self.keep_as(gateway, DeletionPolicy::Orphan).await;
        kept.map_err(|error| failed("keeping the deletion policy", error))?;
        let released = ports.workloads.release(gateway).await;
        released.map_err(|error| failed("letting go of the proxy", error))?;
        let left = self.what_it_has(gateway).await;
        // Again, whatever is remembered: one that led until now may have taken it back meanwhile.
        let kept = ports.orphans.add(gateway).await;
        kept.map_err(|error| failed("keeping the deletion policy", error))?;
        let event = GatewayEvent {
            reason: EventReason::Orphaned,
            message: format!(
                "Gateway {gateway} is gone and its proxies go on with the routes that they have; left at Cloudflare: {left}. To have all of it removed, make the Gateway again and delete it with deletionPolicy Delete"
            ),
        };
        ports.events.tell(gateway, &event);
        self.with(gateway, GatewayState::finalizer_removed);
        let freed = ports.finalizer.remove(gateway).await;
        freed.map_err(|error| failed("removing the finalizer", error))
    }

    /// What a Gateway has at the edge, as it is now or else as it was last seen.
    async fn what_it_has(&self, gateway: &ObjectKey) -> String {
        let holdings = self.ports.edge.holdings(gateway).await;
        let known = holdings.map_or_else(
            |error| {
                let known = self.with(gateway, |at_edge| at_edge.known_holdings());
                known.flatten().ok_or(error)
            },
            Ok,
        );
        match known {
            Ok(holdings) => holdings.to_string(),
            Err(error) => format!("not known ({})", error.message),
        }
    }

    /// An Event for what only somebody's action can help, once for each reason.
    pub(super) fn tell_of_failed_removal(
        &self,
        gateway: &ObjectKey,
        subject: &str,
        error: &PortError,
    ) {
        let before = {
            let mut state = self.state();
            state
                .removal_failures
                .insert(gateway.clone(), error.clone())
        };
        if !needs_somebody(error.kind) || before.as_ref() == Some(error) {
            return;
        }
        let event = GatewayEvent {
            reason: EventReason::RemovalBlocked,
            message: format!("{subject}: {}; {}", error.message, how_to_let_go(gateway)),
        };
        self.ports.events.tell(gateway, &event);
    }
}

fn needs_somebody(kind: PortErrorKind) -> bool {
    matches!(
        kind,
        PortErrorKind::Credentials
            | PortErrorKind::Unauthenticated
            | PortErrorKind::Forbidden
            | PortErrorKind::Conflict
            | PortErrorKind::Invalid
    )
}
