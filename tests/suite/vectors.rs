//! What a genuine cloudflared and the stand-in's edge say to each other, recorded with its version and
//! replayed in every run: the one side against the stand-in, the other against our connector. Where
//! cloudflared is at hand it is recorded anew and held against the stand-in too.

mod judge;
mod quic;
mod requests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_connector::{Connector, ConnectorOptions, EdgeAddresses, EdgeRoots};
use bytes::Bytes;
use domain::secret::ConnectorToken;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use standin::ca::CertificateAuthority;
use standin::cloud::{
    Cloud, ConfigSource, NewTunnel, RecordBatch, RecordFields, RecordKind, Tunnel,
};
use standin::{ACCOUNT_ID, Standin, StandinOptions};
use tests::client::Client;
use tests::recorder::http2::Exchange;
use tests::recorder::{EDGE_NAME, Recorder, Recording, client_tls, server_tls};
use tests::world::within;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::judge::{Judge, Origin};

const FILE: &str = "cloudflared-http2.json";
/// Leads to the tunnel.
const HOST: &str = "app.example.com";
const UPGRADE: &str = "cf-cloudflared-proxy-connection-upgrade";

/// One connection's control stream and its answer to a configuration, in hexadecimal digits.
#[derive(Debug, Serialize, Deserialize)]
struct Vector {
    /// Of the cloudflared that was recorded.
    version: String,
    /// Ids and secret in the bytes, to be replaced by those of a replay.
    tunnel: String,
    secret: String,
    /// Cap'n Proto messages of the control stream, in order.
    from_connector: Vec<String>,
    from_edge: Vec<String>,
    /// Body of the configuration push and of its answer, as text.
    configuration: String,
    configuration_answer: String,
}

fn path(file: &str) -> std::path::PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    std::path::Path::new(folder).join(file)
}

fn stored<V: serde::de::DeserializeOwned>(file: &str) -> V {
    let text = std::fs::read_to_string(path(file)).expect("the vector is part of the project");
    serde_json::from_str(&text).expect("the vector is JSON")
}

/// Keeps what was recorded, where that is wanted.
fn store(file: &str, vector: &impl Serialize) {
    if std::env::var_os("RECORD_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(vector).expect("strings");
        std::fs::write(path(file), text + "\n").expect("the vector is written");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Cap'n Proto messages in a stream (<https://capnproto.org/encoding.html#serialization-over-a-stream>).
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while bytes.len() >= 8 {
        let word = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
        };
        let segments = word(0) + 1;
        let head = (4 + 4 * segments).next_multiple_of(8);
        let size = head + (0..segments).map(|n| word(4 + 4 * n) * 8).sum::<usize>();
        found.push(hex(&bytes[..size]));
        bytes = &bytes[size..];
    }
    found
}

/// A stand-in with one tunnel that has a configuration, and a name that leads there.
pub(super) struct Site {
    pub(super) standin: Standin,
    authority: CertificateAuthority,
    pub(super) tunnel: Tunnel,
    _folder: tempfile::TempDir,
}

impl Site {
    /// One whose tunnel answers every request itself.
    pub(super) async fn start() -> Self {
        Self::serving("http_status:404").await
    }

    /// One whose tunnel leads to this service.
    async fn serving(service: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StandinOptions {
            authority: Some(folder.path().to_owned()),
            zones: vec!["example.com".to_owned()],
            ..StandinOptions::default()
        };
        let standin = Standin::start(options).await.expect("the stand-in starts");
        let authority =
            CertificateAuthority::open_or_create(folder.path()).expect("the authority is kept");
        let cloud = standin.cloud();
        let new = NewTunnel {
            name: "recorded".to_owned(),
            config_src: ConfigSource::Cloudflare,
            secret: None,
        };
        let tunnel = cloud.create_tunnel(ACCOUNT_ID, new).expect("a new tunnel");
        let document = serde_json::json!({"ingress": [{"service": service}]});
        cloud
            .configure_tunnel(ACCOUNT_ID, tunnel.id, document)
            .expect("a valid document");
        let record = RecordFields {
            kind: RecordKind::parse("CNAME").expect("a kind of record"),
            name: HOST.to_owned(),
            content: format!("{}.cfargotunnel.com", tunnel.id),
            priority: None,
            proxied: true,
            ttl: 1,
            comment: None,
            tags: Vec::new(),
        };
        let batch = RecordBatch {
            posts: vec![record],
            ..RecordBatch::default()
        };
        let zone = cloud.zones()[0].id.clone();
        cloud.change_records(&zone, batch).expect("a valid record");
        Self {
            standin,
            authority,
            tunnel,
            _folder: folder,
        }
    }

    fn cloud(&self) -> &Cloud {
        self.standin.cloud()
    }

    fn connections(&self) -> Vec<standin::cloud::ConnectionRecord> {
        self.cloud().connections(self.tunnel.id)
    }

    /// A visitor.
    pub(super) fn client(&self) -> Client {
        let https = self.standin.edge().public_https().port();
        Client::new(self.standin.dns_addr(), https, self.standin.ca_pem())
    }

    /// The bytes with this tunnel's id and secret in place of the recorded ones.
    fn adapt(&self, recorded: (&str, &str), message: &str) -> Vec<u8> {
        let tunnel = hex(self.tunnel.id.as_bytes());
        let secret = hex(self.tunnel.secret.expose());
        unhex(
            &message
                .replace(recorded.0, &tunnel)
                .replace(recorded.1, &secret),
        )
    }

    /// Waits until a connector has confirmed the configuration.
    async fn confirmed(&self) {
        let limit = Duration::from_secs(20);
        within(limit, "the configuration is confirmed", || async {
            let seen = self.standin.edge().connections();
            seen.iter()
                .any(|c| c.confirmed.as_ref().is_some_and(|c| c.error.is_none()))
                .then_some(())
        })
        .await;
    }

    /// Waits until no connection is registered.
    async fn unregistered(&self) {
        within(Duration::from_secs(5), "it is unregistered", || async {
            self.connections().is_empty().then_some(())
        })
        .await;
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body whose frames come from a channel.
fn body(frames: mpsc::UnboundedReceiver<Vec<u8>>) -> Body {
    let frames = futures_util::stream::unfold(frames, |mut frames| async {
        let frame = frames.recv().await?;
        Some((Ok(Frame::data(Bytes::from(frame))), frames))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames.boxed()))
}

/// A recorded connector that speaks to the stand-in again.
struct Replay {
    site: Site,
    say: mpsc::UnboundedSender<Vec<u8>>,
    /// What it says when it leaves.
    rest: Vec<Vec<u8>>,
    served: tokio::task::JoinHandle<()>,
}

impl Replay {
    /// Says what the recorded connector said until it was registered and configured. It answers requests
    /// as recorded, in that order.
    async fn start(vector: Vector, answers: Vec<Exchange>) -> Self {
        let site = Site::start().await;
        let address = site.standin.edge().tunnel_addresses()[0];
        let (say, said) = mpsc::unbounded_channel();
        let configured = vector.configuration_answer.clone();
        let answers = Answers {
            control: Mutex::new(Some(said)),
            configured,
            requests: Mutex::new(answers.into()),
        };
        let served = serve(address, site.standin.ca_pem(), Arc::new(answers)).await;
        let recorded = (vector.tunnel.as_str(), vector.secret.as_str());
        let messages = vector.from_connector.iter();
        let mut messages = messages.map(|message| site.adapt(recorded, message));
        // What comes before the call, and whether the connector first takes an answer, differs by its timing.
        let registered = loop {
            let message = messages
                .next()
                .expect("one of the messages registers the connection");
            say.send(message).expect("the stream is open");
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Some(registered) = site.connections().pop() {
                break registered;
            }
        };
        assert_eq!(registered.client_version, vector.version);
        site.confirmed().await;
        let rest = messages.collect();
        Self {
            site,
            say,
            rest,
            served,
        }
    }

    /// Says the rest, and sees the connection end.
    async fn leave(self) {
        for message in self.rest {
            self.say.send(message).expect("the stream is open");
        }
        self.site.unregistered().await;
        drop(self.say);
        let _ = tokio::time::timeout(Duration::from_secs(5), self.served)
            .await
            .expect("the edge closes the connection");
    }
}

/// What the recorded connector answers to the streams of the edge.
struct Answers {
    control: Mutex<Option<mpsc::UnboundedReceiver<Vec<u8>>>>,
    configured: String,
    requests: Mutex<VecDeque<Exchange>>,
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let kind = request.headers().get(UPGRADE).cloned();
        match kind.as_ref().map(http::HeaderValue::as_bytes) {
            Some(b"control-stream") => {
                // What the edge answers is not looked at, but must be taken.
                tokio::spawn(request.into_body().collect());
                let mut control = self.control.lock().expect("lock");
                Response::new(body(control.take().expect("one control stream")))
            }
            Some(_) => {
                let _ = request.into_body().collect().await;
                Response::new(Full::from(self.configured.clone()).boxed_unsync())
            }
            None => {
                let _ = request.into_body().collect().await;
                let mut recorded = self.requests.lock().expect("lock");
                let recorded = recorded.pop_front().expect("no more than was recorded");
                recorded.answer().map(BodyExt::boxed_unsync)
            }
        }
    }
}

/// Dials the edge and serves its streams.
async fn serve(
    edge: std::net::SocketAddr,
    ca_pem: &str,
    answers: Arc<Answers>,
) -> tokio::task::JoinHandle<()> {
    let tcp = TcpStream::connect(edge).await.expect("the edge listens");
    let tls = TlsConnector::from(Arc::new(client_tls(ca_pem)));
    let tls = tls
        .connect(EDGE_NAME.try_into().expect("a name"), tcp)
        .await
        .expect("TLS");
    let service = service_fn(move |request| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answers.answer(request).await) }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let serving = server.serve_connection(TokioIo::new(tls), service);
    tokio::spawn(async move {
        // How it ends is of no interest.
        let _ = serving.await;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cloudflared_sends_is_accepted_by_the_stand_in() {
    Replay::start(stored(FILE), Vec::new()).await.leave().await;
}

/// Our connector, and a recorded edge that speaks to it again.
struct Connected {
    connector: Connector,
    sender: SendRequest<Body>,
    say: mpsc::UnboundedSender<Vec<u8>>,
    heard: Incoming,
    /// What the edge says when the connector leaves.
    rest: Vec<Vec<u8>>,
    _site: Site,
}

impl Connected {
    /// Says what the recorded edge said until the connector was registered.
    async fn start(vector: &Vector, origin: Arc<Origin>) -> Self {
        let site = Site::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let options = ConnectorOptions {
            edge: EdgeAddresses::Given(vec![listener.local_addr().expect("an address")]),
            roots: EdgeRoots::Only(site.authority.pem().as_bytes().to_vec()),
            connections: 1,
            ..ConnectorOptions::default()
        };
        let token = ConnectorToken::new(site.tunnel.token());
        let connector = Connector::start(&token, options, origin).expect("the connector starts");
        let (tcp, _) = listener.accept().await.expect("the connector dials");
        let tls = TlsAcceptor::from(Arc::new(server_tls(&site.authority)))
            .accept(tcp)
            .await
            .expect("TLS");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        let (say, said) = mpsc::unbounded_channel();
        let open = Request::post("https://edge/")
            .header(UPGRADE, "control-stream")
            .body(body(said))
            .expect("a request");
        let opened = sender.send_request(open).await.expect("a control stream");
        let mut heard = opened.into_body();
        let first = heard.frame().await.expect("a call").expect("no error");
        assert!(first.is_data());
        let mut answers = vector.from_edge.iter().map(|message| unhex(message));
        for answer in answers.by_ref().take(2) {
            say.send(answer).expect("the stream is open");
        }
        judge::registered(&connector).await;
        Self {
            connector,
            sender,
            say,
            heard,
            rest: answers.collect(),
            _site: site,
        }
    }

    /// Sees the connector leave.
    async fn leave(self) {
        let (connector, mut heard) = (self.connector, self.heard);
        let leaving = tokio::spawn(async move { connector.shutdown().await });
        tokio::spawn(async move { while heard.frame().await.is_some() {} });
        tokio::time::sleep(Duration::from_millis(200)).await;
        for answer in self.rest {
            self.say.send(answer).expect("the stream is open");
        }
        tokio::time::timeout(Duration::from_secs(5), leaving)
            .await
            .expect("it leaves in time")
            .expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stand_in_sends_is_accepted_by_our_connector() {
    let vector: Vector = stored(FILE);
    let mut connected = Connected::start(&vector, Origin::silent()).await;
    let push = Request::post("https://edge/")
        .header(UPGRADE, "update-configuration")
        .body(Full::new(Bytes::from(vector.configuration.clone())).boxed_unsync())
        .expect("a request");
    let answer = connected
        .sender
        .send_request(push)
        .await
        .expect("an answer")
        .into_body()
        .collect()
        .await
        .expect("a body");
    let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).expect("JSON");
    assert_eq!(
        json(&answer.to_bytes()),
        json(vector.configuration_answer.as_bytes())
    );
    connected.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudflared_that_is_at_hand_says_what_the_stand_in_accepts() {
    let site = Site::start().await;
    let edge = site.standin.edge().tunnel_addresses()[0];
    let recorder = Recorder::start(&site.authority, edge).await;
    let Some(cloudflared) = Judge::start(&site, recorder.address, "http2").await else {
        return;
    };
    let version = site.connections()[0].client_version.clone();
    cloudflared.stop().await;
    let vector = vector_of(&site, version, &recorder.recording());
    store(FILE, &vector);
    Replay::start(vector, Vec::new()).await.leave().await;
}

fn vector_of(site: &Site, version: String, recording: &Recording) -> Vector {
    // The edge opens the control stream first, then pushes the configuration.
    let (control, push) = (1, 3);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("JSON is text");
    Vector {
        version,
        tunnel: hex(site.tunnel.id.as_bytes()),
        secret: hex(site.tunnel.secret.expose()),
        from_connector: messages(&recording.from_connector[&control]),
        from_edge: messages(&recording.from_edge[&control]),
        configuration: text(&recording.from_edge[&push]),
        configuration_answer: text(&recording.from_connector[&push]),
    }
}
