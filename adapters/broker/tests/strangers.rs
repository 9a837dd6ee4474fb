//! Clients that nobody knows, and a cluster that asks too much.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::server::REQUESTS_OF_CLUSTER;
use adapter_broker::{
    Cluster, ClusterLimits, ClusterTokenHash, LISTENER_LIMITS, router, serve, tls_config,
};
use async_trait::async_trait;
use domain::edge::{EdgeIntent, EdgeStatus, Partial};
use domain::ports::{Edge, Edges, OwnedGateway, PortError};
use domain::secret::{ConnectorToken, TokenHash};
use domain::testing::FixedClock;
use domain::{InstallationName, InstanceId, ObjectKey};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Longer than any test may take.
const DEADLINE: Duration = Duration::from_secs(60);

const TOKEN: &str = "token-of-cluster";

/// An edge whose closings and tokens wait until they may go on.
struct Waiting(Semaphore);

#[async_trait]
impl Edge for Waiting {
    async fn reconcile(&self, _: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        Ok(EdgeStatus::default())
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        Ok(BTreeSet::new())
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        self.close_connections(gateway).await?;
        Ok(ConnectorToken::new("token"))
    }

    async fn retire_token(&self, _: &ObjectKey, _: TokenHash) -> Result<(), PortError> {
        Ok(())
    }

    async fn close_connections(&self, _: &ObjectKey) -> Result<(), PortError> {
        self.0.acquire().await.unwrap().forget();
        Ok(())
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn sweep(&self, _: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        Ok(BTreeSet::new())
    }
}

/// The same edge for every instance.
struct Same(Arc<Waiting>);

#[async_trait]
impl Edges for Same {
    fn of(&self, _: InstanceId) -> Arc<dyn Edge> {
        self.0.clone()
    }

    async fn owned(&self) -> Result<Vec<OwnedGateway>, PortError> {
        Ok(Vec::new())
    }
}

/// Where the Gateways of an instance are.
const GATEWAYS: &str = "/v1/instances/01010101-0101-0101-0101-010101010101/gateways";

/// A broker over TLS.
struct Broker {
    address: SocketAddr,
    edge: Arc<Waiting>,
    tls: TlsConnector,
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

        let edge = Arc::new(Waiting(Semaphore::new(0)));
        let cluster = |name: &str, token: &str| Cluster {
            name: InstallationName::parse(name).unwrap(),
            token: ClusterTokenHash::of(token),
            expires: None,
            limits: ClusterLimits::default(),
            edges: Arc::new(Same(edge.clone())),
        };
        let clusters = vec![cluster("east", TOKEN), cluster("west", "token-of-west")];
        let api = router(clusters, Arc::new(FixedClock::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, Some(tls), api, limits, stop));
        Self {
            address,
            edge,
            tls: TlsConnector::from(Arc::new(client)),
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
    async fn ask(&self, token: &str, method: &str, rest: &str) -> String {
        let mut stream = self.handshake([127, 0, 0, 1]).await;
        say(&mut stream, token, method, rest).await;
        status(&mut stream).await
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), token: &str, method: &str, rest: &str) {
    let head = format!(
        "{method} {GATEWAYS}{rest} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
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
        let half = format!("GET {GATEWAYS} HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n");
        stream.write_all(half.as_bytes()).await.unwrap();
        flood.spawn(async move { drop(stream.read_to_end(&mut Vec::new()).await) });
    }
    assert_eq!(broker.ask(TOKEN, "GET", "").await, "200");
    let closed = tokio::time::timeout(DEADLINE, flood.join_all()).await;
    closed.expect("each connection is closed in time");
    assert_eq!(broker.ask(TOKEN, "GET", "").await, "200");
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_waited_for() {
    let broker = Broker::start(LISTENER_LIMITS).await;
    for head in ["authorization: Bearer invented\r\n", ""] {
        let mut stream = broker.handshake([127, 0, 0, 1]).await;
        let request = format!(
            "PUT {GATEWAYS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1048576\r\n{head}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await, "401");
    }
}

#[tokio::test]
async fn a_cluster_has_so_many_requests_at_a_time_also_when_it_goes_away_meanwhile() {
    let broker = Broker::start(LISTENER_LIMITS).await;
    let mut asking = Vec::new();
    for number in 0..REQUESTS_OF_CLUSTER {
        let mut stream = broker.handshake([127, 0, 0, 1]).await;
        let rest = format!("/shop/gateway-{number}/connections");
        say(&mut stream, TOKEN, "DELETE", &rest).await;
        asking.push(stream);
    }
    let refused = tokio::time::timeout(DEADLINE, async {
        while broker.ask(TOKEN, "GET", "").await != "429" {}
    });
    refused.await.expect("all of them are under way");
    assert_eq!(broker.ask("token-of-west", "GET", "").await, "200");

    drop(asking.split_off(1));
    for _ in 0..10 {
        assert_eq!(broker.ask(TOKEN, "GET", "").await, "429", "work goes on");
    }
    broker.edge.0.add_permits(REQUESTS_OF_CLUSTER);
    assert_eq!(status(&mut asking[0]).await, "200");
    let served = tokio::time::timeout(DEADLINE, async {
        while broker.ask(TOKEN, "GET", "").await != "200" {}
    });
    served
        .await
        .expect("it is served again once that work is done");
}
