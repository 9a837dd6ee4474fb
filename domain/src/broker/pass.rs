//! One piece of work of a broker: what was stated of a Gateway is made true, as far as it is granted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::audit::Event;
use super::budget::spent_share;
use super::certificates::Permitted;
use super::cluster::Cluster;
use super::held::{Errands, Held, Wanted};
use super::names::AccountName;
use super::ports::{AccountEdges, Finished, StoreError, WorkStore};
use super::refusal::{Code, Refusal};
use super::settle::Settled;
use super::united::{not_reached, unite};
use super::work::{self, Priority, Taken};
use crate::edge::certificates::CertificateOutcome;
use crate::edge::ports::Edge;
use crate::edge::{EdgeIntent, EdgeStatus, HostnameOutcome, Policy};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, ObjectKey, Timestamp};
use crate::secret::{ConnectorToken, TokenHash};

/// Does a piece of work, and writes down what came of it. An error means that nothing was written: the work is taken
/// again when its time is over. `rays` gives Cloudflare's ids of the calls that were made for it.
pub async fn carry_out(
    store: &dyn WorkStore,
    edges: &dyn AccountEdges,
    taken: &Taken,
    now: Timestamp,
    rays: &(dyn Fn() -> String + Sync),
) -> Result<(), StoreError> {
    let cluster = store.cluster(&taken.cluster).await?;
    let Some(held) = &taken.held else {
        return Ok(());
    };
    let pass = Pass {
        store,
        edges,
        cluster: &cluster,
        taken: Some(taken),
        now,
    };
    let (permitted, outcome) = pass.make_true(held).await?;
    let again = work::again_after(taken.attempts, retry_after(&outcome));
    let event = told(held, &cluster, &outcome, now);
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

/// The least time to another attempt, as Cloudflare says.
fn retry_after(outcome: &Result<EdgeStatus, PortError>) -> Option<Duration> {
    match outcome {
        Ok(status) => status.failures.iter().filter_map(|it| it.retry_after).max(),
        Err(error) => error.retry_after,
    }
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
    pub(super) store: &'p dyn WorkStore,
    pub(super) edges: &'p dyn AccountEdges,
    pub(super) cluster: &'p Cluster,
    /// `None` where it is a plan, for which nothing is written.
    pub(super) taken: Option<&'p Taken>,
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
        let (taken, wanted) = (self.taken()?, &intent.hostnames);
        let keeps = intent.policy != Policy::Sync;
        let settled = self.store.settle(taken, wanted, keeps, self.now);
        match settled.await {
            Ok(settled) => {
                let status = self.publish(held, intent, &settled).await?;
                Ok((settled.permitted(), status))
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
        let edges = self.edges_of(held).await?;
        let mut tokens = held.errands.noted.clone();
        if tokens.is_empty() {
            let found = tokens_of(held, &edges).await?;
            tokens = self.note(&found).await?;
        }
        retire(held, &edges, &tokens).await?;
        close(held, &edges).await?;
        Ok(())
    }

    /// Removes the records, however many they are: whoever runs the broker said so.
    async fn unpublish(&self, held: &Held) -> Result<EdgeStatus, PortError> {
        let mut statuses = Vec::new();
        for account in &held.accounts {
            let edge = self.edge(account).await?;
            let mut intent = EdgeIntent::new(held.gateway.clone());
            let mut status = edge.reconcile(&intent).await?;
            if let Some(held_back) = &status.held_back {
                intent.dns.records.confirmed_removal = Some(held_back.code.clone());
                status = edge.reconcile(&intent).await?;
            }
            statuses.push(status);
        }
        self.leave(held, &held.former).await?;
        Ok(unite(statuses))
    }

    pub(super) async fn publish(
        &self,
        held: &Held,
        intent: &EdgeIntent,
        settled: &Settled,
    ) -> Result<Result<EdgeStatus, PortError>, StoreError> {
        match self.publish_parts(held, intent, settled).await {
            Ok(status) => Ok(Ok(with_refused(status, &settled.refused))),
            Err(Failed::Edge(error)) => Ok(Err(error)),
            Err(Failed::Store(error)) => Err(error),
        }
    }

    /// Plans and makes true each account's part by itself: one that cannot be reached stops none of the others.
    async fn publish_parts(
        &self,
        held: &Held,
        intent: &EdgeIntent,
        settled: &Settled,
    ) -> Result<EdgeStatus, Failed> {
        let (intent, told) = self.with_certificates(held, intent).await?;
        let intent = &intent;
        let (mut statuses, mut failures) = (Vec::new(), Vec::new());
        for (account, names) in &settled.parts {
            let part = part_of(intent, names);
            let published = match self.may_spend(held, account, settled).await {
                Ok(()) => self.publish_part(account, &part).await,
                failed => failed.map(|()| EdgeStatus::default()),
            };
            match published {
                Ok(status) => statuses.push(status),
                Err(Failed::Edge(error)) => {
                    statuses.push(not_reached(held, &part, &error));
                    failures.push(error);
                }
                Err(failed) => return Err(failed),
            }
        }
        if failures.len() == settled.parts.len()
            && let Some(error) = failures.pop()
        {
            return Err(error.into());
        }
        // Else the names may be served by what is left elsewhere.
        if failures.is_empty() && intent.policy == Policy::Sync {
            statuses.extend(self.leave_former(held, intent, settled).await?);
        }
        self.run_errands(held).await?;
        let mut status = unite(statuses);
        status.certificates.extend(told);
        Ok(status)
    }

    /// An intent with the certificates that it may have, and what is said of the others.
    async fn with_certificates(
        &self,
        held: &Held,
        intent: &EdgeIntent,
    ) -> Result<(EdgeIntent, BTreeMap<ObjectKey, CertificateOutcome>), StoreError> {
        let permitted = match &intent.certificates {
            Some(stated) if !stated.is_empty() => {
                let (store, name) = (self.store, &self.cluster.name);
                let wanted = held.names_of(stated);
                let refused = store.refused_certificates(name, &wanted, self.now).await?;
                held.permit(stated, &refused)
            }
            nothing => Permitted {
                wanted: nothing.clone(),
                told: BTreeMap::new(),
            },
        };
        let intent = EdgeIntent {
            certificates: permitted.wanted,
            ..intent.clone()
        };
        Ok((intent, permitted.told))
    }

    /// Work for several accounts was taken because one of them permits it.
    async fn may_spend(
        &self,
        held: &Held,
        account: &AccountName,
        settled: &Settled,
    ) -> Result<(), Failed> {
        if settled.parts.len() == 1 {
            return Ok(());
        }
        let spending = self.store.spending(account).await?;
        let level = spending.level(self.edges.budget(), self.now, []);
        let share = level.share(&self.cluster.name, Priority::of(held));
        share.map_err(|wait| Failed::Edge(spent_share(wait)))
    }

    async fn publish_part(
        &self,
        account: &AccountName,
        part: &EdgeIntent,
    ) -> Result<EdgeStatus, Failed> {
        let status = self.edge(account).await?.reconcile(part).await;
        if let Err(error) = &status
            && error.kind == PortErrorKind::Unauthenticated
            && self.edges.refused(account).await?
        {
            return Ok(self.edge(account).await?.reconcile(part).await?);
        }
        Ok(status?)
    }

    /// Removes what is left in accounts in which nothing is wanted any more. Records of many names that are to go for good wait there
    /// for a confirmation as elsewhere; those of names that are in another account by now need none.
    async fn leave_former(
        &self,
        held: &Held,
        intent: &EdgeIntent,
        settled: &Settled,
    ) -> Result<Vec<EdgeStatus>, PortError> {
        let permitted = settled.permitted();
        let some_go = held.names.iter().any(|name| !permitted.contains(name));
        let mut kept = Vec::new();
        for account in held.everywhere() {
            if settled.parts.contains_key(account) {
                continue;
            }
            let edge = self.edge(account).await?;
            if some_go {
                let status = edge.reconcile(&part_of(intent, &BTreeSet::new())).await?;
                if status.held_back.is_some() {
                    kept.push(status);
                    continue;
                }
            }
            edge.remove(&held.gateway).await?;
        }
        Ok(kept)
    }

    /// Replaces tokens and closes connections, as was asked for.
    async fn run_errands(&self, held: &Held) -> Result<(), Failed> {
        let Errands {
            retire: asked,
            close: closes,
            noted,
            ..
        } = &held.errands;
        if asked.is_none() && !closes {
            return Ok(());
        }
        let edges = self.edges_of(held).await?;
        if let Some(asked) = asked {
            let mut tokens = noted.clone();
            if tokens.is_empty() {
                let found = tokens_of(held, &edges).await?;
                if ConnectorToken::of_tunnels(&found, false).hash() == *asked {
                    tokens = self.note(&found).await?;
                }
            }
            retire(held, &edges, &tokens).await?;
        }
        if *closes {
            close(held, &edges).await?;
        }
        Ok(())
    }

    /// Writes down which tokens are to be replaced before the first one is.
    async fn note(&self, found: &[ConnectorToken]) -> Result<BTreeSet<TokenHash>, StoreError> {
        let hashes = found.iter().map(ConnectorToken::hash).collect();
        self.store.note_tokens(self.taken()?, hashes).await
    }

    fn taken(&self) -> Result<&Taken, StoreError> {
        let message = "a plan writes nothing";
        self.taken
            .ok_or_else(|| StoreError::Failed(message.to_owned()))
    }

    /// Each account is left, whatever is the matter with another one.
    pub(super) async fn remove(&self, held: &Held) -> Result<EdgeStatus, PortError> {
        let everywhere = held.everywhere().into_iter();
        self.leave(held, everywhere).await?;
        Ok(EdgeStatus::default())
    }

    async fn leave(
        &self,
        held: &Held,
        accounts: impl IntoIterator<Item = &AccountName> + Send,
    ) -> Result<(), PortError> {
        let mut failed = None;
        let accounts: Vec<_> = accounts.into_iter().collect();
        for account in accounts {
            let left = match self.edge(account).await {
                Ok(edge) => edge.remove(&held.gateway).await,
                Err(error) => Err(error),
            };
            failed = failed.or(left.err());
        }
        failed.map_or(Ok(()), Err)
    }

    /// Those of all accounts in which something of a Gateway may be.
    async fn edges_of(&self, held: &Held) -> Result<Vec<Arc<dyn Edge>>, PortError> {
        let mut edges = Vec::new();
        for account in held.everywhere() {
            edges.push(self.edge(account).await?);
        }
        Ok(edges)
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

/// What an intent says of some of its names.
fn part_of(intent: &EdgeIntent, names: &BTreeSet<Hostname>) -> EdgeIntent {
    let mut part = EdgeIntent {
        hostnames: names.clone(),
        ..intent.clone()
    };
    part.paths.retain(|hostname, _| names.contains(hostname));
    part
}

/// The tokens of a Gateway's tunnels, of those that are there, in the order of their accounts.
async fn tokens_of(held: &Held, edges: &[Arc<dyn Edge>]) -> Result<Vec<ConnectorToken>, PortError> {
    let mut tokens = Vec::new();
    for edge in edges {
        tokens.extend(if_there(edge.connector_token(&held.gateway).await)?);
    }
    Ok(tokens)
}

async fn retire(
    held: &Held,
    edges: &[Arc<dyn Edge>],
    tokens: &BTreeSet<TokenHash>,
) -> Result<(), PortError> {
    for edge in edges {
        for token in tokens {
            if_there(edge.retire_token(&held.gateway, *token).await)?;
        }
    }
    Ok(())
}

async fn close(held: &Held, edges: &[Arc<dyn Edge>]) -> Result<(), PortError> {
    for edge in edges {
        if_there(edge.close_connections(&held.gateway).await)?;
    }
    Ok(())
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
