//! What a genuine cloudflared and the stand-in's edge say to each other, recorded with its version and
//! replayed in every run: the one side against the stand-in, the other against our connector. Where
//! cloudflared is at hand it is recorded anew and held against the stand-in too.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{
    Connector, ConnectorOptions, EdgeAddresses, EdgeRoots, RequestBody, RequestHandler,
};
use bytes::Bytes;
use domain::route_table::Arrival;
use domain::secret::ConnectorToken;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use standin::ca::CertificateAuthority;
use standin::cloud::{Cloud, ConfigSource, NewTunnel, Tunnel};
use standin::{ACCOUNT_ID, Standin, StandinOptions};
use tests::recorder::{EDGE_NAME, Recorder, Recording, client_tls, server_tls};
use tests::world::within;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/vectors/cloudflared-http2.json"
);
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

fn stored() -> Vector {
    let text = std::fs::read_to_string(FILE).expect("the vector is part of the project");
    serde_json::from_str(&text).expect("the vector is JSON")
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

/// A stand-in with one tunnel that has a configuration.
struct Site {
    standin: Standin,
    authority: CertificateAuthority,
    tunnel: Tunnel,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StandinOptions {
            authority: Some(folder.path().to_owned()),
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
        let document = serde_json::json!({"ingress": [{"service": "http_status:404"}]});
        cloud
            .configure_tunnel(ACCOUNT_ID, tunnel.id, document)
            .expect("a valid document");
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

    /// The bytes with this tunnel's id and secret in place of the recorded ones.
    fn adapt(&self, vector: &Vector, message: &str) -> Vec<u8> {
        let tunnel = hex(self.tunnel.id.as_bytes());
        let secret = hex(self.tunnel.secret.expose());
        unhex(
            &message
                .replace(&vector.tunnel, &tunnel)
                .replace(&vector.secret, &secret),
        )
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

/// Says to the stand-in what the recorded connector said, and sees it accepted.
async fn replay_to_the_standin(vector: Vector) {
    let site = Site::start().await;
    let address = site.standin.edge().tunnel_addresses()[0];
    let tcp = TcpStream::connect(address).await.expect("the edge listens");
    let tls = TlsConnector::from(Arc::new(client_tls(site.standin.ca_pem())));
    let tls = tls
        .connect(EDGE_NAME.try_into().expect("a name"), tcp)
        .await
        .expect("TLS");
    let (say, said) = mpsc::unbounded_channel();
    let control = Arc::new(std::sync::Mutex::new(Some(said)));
    let answer = vector.configuration_answer.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let control = control.clone();
        let answer = answer.clone();
        async move {
            let kind = request
                .headers()
                .get(UPGRADE)
                .map(|kind| kind.as_bytes().to_vec());
            let answered = if kind.as_deref() == Some(b"control-stream") {
                // What the edge answers is not looked at, but must be taken.
                tokio::spawn(request.into_body().collect());
                body(
                    control
                        .lock()
                        .expect("lock")
                        .take()
                        .expect("one control stream"),
                )
            } else {
                let _ = request.into_body().collect().await;
                Full::new(Bytes::from(answer)).boxed_unsync()
            };
            Ok::<_, Infallible>(Response::new(answered))
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let served = tokio::spawn(server.serve_connection(TokioIo::new(tls), service));

    let mut messages = vector
        .from_connector
        .iter()
        .map(|message| site.adapt(&vector, message));
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
    within(
        Duration::from_secs(5),
        "the configuration is confirmed",
        || async {
            let seen = site.standin.edge().connections();
            seen.iter()
                .any(|c| c.confirmed.as_ref().is_some_and(|c| c.error.is_none()))
                .then_some(())
        },
    )
    .await;
    for message in messages {
        say.send(message).expect("the stream is open");
    }
    within(Duration::from_secs(5), "it is unregistered", || async {
        site.connections().is_empty().then_some(())
    })
    .await;
    drop(say);
    let _ = tokio::time::timeout(Duration::from_secs(5), served)
        .await
        .expect("the edge closes the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cloudflared_sends_is_accepted_by_the_stand_in() {
    replay_to_the_standin(stored()).await;
}

/// Answers nothing: no request comes in a replay.
struct Nobody;

impl RequestHandler for Nobody {
    type Body = Full<Bytes>;

    async fn handle(
        &self,
        _: Arrival,
        _: http::Request<RequestBody>,
    ) -> http::Response<Self::Body> {
        http::Response::new(Full::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stand_in_sends_is_accepted_by_our_connector() {
    let vector = stored();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = CertificateAuthority::open_or_create(folder.path()).expect("an authority");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let options = ConnectorOptions {
        edge: EdgeAddresses::Given(vec![listener.local_addr().expect("an address")]),
        roots: EdgeRoots::Only(authority.pem().as_bytes().to_vec()),
        connections: 1,
        ..ConnectorOptions::default()
    };
    let site = Site::start().await;
    let token = ConnectorToken::new(site.tunnel.token());
    let connector =
        Connector::start(&token, options, Arc::new(Nobody)).expect("the connector starts");

    let (tcp, _) = listener.accept().await.expect("the connector dials");
    let tls = TlsAcceptor::from(Arc::new(server_tls(&authority)))
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
    let mut heard = sender
        .send_request(open)
        .await
        .expect("a control stream")
        .into_body();

    let first = heard.frame().await.expect("a call").expect("no error");
    assert!(first.is_data());
    let mut answers = vector.from_edge.iter().map(|message| unhex(message));
    for answer in answers.by_ref().take(2) {
        say.send(answer).expect("the stream is open");
    }
    let mut status = connector.status();
    let registered = status.wait_for(|status| status.registered() == 1);
    tokio::time::timeout(Duration::from_secs(5), registered)
        .await
        .expect("registered")
        .expect("it runs");

    let push = Request::post("https://edge/")
        .header(UPGRADE, "update-configuration")
        .body(Full::new(Bytes::from(vector.configuration.clone())).boxed_unsync())
        .expect("a request");
    let answer = sender
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

    let leaving = tokio::spawn(async move { connector.shutdown().await });
    tokio::spawn(async move { while heard.frame().await.is_some() {} });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for answer in answers {
        say.send(answer).expect("the stream is open");
    }
    tokio::time::timeout(Duration::from_secs(5), leaving)
        .await
        .expect("it leaves in time")
        .expect("no panic");
}

/// Where a genuine cloudflared is, if there is one.
fn cloudflared() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("CLOUDFLARED").map(std::path::PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join("cloudflared"));
    named.or_else(|| found.find(|file| file.is_file()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudflared_that_is_at_hand_says_what_the_stand_in_accepts() {
    let Some(cloudflared) = cloudflared() else {
        println!("NOT RUN: no genuine cloudflared; set CLOUDFLARED to its path");
        return;
    };
    let site = Site::start().await;
    let edge = site.standin.edge().tunnel_addresses()[0];
    let recorder = Recorder::start(&site.authority, edge).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, site.standin.ca_pem()).expect("a file");
    let address = recorder.address.to_string();
    let mut child = tokio::process::Command::new(cloudflared)
        .args([
            "tunnel",
            "--edge",
            &address,
            "--cacert",
            &ca.display().to_string(),
            "--protocol",
            "http2",
        ])
        .args([
            "--no-autoupdate",
            "--no-prechecks",
            "--metrics",
            "127.0.0.1:0",
            "run",
        ])
        .env("TUNNEL_TOKEN", site.tunnel.token())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("cloudflared starts");
    within(
        Duration::from_secs(20),
        "cloudflared confirms the configuration",
        || async {
            let seen = site.standin.edge().connections();
            seen.iter().any(|c| c.confirmed.is_some()).then_some(())
        },
    )
    .await;
    let version = site.connections()[0].client_version.clone();
    let id = child.id().expect("it runs").to_string();
    tokio::process::Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .await
        .expect("kill runs");
    child.wait().await.expect("it ends");

    let vector = vector_of(&site, version, &recorder.recording());
    if std::env::var_os("RECORD_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vector).expect("strings");
        std::fs::write(FILE, text + "\n").expect("the vector is written");
    }
    replay_to_the_standin(vector).await;
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
