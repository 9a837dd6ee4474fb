//! Clients that nobody knows, and a cluster that asks too much.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::identity::{proof, unpredictable};
use adapter_broker::server::REQUESTS_OF_CLUSTER;
use adapter_broker::{ClusterPlane, LISTENER_LIMITS, router, serve, tls_config};
use adapter_broker_store::SqlStore;
use app::system::{SystemClock, SystemEntropy};
use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::budget::{Budget, Spent};
use domain::broker::held::{Place, Statement};
use domain::broker::ports::{AccountEdges, Clusters, Intents, Session, StoreError, WorkQueue};
use domain::broker::work::Holder;
use domain::broker::{AccountName, ClusterName};
use domain::edge::{EdgeIntent, EdgeStatus, Partial};
use domain::ports::{Clock, Edge, PortError};
use domain::secret::{ConnectorToken, TokenHash};
use domain::{AccountId, InstanceId, ObjectKey, Timestamp};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tests::broker::{Enrolled, enrol, furnish};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Longer than any test may take.
const DEADLINE: Duration = Duration::from_secs(60);

const GATEWAYS: &str = "/v1/gateways";

const TOKEN: &str = "/v1/gateways/default/one/token";

/// An edge whose tokens wait until they may go on.
struct Waiting(Semaphore);

#[async_trait]
impl Edge for Waiting {
    async fn reconcile(&self, _: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        Ok(EdgeStatus::default())
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        Ok(BTreeSet::new())
    }

    async fn connector_token(&self, _: &ObjectKey) -> Result<ConnectorToken, PortError> {
        self.0.acquire().await.unwrap().forget();
        Ok(ConnectorToken::new("token"))
    }

    async fn retire_token(&self, _: &ObjectKey, _: TokenHash) -> Result<(), PortError> {
        Ok(())
    }

    async fn close_connections(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn sweep(&self, _: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        Ok(BTreeSet::new())
    }
}

/// The same edge for every account.
struct Same(Arc<Waiting>);

#[async_trait]
impl AccountEdges for Same {
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

/// A cluster with a session.
struct Member {
    key: ClusterKey,
    token: String,
}

/// A broker over TLS, with one Gateway of the cluster `east`.
struct Broker {
    address: SocketAddr,
    edge: Arc<Waiting>,
    tls: TlsConnector,
    east: Member,
    west: Member,
    _files: tempfile::TempDir,
}

impl Broker {
    async fn start(limits: adapter_listener::Limits) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let tls = tls_config(certificate.as_bytes(), key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let files = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", files.path().join("broker.db").display());
        let store = SqlStore::open(&address, None).await.unwrap();
        let (east, west) = (member(&store, "east").await, member(&store, "west").await);
        place_a_gateway(&store).await;
        let edge = Arc::new(Waiting(Semaphore::new(0)));
        let plane = ClusterPlane::new(
            Arc::new(store),
            Arc::new(Same(edge.clone())),
            tests::broker::seal(),
            Arc::new(SystemEntropy::default()),
            Arc::new(SystemClock),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, tls) = watch::channel(tls);
        let stop = CancellationToken::new();
        let api = router(Arc::new(plane));
        tokio::spawn(serve(listener, Some(tls), api, limits, stop));
        Self {
            address,
            edge,
            tls: TlsConnector::from(Arc::new(client)),
            east,
            west,
            _files: files,
        }
    }

    async fn connect(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn handshake(
        &self,
        from: [u8; 4],
    ) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.connect(from).await;
        self.tls.connect(name, stream).await.unwrap()
    }

    /// The status of the answer to a request on a connection of its own.
    async fn ask(&self, member: &Member, path: &str) -> String {
        let mut stream = self.handshake([127, 0, 0, 1]).await;
        say(&mut stream, member, path).await;
        status(&mut stream).await
    }
}

async fn member(store: &SqlStore, name: &str) -> Member {
    let enrolled = Enrolled {
        tenant: "acme",
        cluster: ClusterName::parse(name).unwrap(),
        instance: InstanceId::from_bytes([1; 16]),
    };
    let key = enrol(store, &enrolled).await;
    if name == "east" {
        let id = AccountId::new("0123456789abcdef0123456789abcdef");
        furnish(store, &enrolled, id, None).await;
    }
    let token = unpredictable(&SystemEntropy::default());
    let session = Session {
        token: adapter_broker::identity::digest(&token),
        expires: Timestamp(i64::MAX),
    };
    let identity = domain::broker::cluster::Identity {
        key: key.thumbprint().clone(),
        instance: enrolled.instance,
    };
    let opened = store.open_session(session, &identity, None, Event::default());
    opened.await.unwrap();
    Member {
        key,
        token: token.expose_secret().to_owned(),
    }
}

async fn place_a_gateway(store: &SqlStore) {
    let (east, gateway) = (
        ClusterName::parse("east").unwrap(),
        ObjectKey::new("default", "one"),
    );
    let intent = Statement::Intent(Box::new(EdgeIntent::new(gateway.clone())));
    let place = Place::default();
    let stated = store.state(&east, &gateway, intent, place, None, Event::default());
    stated.await.unwrap();
    let wanted = BTreeSet::new();
    let now = Timestamp(0);
    let holder = Holder("test".to_owned());
    let taken = store.take(holder, Budget::default(), now, Timestamp(30));
    let taken = taken.await.unwrap().expect("its work");
    let settled = store.settle(&taken, &wanted, false, now).await;
    assert!(settled.unwrap().parts.len() == 1);
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), member: &Member, path: &str) {
    let id = unpredictable(&SystemEntropy::default());
    let url = format!("https://localhost{path}");
    let asked = proof::Request {
        method: "GET",
        url: &url,
        token: Some(&member.token),
    };
    let id = id.expose_secret().to_owned();
    let proof = member.key.prove(asked, id, SystemClock.now());
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: DPoP {}\r\ndpop: {proof}\r\n\r\n",
        member.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
}

async fn status(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut start = [0; 12];
    let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut start)).await;
    read.expect("an answer in time").expect("an answer");
    String::from_utf8(start[9..].to_vec()).unwrap()
}

#[tokio::test]
async fn connections_without_a_request_are_closed_while_a_cluster_is_served() {
    let limits = adapter_listener::Limits {
        connections: 64,
        strangers: 16,
        first_request: Duration::from_millis(700),
        ..LISTENER_LIMITS
    };
    let broker = Broker::start(limits).await;
    let mut flood = JoinSet::new();
    for count in 0..60 {
        let mut stream = broker.connect([127, 0, 1, 1 + count % 3]).await;
        flood.spawn(async move { drop(stream.read_to_end(&mut Vec::new()).await) });
    }
    for last in 1..=4 {
        let mut stream = broker.handshake([127, 0, 2, last]).await;
        let half = format!("GET {GATEWAYS} HTTP/1.1\r\nauthorization: DPoP x\r\n");
        stream.write_all(half.as_bytes()).await.unwrap();
        flood.spawn(async move { drop(stream.read_to_end(&mut Vec::new()).await) });
    }
    assert_eq!(broker.ask(&broker.east, GATEWAYS).await, "200");
    let closed = tokio::time::timeout(DEADLINE, flood.join_all()).await;
    closed.expect("each connection is closed in time");
    assert_eq!(broker.ask(&broker.east, GATEWAYS).await, "200");
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_waited_for() {
    let broker = Broker::start(LISTENER_LIMITS).await;
    for (method, path, head) in [
        ("PUT", GATEWAYS, "authorization: DPoP invented\r\n"),
        ("PUT", GATEWAYS, ""),
        ("POST", "/v1/sessions", "dpop: invented\r\n"),
        ("POST", "/v1/enrolments", ""),
    ] {
        let mut stream = broker.handshake([127, 0, 0, 1]).await;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1048576\r\n{head}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await, "401", "{method} {path} {head}");
    }
}

#[tokio::test]
async fn a_cluster_has_so_many_requests_at_a_time_and_no_other_waits_for_it() {
    let broker = Broker::start(LISTENER_LIMITS).await;
    let mut asking = Vec::new();
    for _ in 0..REQUESTS_OF_CLUSTER {
        let mut stream = broker.handshake([127, 0, 0, 1]).await;
        say(&mut stream, &broker.east, TOKEN).await;
        asking.push(stream);
    }
    let refused = tokio::time::timeout(DEADLINE, async {
        while broker.ask(&broker.east, GATEWAYS).await != "429" {}
    });
    refused.await.expect("all of them are under way");
    assert_eq!(broker.ask(&broker.west, GATEWAYS).await, "200");

    broker.edge.0.add_permits(1);
    let served = tokio::time::timeout(DEADLINE, async {
        while broker.ask(&broker.east, GATEWAYS).await != "200" {}
    });
    served.await.expect("one of them is answered");
}
