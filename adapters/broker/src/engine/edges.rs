//! The edges of all clusters and accounts, each with the token that is in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::budget::{Budget, Spent};
use domain::broker::ports::{AccountEdges, Judgement, Purpose, Rehearsal, Seal, Store, StoreError};
use domain::broker::{AccountName, ClusterName};
use domain::edge::Partial;
use domain::edge::api::CloudflareAccounts;
use domain::edge::direct::DirectEdge;
use domain::edge::ports::{Credentials, Edge, Entropy, Journal};
use domain::edge::rehearsal::RehearsedAccounts;
use domain::ports::{Clock, PortError, PortErrorKind};
use domain::secret::CloudflareCredentials;
use domain::{Installation, InstanceId, ObjectKey};
use parking_lot::Mutex;

use super::meter::{Meter, Meters};
use super::pairs::StoredPairs;

/// Opens the Cloudflare API so that each call is counted.
pub type OpenMetered = Box<dyn Fn(Meter) -> Arc<dyn CloudflareAccounts> + Send + Sync>;

/// Edges over the Cloudflare API, with tokens out of the store.
pub struct StoredEdges {
    open: OpenMetered,
    meters: Arc<Meters>,
    store: Arc<dyn Store>,
    seal: Arc<dyn Seal>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    /// One for each installation and account that was asked for. They hold no token.
    made: Mutex<BTreeMap<(Installation, AccountName), Arc<DirectEdge>>>,
    /// What tells of writes for a cluster.
    journal: fn(&ClusterName) -> Arc<dyn Journal>,
}

impl StoredEdges {
    /// No edge is made yet. `budget` is that of each account; `journal` gives what tells of writes for a cluster.
    pub fn new(
        open: OpenMetered,
        budget: Budget,
        store: Arc<dyn Store>,
        seal: Arc<dyn Seal>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
        journal: fn(&ClusterName) -> Arc<dyn Journal>,
    ) -> Self {
        Self {
            open,
            meters: Arc::new(Meters::new(budget, clock.clone())),
            store,
            seal,
            entropy,
            clock,
            made: Mutex::default(),
            journal,
        }
    }

    fn credentials(&self, account: &AccountName) -> StoredCredentials {
        StoredCredentials {
            account: account.clone(),
            store: self.store.clone(),
            seal: self.seal.clone(),
        }
    }

    fn pairs(&self, cluster: &ClusterName) -> StoredPairs {
        StoredPairs {
            cluster: cluster.clone(),
            store: self.store.clone(),
            seal: self.seal.clone(),
        }
    }

    /// Another broker may have been told that Cloudflare wants no calls.
    async fn require_no_pause(&self, account: &AccountName) -> Result<(), PortError> {
        let spending = self.store.spending(account).await.map_err(unavailable)?;
        match spending.pause(self.clock.now()) {
            None => Ok(()),
            Some(pause) => Err(PortError {
                retry_after: Some(pause),
                ..PortError::new(PortErrorKind::RateLimited, PAUSED)
            }),
        }
    }

    fn made(&self, installation: Installation, account: &AccountName) -> Arc<DirectEdge> {
        let mut made = self.made.lock();
        let key = (installation.clone(), account.clone());
        let installation_name = installation.name.clone();
        let edge = made.entry(key).or_insert_with(|| {
            let credentials = self.credentials(account);
            let journal = (self.journal)(&installation.name);
            let meter = self.meters.of(&installation.name, account);
            let edge = DirectEdge::new(
                (self.open)(meter),
                Arc::new(credentials),
                self.entropy.clone(),
                installation,
            );
            let pairs = self.pairs(&installation_name);
            let edge = edge.with_certificates(Arc::new(pairs));
            Arc::new(edge.with_journal(journal))
        });
        edge.clone()
    }
}

#[async_trait]
impl AccountEdges for StoredEdges {
    async fn of(
        &self,
        cluster: &ClusterName,
        instance: InstanceId,
        account: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError> {
        self.require_no_pause(account).await?;
        let installation = Installation {
            name: cluster.clone(),
            instance,
        };
        Ok(self.made(installation, account))
    }

    async fn rehearsal(
        &self,
        cluster: &ClusterName,
        instance: InstanceId,
        account: &AccountName,
    ) -> Result<Rehearsal, PortError> {
        self.require_no_pause(account).await?;
        let installation = Installation {
            name: cluster.clone(),
            instance,
        };
        let real = (self.open)(self.meters.of(cluster, account));
        let accounts = RehearsedAccounts::new(real, installation.clone());
        let accounts = Arc::new(accounts);
        let edge = DirectEdge::new(
            accounts.clone(),
            Arc::new(self.credentials(account)),
            self.entropy.clone(),
            installation,
        );
        Ok(Rehearsal {
            edge: Arc::new(edge.with_certificates(Arc::new(self.pairs(cluster)))),
            accounts,
        })
    }

    async fn refused(&self, account: &AccountName) -> Result<bool, StoreError> {
        let Some(version) = self.store.slots(account).await?.in_use() else {
            return Ok(false);
        };
        let event = Event {
            at: self.clock.now(),
            actor: "broker".to_owned(),
            action: "token.refused".to_owned(),
            object: account.to_string(),
            result: "done".to_owned(),
            detail: format!("Cloudflare does not accept version {}", version.0),
            ..Event::default()
        };
        let judgement = Judgement::Refused(version);
        let slots = self
            .store
            .judge(account, judgement, event.at, event)
            .await?;
        Ok(slots.in_use() != Some(version))
    }

    fn budget(&self) -> Budget {
        self.meters.budget()
    }

    fn spent(&self) -> Spent {
        self.meters.spent()
    }
}

const PAUSED: &str =
    "Cloudflare wants no calls for the account at present; they go on after the pause";

/// The token of one account that is in use. It is read and opened for each use, so that another one counts at once, and is
/// wiped after it.
struct StoredCredentials {
    account: AccountName,
    store: Arc<dyn Store>,
    seal: Arc<dyn Seal>,
}

impl StoredCredentials {
    async fn now(&self) -> Result<CloudflareCredentials, PortError> {
        let account = self
            .store
            .account(&self.account)
            .await
            .map_err(unavailable)?;
        let slots = self.store.slots(&account.name).await.map_err(unavailable)?;
        let version = slots.in_use().ok_or_else(|| {
            let message = format!("account {} has no API token that works", account.name);
            PortError::new(PortErrorKind::Credentials, message)
        })?;
        let sealed = self.store.sealed(&account.name, version).await;
        let sealed = sealed.map_err(unavailable)?;
        Ok(CloudflareCredentials {
            token: self
                .seal
                .open(Purpose::Token(&account, version), &sealed)
                .await?,
            account: account.cloudflare,
        })
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands in map_err, which gives values"
)]
fn unavailable(error: StoreError) -> PortError {
    PortError::unavailable(error.to_string())
}

#[async_trait]
impl Credentials for StoredCredentials {
    async fn of(&self, _gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        self.now().await
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        Ok(vec![self.now().await?])
    }
}
