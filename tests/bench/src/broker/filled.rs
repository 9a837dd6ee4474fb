//! A store with many clusters, each with Gateways that have all that they asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adapter_broker::Engine;
use adapter_broker::engine::time::StoreTime;
use adapter_broker::identity::key::ClusterKey;
use adapter_broker_store::SqlStore;
use app::system::{SystemClock, SystemEntropy};
use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::budget::{Budget, Spent};
use domain::broker::contact::Patience;
use domain::broker::held::{Place, Statement};
use domain::broker::ports::{AccountEdges, Clusters as _, Intents as _, StoreError};
use domain::broker::{AccountName, ClusterName};
use domain::edge::{EdgeIntent, EdgeStatus, HostnameOutcome, Partial};
use domain::ports::{Clock as _, Edge, PortError, PortErrorKind};
use domain::secret::{ConnectorToken, TokenHash};
use domain::testing::intent;
use domain::{AccountId, InstanceId, ObjectKey};
use tests::broker::{Enrolled, enrol, furnish};
use tokio_util::sync::CancellationToken;

use super::Shape;

/// The key that tokens are sealed by.
pub(super) const KEYS: &str = "first MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// Memory that is a file system: what is measured is the broker, and not how long it took to fill its store.
const MEMORY: &str = "/dev/shm";

/// A cluster of the store.
pub(super) struct Member {
    pub(super) key: ClusterKey,
    pub(super) instance: InstanceId,
    pub(super) term: u64,
    pub(super) intents: Vec<EdgeIntent>,
}

/// A store of SQLite.
pub(super) struct Filled {
    pub(super) file: PathBuf,
    pub(super) members: Vec<Member>,
    pub(super) took: Duration,
}

impl Filled {
    pub(super) async fn make(shape: &Shape, folder: &Path) -> anyhow::Result<Self> {
        let began = Instant::now();
        let memory = tempfile::tempdir_in(MEMORY)?;
        let filling = memory.path().join("broker.db");
        let address = format!("sqlite:{}", filling.display());
        let store = Arc::new(SqlStore::open(&address, None).await?);
        let made = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let edge = Willing {
            made: made.clone(),
            takes: Duration::ZERO,
        };
        let engine = tokio::spawn(engine(store.clone(), edge).run(stop.clone()));
        let mut members = Vec::new();
        for number in 0..shape.clusters {
            members.push(member(&store, shape, number).await?);
        }
        while made.load(Ordering::SeqCst) < shape.clusters * shape.gateways {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stop.cancel();
        engine.await?;
        let file = folder.join("broker.db");
        store.back_up(&file).await?;
        let took = began.elapsed();
        Ok(Self {
            file,
            members,
            took,
        })
    }
}

/// A cluster that has stated all that it needs.
pub(super) async fn member(
    store: &SqlStore,
    shape: &Shape,
    number: usize,
) -> anyhow::Result<Member> {
    let name = format!("cluster-{number}");
    let cluster = ClusterName::parse(&name)?;
    let enrolled = Enrolled {
        tenant: "acme",
        cluster: cluster.clone(),
        instance: InstanceId::from_bytes([1; 16]),
    };
    let key = enrol(store, &enrolled).await;
    if number == 0 {
        let zones = ["example.com".to_owned()].into();
        furnish(
            store,
            &enrolled,
            AccountId::new("0".repeat(32)),
            Some(zones),
        )
        .await;
    }
    let term = store.begin_term(&cluster, event()).await?;
    let intents = (0..shape.gateways).map(|gateway| wanted(shape, &name, gateway));
    let intents: Vec<EdgeIntent> = intents.collect();
    for (sequence, wanted) in (1..).zip(&intents) {
        let statement = Statement::Intent(Box::new(wanted.clone()));
        let place = Place { term, sequence };
        let stated = store.state(&cluster, &wanted.gateway, statement, place, None, event());
        stated.await?;
    }
    Ok(Member {
        key,
        instance: enrolled.instance,
        term,
        intents,
    })
}

fn wanted(shape: &Shape, cluster: &str, gateway: usize) -> EdgeIntent {
    let names = (0..shape.hostnames).map(|n| format!("n{n}.g{gateway}.{cluster}.example.com"));
    let names: Vec<String> = names.collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    intent(
        ObjectKey::new(cluster, format!("gateway-{gateway}")),
        &names,
    )
}

fn event() -> Event {
    Event {
        at: SystemClock.now(),
        actor: "bench".to_owned(),
        ..Event::default()
    }
}

/// An engine over a store, whose work takes a while and is counted.
pub(super) fn engine(store: Arc<SqlStore>, edge: Willing) -> Engine {
    Engine {
        store,
        edges: Arc::new(Everywhere(Arc::new(edge))),
        time: Arc::new(StoreTime::alone(Arc::new(SystemClock))),
        entropy: Arc::new(SystemEntropy::default()),
        resync: Duration::from_secs(240 * 3600),
        patience: Patience::default(),
    }
}

/// One edge for every cluster and account.
struct Everywhere(Arc<dyn Edge>);

#[async_trait]
impl AccountEdges for Everywhere {
    async fn of(
        &self,
        _: &ClusterName,
        _: InstanceId,
        _: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError> {
        Ok(self.0.clone())
    }

    async fn refused(&self, _: &AccountName) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn spent(&self) -> Spent {
        Spent::default()
    }
}

/// Makes everything true after a while, and counts.
pub(super) struct Willing {
    pub(super) made: Arc<AtomicUsize>,
    /// How long Cloudflare takes.
    pub(super) takes: Duration,
}

fn not_asked() -> PortError {
    PortError::new(PortErrorKind::NotFound, "nobody asks for it here")
}

#[async_trait]
impl Edge for Willing {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        tokio::time::sleep(self.takes).await;
        self.made.fetch_add(1, Ordering::SeqCst);
        let hostnames = intent.hostnames.iter().cloned();
        Ok(EdgeStatus {
            hostnames: hostnames
                .map(|name| (name, HostnameOutcome::Applied))
                .collect(),
            ..EdgeStatus::default()
        })
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        Ok(BTreeSet::new())
    }

    async fn connector_token(&self, _: &ObjectKey) -> Result<ConnectorToken, PortError> {
        Err(not_asked())
    }

    async fn retire_token(&self, _: &ObjectKey, _: TokenHash) -> Result<(), PortError> {
        Err(not_asked())
    }

    async fn close_connections(&self, _: &ObjectKey) -> Result<(), PortError> {
        Err(not_asked())
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
        Err(not_asked())
    }

    async fn sweep(&self, _: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        Ok(BTreeSet::new())
    }
}
