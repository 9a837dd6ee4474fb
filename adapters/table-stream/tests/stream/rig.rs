//! Instances of the controller, proxies, and what stands between them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter_listener::Limits;
use adapter_table_stream::{
    Authority, ClientOptions, LISTENER_LIMITS, Leader, ReplicaStatus, ServerIdentity,
    ServerOptions, TableClient, TableServer,
};
use async_trait::async_trait;
use domain::gateway::{BackendKind, EndpointHost, Protocol, RouteKind};
use domain::names::{Hostname, ObjectKey, Timestamp};
use domain::ports::{DataPlane, Delivery, PortError, ProxyIdentities};
use domain::route_table::{
    RouteTable, TableListener, TableRoute, Upstream, UpstreamEndpoint, UpstreamKey,
    UpstreamProtocol,
};
use domain::testing::FakeDataPlane;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The moment at which certificates are issued: the tests' own, because TLS looks at the real clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(i64::try_from(since.unwrap().as_secs()).unwrap())
}

/// Waits until it holds, for up to a minute: the machine may be busy.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn web() -> ObjectKey {
    ObjectKey::new("infra", "web")
}

/// A table of [`web`] with so many routes; `mark` tells it from others.
pub(crate) fn table(routes: usize, mark: &str) -> Arc<RouteTable> {
    table_of(&web(), routes, mark)
}

pub(crate) fn table_of(gateway: &ObjectKey, routes: usize, mark: &str) -> Arc<RouteTable> {
    let routes = (0..routes).map(|i| TableRoute {
        broader: None,
        key: ObjectKey::new("shop", format!("route-{i}")),
        kind: RouteKind::Http,
        created: Timestamp(i64::try_from(i).unwrap()),
        hostnames: vec![Hostname::parse(&format!("r{i}.example.com")).unwrap()],
        rules: Vec::new(),
    });
    let key = UpstreamKey {
        kind: BackendKind::Service,
        service: ObjectKey::new("shop", mark),
        port: 80,
        protocol: UpstreamProtocol::Http1,
    };
    let host = EndpointHost::Address("10.0.0.1".parse().unwrap());
    let endpoints = vec![UpstreamEndpoint { host, port: 8080 }];
    Arc::new(RouteTable {
        client_validation: Vec::new(),
        gateway: gateway.clone(),
        listeners: vec![TableListener {
            name: "https".to_owned(),
            port: 443,
            protocol: Protocol::Https,
            hostname: None,
            filters: Vec::new(),
            routes: routes.collect(),
        }],
        upstreams: BTreeMap::from([(
            key,
            Upstream {
                endpoints,
                ..Upstream::default()
            },
        )]),
    })
}

/// The cluster's word on tokens.
#[derive(Default)]
pub(crate) struct Tokens(pub(crate) Mutex<HashMap<String, ObjectKey>>);

#[async_trait]
impl ProxyIdentities for Tokens {
    async fn gateway_of(&self, token: &SecretString) -> Result<Option<ObjectKey>, PortError> {
        if token.expose_secret() == "unanswered" {
            return Err(PortError::unavailable("the API server is away"));
        }
        let tokens = self.0.lock().unwrap();
        Ok(tokens.get(token.expose_secret()).cloned())
    }
}

/// What a cluster has: tokens and one authority.
pub(crate) struct Cluster {
    pub(crate) authority: Mutex<Authority>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) identity: watch::Sender<Arc<ServerIdentity>>,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Token `web` is that of the proxies of [`web`].
    pub(crate) fn new() -> Self {
        let authority = Authority::new(now());
        let identity = watch::Sender::new(Arc::new(authority.issue(now())));
        let tokens = Tokens::default();
        tokens.0.lock().unwrap().insert("web".to_owned(), web());
        let cluster = Self {
            authority: Mutex::new(authority),
            tokens: Arc::new(tokens),
            identity,
            folder: tempfile::tempdir().unwrap(),
        };
        cluster.mount_bundle();
        cluster
    }

    /// Gives proxies the present bundle.
    pub(crate) fn mount_bundle(&self) {
        let bundle = self.authority.lock().unwrap().bundle();
        fs::write(self.ca_file(), bundle).unwrap();
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// An instance of the controller on a port of its own.
    pub(crate) async fn instance(&self, leader: Leader) -> Instance {
        self.instance_with(leader, LISTENER_LIMITS, self.tokens.clone())
            .await
    }

    pub(crate) async fn instance_with(
        &self,
        leader: Leader,
        limits: Limits,
        identities: Arc<dyn ProxyIdentities>,
    ) -> Instance {
        let leader = Arc::new(Mutex::new(leader));
        let asked = leader.clone();
        let changed = Arc::new(Notify::new());
        let disowned: Arc<Mutex<Vec<ObjectKey>>> = Arc::default();
        let told = disowned.clone();
        let options = ServerOptions {
            late_after: Duration::from_secs(5),
            changed: changed.clone(),
            disowned: Arc::new(move |gateway: &ObjectKey| {
                told.lock().unwrap().push(gateway.clone());
            }),
            leader: Arc::new(move || asked.lock().unwrap().clone()),
            limits,
        };
        let server = TableServer::new(identities, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (serving, identity) = (server.clone(), self.identity.subscribe());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { serving.serve(listener, identity, stopped).await });
        Instance {
            server,
            leader,
            changed,
            disowned,
            address,
            stop,
            task,
        }
    }

    /// A proxy with token `web` and a folder of its own.
    pub(crate) fn proxy(&self, replica: &str, address: SocketAddr) -> Proxy {
        self.proxy_with(replica, address, "web", Arc::default())
    }

    pub(crate) fn proxy_with(
        &self,
        replica: &str,
        address: SocketAddr,
        token: &str,
        sink: Arc<FakeDataPlane>,
    ) -> Proxy {
        let client = TableClient::start(self.options(replica, address, token), sink.clone());
        Proxy { client, sink }
    }

    /// Options of a replica; the same name has the same folder.
    pub(crate) fn options(&self, replica: &str, address: SocketAddr, token: &str) -> ClientOptions {
        let state_dir = self.folder.path().join(replica);
        fs::create_dir_all(&state_dir).unwrap();
        let token_file = state_dir.join("token");
        fs::write(&token_file, token).unwrap();
        ClientOptions {
            address: address.to_string(),
            token_file,
            ca_file: self.ca_file(),
            state_dir,
            replica: replica.to_owned(),
        }
    }

    pub(crate) fn state_of(&self, replica: &str) -> PathBuf {
        Path::new(self.folder.path())
            .join(replica)
            .join("route-table.json")
    }
}

/// An instance of the controller.
pub(crate) struct Instance {
    pub(crate) server: Arc<TableServer>,
    pub(crate) leader: Arc<Mutex<Leader>>,
    pub(crate) changed: Arc<Notify>,
    /// Gateways that were said to be disowned by the edge.
    pub(crate) disowned: Arc<Mutex<Vec<ObjectKey>>>,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Instance {
    pub(crate) fn lead(&self, leader: Leader) {
        *self.leader.lock().unwrap() = leader;
    }

    pub(crate) async fn publish(&self, table: &Arc<RouteTable>) {
        self.server.publish(table.clone()).await.unwrap();
    }

    pub(crate) fn delivery(&self) -> Delivery {
        self.server.delivery(&web())
    }

    pub(crate) fn replica(&self, name: &str) -> Option<ReplicaStatus> {
        let replicas = self.server.replicas(&web());
        replicas.into_iter().find(|replica| replica.name == name)
    }

    /// Sends everybody away and ends.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A proxy that serves what it is told.
pub(crate) struct Proxy {
    pub(crate) client: TableClient,
    pub(crate) sink: Arc<FakeDataPlane>,
}

impl Proxy {
    pub(crate) fn serves(&self, table: &RouteTable) -> bool {
        let served = self.sink.table(&table.gateway);
        served.is_some_and(|served| *served == *table)
    }

    pub(crate) async fn will_serve(&self, table: &RouteTable) {
        eventually("the proxy serves the table", || self.serves(table)).await;
    }
}

/// A wire that can be held or cut.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    flows: watch::Sender<bool>,
    cut: Arc<Mutex<CancellationToken>>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let flows = watch::Sender::new(true);
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let (held, current) = (flows.subscribe(), cut.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cut = current.lock().unwrap().clone();
                let held = held.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else {
                        return;
                    };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    let both = async {
                        tokio::join!(
                            carry(near_read, far_write, held.clone()),
                            carry(far_read, near_write, held.clone()),
                        )
                    };
                    cut.run_until_cancelled(both).await;
                });
            }
        });
        Self {
            address,
            flows,
            cut,
        }
    }

    /// Nothing passes, and nobody is told.
    pub(crate) fn hold(&self) {
        self.flows.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.flows.send_replace(true);
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        let mut cut = self.cut.lock().unwrap();
        cut.cancel();
        *cut = CancellationToken::new();
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut flows: watch::Receiver<bool>,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let flowing = flows.wait_for(|flows| *flows).await.is_ok();
        if !flowing || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
