//! What would come of a statement: a piece of work over edges that write nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::budget::{Budget, Spent};
use super::cluster::Cluster;
use super::held::{Errands, Held};
use super::names::{AccountName, ClusterName};
use super::pass::{self, Pass};
use super::ports::{AccountEdges, Rehearsal, Store, StoreError};
use super::watch;
use crate::edge::ports::Edge;
use crate::edge::rehearsal::Difference;
use crate::edge::{EdgeIntent, EdgeStatus, Policy};
use crate::error::PortError;
use crate::names::{InstanceId, ObjectKey, Timestamp};

/// What would come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What would be made, changed and removed at Cloudflare.
    pub differences: Vec<Difference>,
    /// Calls that would change something, those that cancel each other out among them.
    pub writes: usize,
    /// What the cluster would be answered: what is refused is in it.
    pub outcome: Result<EdgeStatus, PortError>,
}

/// Plans a statement of a Gateway; `None` for its removal. Nothing is written, in the store neither.
pub async fn plan(
    store: &dyn Store,
    edges: &dyn AccountEdges,
    cluster: &Cluster,
    gateway: &ObjectKey,
    intent: Option<&EdgeIntent>,
    now: Timestamp,
) -> Result<Planned, StoreError> {
    let rehearsed = Rehearsed {
        edges,
        made: Mutex::default(),
    };
    let pass = Pass {
        store,
        edges: &rehearsed,
        cluster,
        taken: None,
        now,
    };
    let held = store.held(&cluster.name, gateway).await?;
    let held = match (held, intent) {
        // What is to be done once is no part of it.
        (Some(held), _) => Held {
            errands: Errands::default(),
            ..held
        },
        (None, Some(_)) => Held::new(gateway.clone()),
        // One that the store never knew may have something all the same.
        (None, None) => Held {
            former: watch::accounts_of(store, cluster, now).await?,
            ..Held::new(gateway.clone())
        },
    };
    let outcome = match intent {
        None => pass.remove(&held).await,
        Some(intent) => {
            let (wanted, keeps) = (&intent.hostnames, intent.policy != Policy::Sync);
            match store
                .would_settle(&cluster.name, gateway, wanted, keeps, now)
                .await
            {
                Ok(settled) => pass.publish(&held, intent, &settled).await?,
                Err(StoreError::Refused(refusal)) => Err(pass::refused(&refusal)),
                Err(failed) => return Err(failed),
            }
        }
    };
    let mut gateways = store.placed(&cluster.name).await?.gateways;
    match intent {
        Some(_) => gateways.insert(gateway.clone()),
        None => gateways.remove(gateway),
    };
    Ok(rehearsed.told(&gateways, outcome))
}

/// Edges over which nothing is written, one for each account that was asked for.
struct Rehearsed<'e> {
    edges: &'e dyn AccountEdges,
    made: Mutex<BTreeMap<AccountName, Rehearsal>>,
}

impl Rehearsed<'_> {
    fn of_account(&self, account: &AccountName) -> Option<Arc<dyn Edge>> {
        let made = self.made.lock();
        let made = made.expect("nothing panics while it holds this lock");
        made.get(account).map(|one| one.edge.clone())
    }

    /// `gateways`: all that records may belong to.
    fn told(
        self,
        gateways: &BTreeSet<ObjectKey>,
        outcome: Result<EdgeStatus, PortError>,
    ) -> Planned {
        let made = self.made.into_inner();
        let made = made.expect("nothing panics while it holds this lock");
        let differences = made
            .values()
            .flat_map(|one| one.accounts.differences(gateways));
        Planned {
            differences: differences.collect(),
            writes: made.values().map(|one| one.accounts.writes()).sum(),
            outcome,
        }
    }
}

#[async_trait]
impl AccountEdges for Rehearsed<'_> {
    async fn of(
        &self,
        cluster: &ClusterName,
        instance: InstanceId,
        account: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError> {
        if let Some(edge) = self.of_account(account) {
            return Ok(edge);
        }
        let one = self.edges.rehearsal(cluster, instance, account).await?;
        let edge = one.edge.clone();
        let made = self.made.lock();
        let mut made = made.expect("nothing panics while it holds this lock");
        made.insert(account.clone(), one);
        Ok(edge)
    }

    fn budget(&self) -> Budget {
        self.edges.budget()
    }

    fn spent(&self) -> Spent {
        self.edges.spent()
    }

    /// A rehearsal changes no token.
    async fn refused(&self, _: &AccountName) -> Result<bool, StoreError> {
        Ok(false)
    }
}
