//! Brokers over one store, each with a runtime of its own that ends at once, and begins again.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_broker::engine::time::StoreTime;
use adapter_broker::identity::key::ClusterKey;
use adapter_broker::{BrokerEdge, ClusterPlane, Engine};
use adapter_broker_store::SqlStore;
use app::system::SystemEntropy;
use async_trait::async_trait;
use domain::broker::budget::{Budget, Spent};
use domain::broker::contact::Patience;
use domain::broker::ports::{AccountEdges, StoreError};
use domain::broker::{AccountName, ClusterName};
use domain::edge::direct::DirectEdge;
use domain::ports::{Clock, CloudflareAccounts, CloudflareApi, Edge, PortError};
use domain::secret::CloudflareCredentials;
use domain::testing::{FakeCloudflare, StaticCredentials};
use domain::{AccountId, Installation, InstallationName, InstanceId, Timestamp};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tests::broker::{EAST, Enrolled, client_settings, enrol, furnish};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ends::{Ending, Writes};
use crate::postgres::{Name, Postgres};

/// The account of the fake's zones.
const ACCOUNT: &str = "acme";

/// Seconds of a broker's time in a second.
const SPEED: u128 = 50;

/// The cluster of every scene.
pub(super) fn cluster() -> ClusterName {
    Enrolled::of(EAST).cluster
}

/// Where a store is.
pub(super) enum Database {
    Sqlite(PathBuf),
    /// A database of this name, which is made.
    Postgres(Arc<Postgres>, String),
    /// The same behind a name that leads to one server after another.
    Named(Arc<Name>, String),
}

impl Database {
    pub(super) fn sqlite(folder: &Path) -> Self {
        Self::Sqlite(folder.with_extension("db"))
    }

    pub(super) fn postgres(server: &Arc<Postgres>, name: &str) -> Self {
        Self::Postgres(server.clone(), format!("scene_{name}"))
    }

    pub(super) fn named(name: &Arc<Name>, database: &str) -> Self {
        Self::Named(name.clone(), format!("scene_{database}"))
    }

    /// Its address.
    pub(super) async fn make(&self) -> String {
        match self {
            Self::Named(name, database) => make(&name.address(), database).await,
            Self::Sqlite(file) => format!("sqlite:{}", file.display()),
            Self::Postgres(server, name) => make(&server.address(), name).await,
        }
    }
}

/// Makes a database of a server where it is missing.
async fn make(address: &str, name: &str) -> String {
    let mut admin = PgConnection::connect(address).await.expect("a connection");
    let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    // It may be there.
    drop(admin.execute(statement).await);
    let (server, _) = address.rsplit_once('/').expect("a database");
    format!("{server}/{name}")
}

/// Goes faster than time.
struct FastClock(Instant);

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = self.0.elapsed().as_millis() * SPEED / 1000;
        Timestamp(1_000_000 + i64::try_from(passed).expect("a short test"))
    }
}

/// Several brokers, and the cluster behind them.
pub(super) struct Group {
    address: String,
    client: Arc<BrokerEdge>,
    /// Of the first broker, until it ends.
    writes: Writes,
    stop: CancellationToken,
    brokers: JoinSet<()>,
}

/// What each broker is made of.
#[derive(Clone)]
struct Parts {
    address: String,
    cloudflare: FakeCloudflare,
    account: AccountName,
    instance: InstanceId,
    clock: Arc<FastClock>,
}

impl Group {
    /// Starts brokers, of which the first one ends, and begins again.
    pub(super) async fn start(
        database: &Database,
        cloudflare: &FakeCloudflare,
        brokers: usize,
        ending: Option<Ending>,
    ) -> Self {
        let address = database.make().await;
        let store = SqlStore::open(&address, None).await.expect("a new store");
        let member = Enrolled::of(EAST);
        let key = enrol(&store, &member).await;
        let zones = ["example.com".to_owned()].into();
        let account = furnish(&store, &member, AccountId::new(ACCOUNT), Some(zones)).await;
        let parts = Parts {
            address: address.clone(),
            cloudflare: cloudflare.clone(),
            account,
            instance: member.instance,
            clock: Arc::new(FastClock(Instant::now())),
        };
        let (stop, writes) = (CancellationToken::new(), Writes::until(ending));
        let (mut running, mut urls) = (JoinSet::new(), Vec::new());
        for number in 0..brokers {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.set_nonblocking(true).expect("a socket");
            urls.push(listener.local_addr().expect("a bound listener"));
            let writes = match number {
                0 => writes.clone(),
                _ => Writes::until(None),
            };
            running.spawn(run(parts.clone(), listener, writes, stop.clone()));
        }
        Self {
            address,
            client: client(&urls, key, &parts),
            writes,
            stop,
            brokers: running,
        }
    }

    pub(super) fn client(&self) -> Arc<dyn Edge> {
        self.client.clone()
    }

    /// How many writes the first broker began.
    pub(super) fn writes(&self) -> usize {
        self.writes.begun()
    }

    /// Ends all brokers; what they left.
    pub(super) async fn end(mut self) -> SqlStore {
        self.stop.cancel();
        while self.brokers.join_next().await.is_some() {}
        SqlStore::open(&self.address, None)
            .await
            .expect("the store")
    }
}

fn client(urls: &[SocketAddr], key: ClusterKey, parts: &Parts) -> Arc<BrokerEdge> {
    let mut settings = client_settings(String::new(), key, parts.instance);
    settings.base_urls = urls.iter().map(|url| format!("http://{url}")).collect();
    settings.statement_timeout = Duration::from_secs(2);
    settings.request_timeout = Duration::from_secs(2);
    let entropy = Arc::new(SystemEntropy::default());
    let edge = BrokerEdge::new(&settings, parts.clock.clone(), entropy);
    Arc::new(edge.expect("a client of this machine"))
}

/// A broker, and after its end another one at the same address.
async fn run(parts: Parts, listener: TcpListener, writes: Writes, stop: CancellationToken) {
    let mut writes = writes;
    while !stop.is_cancelled() {
        let process = Process(Some(Runtime::new().expect("a runtime")));
        let listener = listener.try_clone().expect("the same socket");
        process.spawn(serve(parts.clone(), listener, writes.clone()));
        tokio::select! {
            () = writes.ended().cancelled() => {}
            // No more writes, so that what is read afterwards stays as it is.
            () = stop.cancelled() => writes.ended().cancel(),
        }
        drop(process);
        writes = Writes::until(None);
    }
}

/// What runs in a process of its own, and ends with this value, wherever it is.
struct Process(Option<Runtime>);

impl Process {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let runtime = self.0.as_ref().expect("it has not ended");
        runtime.spawn(work);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(parts: Parts, listener: TcpListener, writes: Writes) {
    let store = SqlStore::open(&parts.address, None).await;
    let store = Arc::new(store.expect("the store").seen(Arc::new(writes.clone())));
    let entropy = Arc::new(SystemEntropy::default());
    let edges = Arc::new(edges(&parts, writes, entropy.clone()));
    let engine = Engine {
        store: store.clone(),
        edges: edges.clone(),
        time: Arc::new(StoreTime::alone(parts.clock.clone())),
        entropy: entropy.clone(),
        resync: Duration::from_secs(3600),
        patience: Patience::default(),
    };
    let stop = CancellationToken::new();
    tokio::spawn(engine.run(stop.clone()));
    let plane = ClusterPlane::new(store, edges, tests::broker::seal(), entropy, parts.clock);
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let api = adapter_broker::router(Arc::new(plane));
    adapter_broker::serve(listener, None, api, adapter_broker::LISTENER_LIMITS, stop).await;
}

fn edges(parts: &Parts, writes: Writes, entropy: Arc<SystemEntropy>) -> OneAccount {
    let accounts = Seen {
        cloudflare: parts.cloudflare.clone(),
        writes,
    };
    let installation = Installation {
        name: InstallationName::parse(EAST.0).expect("a name"),
        instance: parts.instance,
    };
    let edge = DirectEdge::new(
        Arc::new(accounts),
        Arc::new(StaticCredentials::for_all(ACCOUNT)),
        entropy,
        installation,
    );
    OneAccount {
        edge: Arc::new(edge),
        account: parts.account.clone(),
    }
}

/// A Cloudflare whose calls are seen.
struct Seen {
    cloudflare: FakeCloudflare,
    writes: Writes,
}

impl CloudflareAccounts for Seen {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        let writes = Arc::new(self.writes.clone());
        self.cloudflare.open_observed(credentials, writes)
    }
}

/// The one account of the one cluster.
struct OneAccount {
    edge: Arc<dyn Edge>,
    account: AccountName,
}

#[async_trait]
impl AccountEdges for OneAccount {
    async fn of(
        &self,
        _: &ClusterName,
        _: InstanceId,
        account: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError> {
        assert_eq!(*account, self.account);
        Ok(self.edge.clone())
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
