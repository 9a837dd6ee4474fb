//! One piece of work of a broker: what was stated of a Gateway is made true, as far as it is granted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::audit::Event;
use super::cluster::Cluster;
use super::held::{Held, Wanted};
use super::names::AccountName;
use super::ports::{AccountEdges, Finished, Store, StoreError};
use super::refusal::{Code, Refusal};
use super::settle::Settled;
use super::work::{self, Taken};
use crate::edge::ports::Edge;
use crate::edge::{EdgeIntent, EdgeStatus, HostnameOutcome};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, Timestamp};

/// Does a piece of work, and writes down what came of it. An error means that nothing was written: the work is taken
/// again when its time is over. `rays` gives Cloudflare's ids of the calls that were made for it.
pub async fn carry_out(
    store: &dyn Store,
    edges: &dyn AccountEdges,
    taken: &Taken,
    now: Timestamp,
    rays: &(dyn Fn() -> String + Sync),
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
    let event = event.map(|event| Event {
        ray: rays(),
        ..event
    });
    let finished = Finished {
        version: held.version,
        permitted,
        outcome,
        at: now,
        spent: edges.spent(),
    };
    store.finish(taken, finished, again, event).await
}

/// The names that something was made for, and what came of it.
type Made = (BTreeSet<Hostname>, Result<EdgeStatus, PortError>);

/// Why a part of a piece of work was not done.
enum Failed {
    Edge(PortError),
    Store(StoreError),
}

impl From<PortError> for Failed {
    fn from(error: PortError) -> Self {
        Self::Edge(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) struct Pass<'p> {
    pub(super) store: &'p dyn Store,
    pub(super) edges: &'p dyn AccountEdges,
    pub(super) cluster: &'p Cluster,
    pub(super) now: Timestamp,
}

impl Pass<'_> {
    async fn make_true(&self, held: &Held) -> Result<Made, StoreError> {
        // First, as nothing that fails after it may let anybody go on.
        match self.shut_out(held).await {
            Ok(()) => {}
            Err(Failed::Edge(error)) => return Ok((BTreeSet::new(), Err(error))),
            Err(Failed::Store(error)) => return Err(error),
        }
        match &held.wanted {
            Wanted::Present(intent) => self.settle_and_publish(held, intent).await,
            Wanted::Tunnel => Ok((BTreeSet::new(), self.unpublish(held).await)),
            Wanted::Gone => Ok((BTreeSet::new(), self.remove(held).await)),
        }
    }

    async fn settle_and_publish(
        &self,
        held: &Held,
        intent: &EdgeIntent,
    ) -> Result<Made, StoreError> {
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

    /// Replaces the tokens of the Gateway's tunnels, and closes the connections of whoever joined with one of them. Nobody
    /// reads the new ones.
    async fn shut_out(&self, held: &Held) -> Result<(), Failed> {
        if !held.errands.shut_out {
            return Ok(());
        }
        let (gateway, mut edges) = (&held.gateway, Vec::new());
        for account in held.account.iter().chain(&held.former) {
            edges.push(self.edge(account).await?);
        }
        let mut tokens = held.errands.noted.clone();
        if tokens.is_empty() {
            for edge in &edges {
                let token = if_there(edge.connector_token(gateway).await)?;
                tokens.extend(token.map(|token| token.hash()));
            }
            let name = &self.cluster.name;
            tokens = self.store.note_tokens(name, gateway, tokens).await?;
        }
        for edge in &edges {
            for token in &tokens {
                if_there(edge.retire_token(gateway, *token).await)?;
            }
            if_there(edge.close_connections(gateway).await)?;
        }
        Ok(())
    }

    /// Removes the records, however many they are: whoever runs the broker said so.
    async fn unpublish(&self, held: &Held) -> Result<EdgeStatus, PortError> {
        let Some(account) = &held.account else {
            return Ok(EdgeStatus::default());
        };
        let edge = self.edge(account).await?;
        let mut intent = EdgeIntent::new(held.gateway.clone());
        let mut status = edge.reconcile(&intent).await?;
        if let Some(held_back) = &status.held_back {
            intent.dns.records.confirmed_removal = Some(held_back.code.clone());
            status = edge.reconcile(&intent).await?;
        }
        self.leave(held, held.former.iter()).await?;
        Ok(status)
    }

    pub(super) async fn publish(
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

    pub(super) async fn remove(&self, held: &Held) -> Result<EdgeStatus, PortError> {
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
        let Some(instance) = self.cluster.instance else {
            let message = "the cluster has not been enrolled";
            return Err(PortError::new(PortErrorKind::Forbidden, message));
        };
        let name = &self.cluster.name;
        self.edges.of(name, instance, account).await
    }
}

/// What there is; `None` where there is no tunnel.
fn if_there<T>(found: Result<T, PortError>) -> Result<Option<T>, PortError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A status with what was withheld from the edge.
fn with_refused(mut status: EdgeStatus, refused: &BTreeMap<Hostname, Refusal>) -> EdgeStatus {
    let outcomes = refused.iter().map(|(hostname, refusal)| {
        let message = refusal.detail.clone();
        let outcome = match refusal.code {
            Code::NotFound => HostnameOutcome::NoZone,
            _ => HostnameOutcome::NotPermitted { message },
        };
        (hostname.clone(), outcome)
    });
    status.hostnames.extend(outcomes);
    status
}

pub(super) fn refused(refusal: &Refusal) -> PortError {
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
    let (is_gone, shut_out) = (held.wanted == Wanted::Gone, held.errands.shut_out);
    let is_news = match outcome {
        Ok(status) => !status.changes.is_empty() || is_gone || shut_out,
        Err(_) => before != Some(outcome),
    };
    let action = match held.wanted {
        Wanted::Gone => "gateway.remove",
        _ if shut_out => "gateway.shut-out",
        Wanted::Tunnel => "gateway.unpublish",
        Wanted::Present(_) => "gateway.publish",
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
