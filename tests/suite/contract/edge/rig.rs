//! Edges for the suite, each with the world around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::engine::time::StoreTime;
use adapter_broker::{BrokerEdge, ClusterPlane, Engine};
use adapter_broker_store::SqlStore;
use app::system::SystemClock;
use async_trait::async_trait;
use domain::broker::budget::{Budget, Spent};
use domain::broker::contact::Patience;
use domain::broker::ports::{AccountEdges, StoreError};
use domain::broker::{AccountName, ClusterName};
use domain::edge::direct::DirectEdge;
use domain::edge::objects::{RecordBatch, RecordData};
use domain::edge::{EdgeStatus, HostnameOutcome};
use domain::ports::{CloudflareAccounts, Edge, PortError, PortErrorKind};
use domain::testing::{FakeEdge, FixedEntropy, StaticCredentials, installation, instance_of};
use domain::{AccountId, Installation, InstanceId, ObjectKey};
use futures_util::future::BoxFuture;
use tests::broker::{Enrolled, client_settings, enrol, furnish};
use tokio_util::sync::CancellationToken;

use crate::contract::cloudflare::{ACCOUNT, Cloudflare, Lacking, ZONE, api_of};
use crate::contract::{gateway, hostname};

pub(super) const APP: &str = "app.example.com";
pub(super) const SHOP: &str = "shop.example.com";
pub(super) const WILD: &str = "*.example.com";
/// A name in no zone of the account.
pub(super) const OUTSIDE: &str = "app.example.test";

/// An edge whose one zone is `example.com`, and the ways in which the world around it changes.
#[async_trait]
pub(super) trait Rig: Send + Sync {
    fn edge(&self) -> &dyn Edge;

    /// The edge as a new process has it, which remembers nothing.
    async fn new_process(&self) -> Arc<dyn Edge>;

    /// The edge of another installation of this software with the same credentials.
    async fn other_installation(&self) -> Arc<dyn Edge>;

    /// Names of `example.com` that lead to a tunnel, with the tunnel's address.
    async fn names(&self) -> BTreeMap<String, String>;

    /// Somebody writes a record by hand.
    fn write_foreign_record(&self, name: &str);

    /// Somebody removes it.
    async fn remove_foreign_record(&self, name: &str);

    /// The foreign record, every field of it.
    async fn foreign_record(&self, name: &str) -> String;

    /// Somebody's proxy joins the tunnel.
    fn connect(&self, status: &EdgeStatus);

    /// Somebody deletes the tunnel of a Gateway of `home` by hand. Its records stay.
    async fn lose_tunnel(&self, gateway: &str);

    fn take_credentials_away(&self, gateway: &ObjectKey);

    /// The token may not read or edit DNS records from now on.
    fn forbid_dns(&self);

    fn cut_off(&self);

    fn mend(&self);
}

/// What makes an edge over a Cloudflare.
pub(super) type Make = fn(Parts) -> BoxFuture<'static, Arc<dyn Edge>>;

pub(super) struct Parts {
    accounts: Arc<dyn CloudflareAccounts>,
    credentials: Arc<StaticCredentials>,
    installation: Installation,
}

pub(super) fn over_nothing(parts: Parts) -> BoxFuture<'static, Arc<dyn Edge>> {
    Box::pin(async move { direct(parts) })
}

pub(super) fn over_broker(parts: Parts) -> BoxFuture<'static, Arc<dyn Edge>> {
    Box::pin(broker(parts))
}

fn direct(parts: Parts) -> Arc<dyn Edge> {
    let entropy = Arc::new(FixedEntropy::default());
    Arc::new(DirectEdge::new(
        parts.accounts,
        parts.credentials,
        entropy,
        parts.installation,
    ))
}

/// A broker that serves one cluster, and that cluster's client.
async fn broker(parts: Parts) -> Arc<dyn Edge> {
    let files = tempfile::tempdir().expect("a temporary folder");
    let address = format!("sqlite:{}", files.path().join("broker.db").display());
    let store = Arc::new(SqlStore::open(&address, None).await.expect("a new store"));
    let member = Enrolled {
        tenant: "home",
        cluster: parts.installation.name.clone(),
        instance: parts.installation.instance,
    };
    let key = enrol(&*store, &member).await;
    let zones = [ZONE.to_owned()].into();
    let account = furnish(&*store, &member, AccountId::new(ACCOUNT), Some(zones)).await;
    let edge: Arc<dyn Edge> = direct(parts);
    let edges = Arc::new(OneEdge { edge, account });
    // What failed is tried again after a second.
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(FixedEntropy::default()));
    let stop = CancellationToken::new();
    let engine = Engine {
        store: store.clone(),
        edges: edges.clone(),
        time: Arc::new(StoreTime::alone(clock.clone())),
        entropy: entropy.clone(),
        resync: Duration::from_secs(3600),
        patience: Patience::default(),
    };
    tokio::spawn(engine.run(stop.clone()));
    let plane = ClusterPlane::new(
        store,
        edges,
        tests::broker::seal(),
        entropy.clone(),
        clock.clone(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let api = adapter_broker::router(Arc::new(plane));
    let limits = adapter_broker::LISTENER_LIMITS;
    let served = adapter_broker::serve(listener, None, api, limits, stop);
    tokio::spawn(async move {
        served.await;
        drop(files);
    });
    let settings = client_settings(format!("http://{address}"), key, member.instance);
    let edge = BrokerEdge::new(&settings, clock, entropy);
    Arc::new(edge.expect("a client of this machine"))
}

/// The same edge for every account.
struct OneEdge {
    edge: Arc<dyn Edge>,
    account: AccountName,
}

#[async_trait]
impl AccountEdges for OneEdge {
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

/// An edge that stands before a Cloudflare.
pub(super) struct Behind<C> {
    cloudflare: C,
    credentials: Arc<StaticCredentials>,
    make: Make,
    edge: Arc<dyn Edge>,
}

impl<C: Cloudflare> Behind<C> {
    pub(super) async fn new(cloudflare: C, make: Make) -> Self {
        let credentials = Arc::new(StaticCredentials::default());
        for name in ["one", "other"] {
            credentials.set(Some(gateway(name)), Some(ACCOUNT));
        }
        let edge = made(&cloudflare, &credentials, make, installation("home")).await;
        Self {
            cloudflare,
            credentials,
            make,
            edge,
        }
    }
}

impl<C: Cloudflare> Behind<C> {
    /// The edge of another installation of the same name with the same credentials, or the same token of the broker.
    pub(super) async fn namesake(&self) -> Arc<dyn Edge> {
        let installation = instance_of("home", 2);
        made(&self.cloudflare, &self.credentials, self.make, installation).await
    }

    /// The proxies of a tunnel come, and go again.
    pub(super) fn come_and_go(&self, status: &EdgeStatus) {
        let tunnel = status.tunnels[0].id;
        self.cloudflare.connect(tunnel);
        self.cloudflare.disconnect(tunnel);
    }
}

async fn made(
    cloudflare: &impl Cloudflare,
    credentials: &Arc<StaticCredentials>,
    make: Make,
    installation: Installation,
) -> Arc<dyn Edge> {
    make(Parts {
        accounts: cloudflare.accounts(),
        credentials: credentials.clone(),
        installation,
    })
    .await
}

#[async_trait]
impl<C: Cloudflare> Rig for Behind<C> {
    fn edge(&self) -> &dyn Edge {
        &*self.edge
    }

    async fn new_process(&self) -> Arc<dyn Edge> {
        made(
            &self.cloudflare,
            &self.credentials,
            self.make,
            installation("home"),
        )
        .await
    }

    async fn other_installation(&self) -> Arc<dyn Edge> {
        made(
            &self.cloudflare,
            &self.credentials,
            self.make,
            installation("away"),
        )
        .await
    }

    async fn names(&self) -> BTreeMap<String, String> {
        let zone = self.cloudflare.zone();
        let records = api_of(&self.cloudflare).records(&zone).await.unwrap();
        records
            .into_iter()
            .filter(|record| record.data.content.ends_with(".cfargotunnel.com"))
            .map(|record| (record.data.name, record.data.content))
            .collect()
    }

    fn write_foreign_record(&self, name: &str) {
        self.cloudflare.add_record(RecordData {
            name: name.to_owned(),
            kind: "A".to_owned(),
            content: "192.0.2.1".to_owned(),
            proxied: true,
            ttl: 1,
            comment: "by hand".to_owned(),
        });
    }

    async fn remove_foreign_record(&self, name: &str) {
        let api = api_of(&self.cloudflare);
        let zone = self.cloudflare.zone();
        let mut records = api.records(&zone).await.unwrap();
        records.retain(|record| record.data.name == name);
        let batch = RecordBatch {
            deletes: records.into_iter().map(|record| record.id).collect(),
            ..RecordBatch::default()
        };
        api.change_records(&zone, &batch).await.unwrap();
    }

    async fn foreign_record(&self, name: &str) -> String {
        let zone = self.cloudflare.zone();
        let mut records = api_of(&self.cloudflare).records(&zone).await.unwrap();
        records.retain(|record| record.data.name == name);
        format!("{records:?}")
    }

    fn connect(&self, status: &EdgeStatus) {
        self.cloudflare.connect(status.tunnels[0].id);
    }

    async fn lose_tunnel(&self, name: &str) {
        let name = domain::edge::ownership::tunnel_name(&installation("home"), &gateway(name));
        let api = api_of(&self.cloudflare);
        for tunnel in api.tunnels(&name).await.unwrap() {
            api.delete_tunnel(tunnel.id).await.unwrap();
        }
    }

    fn take_credentials_away(&self, gateway: &ObjectKey) {
        self.credentials.set(Some(gateway.clone()), None);
    }

    fn forbid_dns(&self) {
        self.cloudflare.restrict(Lacking::Dns);
    }

    fn cut_off(&self) {
        self.cloudflare.cut_off();
    }

    fn mend(&self) {
        self.cloudflare.mend();
    }
}

/// The fake, which plays an edge without a Cloudflare behind it.
pub(super) struct InMemory {
    edge: Arc<FakeEdge>,
    elsewhere: Arc<FakeEdge>,
}

impl InMemory {
    pub(super) fn new() -> Self {
        let edge = Arc::new(FakeEdge::default());
        edge.stand_in_the_way(hostname(OUTSIDE), Some(HostnameOutcome::NoZone));
        Self {
            edge,
            elsewhere: Arc::default(),
        }
    }
}

#[async_trait]
impl Rig for InMemory {
    fn edge(&self) -> &dyn Edge {
        &*self.edge
    }

    async fn new_process(&self) -> Arc<dyn Edge> {
        self.edge.clone()
    }

    async fn other_installation(&self) -> Arc<dyn Edge> {
        self.elsewhere.clone()
    }

    async fn names(&self) -> BTreeMap<String, String> {
        let records = self.edge.records().into_iter();
        records
            .map(|(name, tunnel)| (name.to_string(), tunnel.address()))
            .collect()
    }

    fn write_foreign_record(&self, name: &str) {
        let found = "A record 192.0.2.1".to_owned();
        let conflict = HostnameOutcome::Conflict { found };
        self.edge.stand_in_the_way(hostname(name), Some(conflict));
    }

    async fn remove_foreign_record(&self, name: &str) {
        self.edge.stand_in_the_way(hostname(name), None);
    }

    async fn foreign_record(&self, name: &str) -> String {
        format!("{:?}", self.edge.records().get(&hostname(name)))
    }

    fn connect(&self, status: &EdgeStatus) {
        self.edge.connect(status.tunnels[0].id);
    }

    async fn lose_tunnel(&self, name: &str) {
        self.edge.lose_tunnel(&gateway(name));
    }

    fn take_credentials_away(&self, gateway: &ObjectKey) {
        let refusal = PortError::new(PortErrorKind::Credentials, "no credentials");
        self.edge.fail(Some(gateway.clone()), Some(refusal));
    }

    fn forbid_dns(&self) {
        let forbidden = HostnameOutcome::Forbidden {
            message: "DNS".to_owned(),
        };
        let name = hostname(APP);
        self.edge.stand_in_the_way(name, Some(forbidden));
    }

    fn cut_off(&self) {
        let refusal = PortError::unavailable("cut off");
        self.edge.fail(None, Some(refusal));
    }

    fn mend(&self) {
        self.edge.fail(None, None);
    }
}
