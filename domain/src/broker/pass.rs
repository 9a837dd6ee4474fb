//! One piece of work of a broker: what was stated of a Gateway is made true, as far as it is granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::audit::Event;
use super::cluster::Cluster;
use super::held::{Held, Wanted, with_refused};
use super::names::AccountName;
use super::ports::{AccountEdges, Finished, Store, StoreError};
use super::refusal::{Code, Refusal};
use super::settle::Settled;
use super::work::{self, Taken};
use crate::edge::ports::Edge;
use crate::edge::{EdgeIntent, EdgeStatus};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, Timestamp};

/// Does a piece of work, and writes down what came of it. An error means that nothing was written: the work is taken
/// again when its time is over.
pub async fn carry_out(
    store: &dyn Store,
    edges: &dyn AccountEdges,
    taken: &Taken,
    now: Timestamp,
) -> Result<(), StoreError> {
    let cluster = store.cluster(&taken.cluster).await?;
    let Some(held) = store.held(&taken.cluster, &taken.gateway).await? else {
        return Ok(());
    };
    let pass = Pass {
        store,
        edges,
        cluster: &cluster,
        now,
    };
    let (permitted, outcome) = pass.make_true(&held).await?;
    let retry_after = outcome.as_ref().err().and_then(|error| error.retry_after);
    let again = work::again_after(taken.attempts, retry_after);
    let event = told(&held, &cluster, &outcome, now);
    let finished = Finished {
        version: held.version,
        permitted,
        outcome,
        at: now,
    };
    store.finish(taken, finished, again, event).await
}

/// The names that something was made for, and what came of it.
type Made = (BTreeSet<Hostname>, Result<EdgeStatus, PortError>);

struct Pass<'p> {
    store: &'p dyn Store,
    edges: &'p dyn AccountEdges,
    cluster: &'p Cluster,
    now: Timestamp,
}

impl Pass<'_> {
    async fn make_true(&self, held: &Held) -> Result<Made, StoreError> {
        let Wanted::Present(intent) = &held.wanted else {
            return Ok((BTreeSet::new(), self.remove(held).await));
        };
        let (name, wanted) = (&self.cluster.name, &intent.hostnames);
        let settled = self.store.settle(name, &held.gateway, wanted, self.now);
        match settled.await {
            Ok(settled) => {
                let mut status = self.publish(held, intent, &settled).await;
                if let (Err(error), Some(account)) = (&status, &settled.account)
                    && error.kind == PortErrorKind::Unauthenticated
                    && self.edges.refused(account).await?
                {
                    status = self.publish(held, intent, &settled).await;
                }
                Ok((settled.permitted, status))
            }
            Err(StoreError::Refused(refusal)) => Ok((BTreeSet::new(), Err(refused(&refusal)))),
            Err(failed) => Err(failed),
        }
    }

    async fn publish(
        &self,
        held: &Held,
        intent: &EdgeIntent,
        settled: &Settled,
    ) -> Result<EdgeStatus, PortError> {
        let Some(account) = &settled.account else {
            return Ok(with_refused(EdgeStatus::default(), &settled.refused));
        };
        let edge = self.edge(account).await?;
        let intent = EdgeIntent {
            hostnames: settled.permitted.clone(),
            ..intent.clone()
        };
        let status = edge.reconcile(&intent).await?;
        self.run_errands(held, &*edge).await?;
        // The names are served by the new tunnel already, so what is left elsewhere can go.
        let former = held.account.iter().chain(&held.former);
        self.leave(held, former.filter(|former| *former != account))
            .await?;
        Ok(with_refused(status, &settled.refused))
    }

    async fn run_errands(&self, held: &Held, edge: &dyn Edge) -> Result<(), PortError> {
        if let Some(hash) = held.errands.retire {
            edge.retire_token(&held.gateway, hash).await?;
        }
        if held.errands.close {
            edge.close_connections(&held.gateway).await?;
        }
        Ok(())
    }

    async fn remove(&self, held: &Held) -> Result<EdgeStatus, PortError> {
        let everywhere = held.account.iter().chain(&held.former);
        self.leave(held, everywhere).await?;
        Ok(EdgeStatus::default())
    }

    async fn leave(
        &self,
        held: &Held,
        accounts: impl Iterator<Item = &AccountName> + Send,
    ) -> Result<(), PortError> {
        for account in accounts {
            self.edge(account).await?.remove(&held.gateway).await?;
        }
        Ok(())
    }

    async fn edge(&self, account: &AccountName) -> Result<Arc<dyn Edge>, PortError> {
        let Some(identity) = self.cluster.identity() else {
            let message = "the cluster has not been enrolled";
            return Err(PortError::new(PortErrorKind::Forbidden, message));
        };
        let name = &self.cluster.name;
        self.edges.of(name, identity.instance, account).await
    }
}

fn refused(refusal: &Refusal) -> PortError {
    let kind = match refusal.code {
        Code::TooManyGateways => PortErrorKind::TooManyGateways,
        _ => PortErrorKind::Invalid,
    };
    PortError::new(kind, format!("Forbidden: {}", refusal.detail))
}

/// What the audit is told: what was written at Cloudflare, and a failure that is another one than before.
fn told(
    held: &Held,
    cluster: &Cluster,
    outcome: &Result<EdgeStatus, PortError>,
    now: Timestamp,
) -> Option<Event> {
    let before = held.done.as_ref().map(|done| &done.outcome);
    let is_news = match outcome {
        Ok(status) => !status.changes.is_empty() || held.wanted == Wanted::Gone,
        Err(_) => before != Some(outcome),
    };
    let action = match held.wanted {
        Wanted::Present(_) => "gateway.publish",
        Wanted::Gone => "gateway.remove",
    };
    let (result, detail) = match outcome {
        Ok(status) => ("done", status.changes.to_string()),
        Err(error) => ("failed", error.message.clone()),
    };
    is_news.then(|| Event {
        at: now,
        actor: "broker".to_owned(),
        action: action.to_owned(),
        object: format!("{}/{}", cluster.name, held.gateway),
        result: result.to_owned(),
        detail,
        ..Event::default()
    })
}
