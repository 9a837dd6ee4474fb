//! A connector for tests: as little as speaks the protocol.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use futures_util::io::AsyncReadExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::compat::TokioAsyncReadCompatExt;
use tunnel_schema::tunnelrpc_capnp::{connection_response::result, registration_server as rpc};
use uuid::Uuid;

use super::origin::Origin;
use super::quic_connector;
use super::visitor::tls_connector;
use crate::edge::body::{self, Body};
use crate::edge::headers::PROXY_UPGRADE;
use crate::edge::{Edge, Transport};

/// What a connector token holds.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) account: String,
    pub(super) secret: Vec<u8>,
    pub(super) tunnel: Uuid,
}

/// What the edge says to an accepted connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) connection: Uuid,
    pub(super) location: String,
    pub(super) remotely_managed: bool,
}

/// What the edge says to a refused one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) cause: String,
    pub(super) retry_after_nanoseconds: i64,
    pub(super) should_retry: bool,
}

pub(super) enum Call {
    Register {
        credentials: Credentials,
        connector: Uuid,
        index: u8,
        answer: oneshot::Sender<Result<Registered, Refused>>,
    },
    Unregister(oneshot::Sender<()>),
}

/// One connection to the edge.
pub(super) struct FakeConnection {
    pub(super) origin: Arc<Origin>,
    pub(super) state: Arc<State>,
    calls: mpsc::UnboundedSender<Call>,
    /// Says in the end whether the edge closed in an orderly way.
    serving: JoinHandle<bool>,
    quic: Option<quinn::Connection>,
}

/// What the edge has said so far.
#[derive(Default)]
pub(super) struct State {
    pub(super) pushed: Mutex<Vec<Value>>,
    /// Instead of the version pushed, with this error.
    pub(super) rejects: Mutex<Option<i32>>,
}

impl FakeConnection {
    pub(super) async fn dial(edge: &Edge, address: SocketAddr, over: Transport) -> Self {
        let (calls, arriving) = mpsc::unbounded_channel();
        let (origin, state) = (Arc::<Origin>::default(), Arc::<State>::default());
        let (to_origin, to_state) = (origin.clone(), state.clone());
        let (serving, quic) = match over {
            Transport::Http2 => {
                let serving = http2(edge, address, to_origin, to_state, arriving).await;
                (tokio::spawn(serving), None)
            }
            Transport::Quic => {
                let dialled = quic_connector::dial(edge, address).await;
                let connection = dialled.1.clone();
                let serving = quic_connector::serve(dialled, to_origin, to_state, arriving);
                (tokio::spawn(serving), Some(connection))
            }
        };
        Self {
            origin,
            state,
            calls,
            serving,
            quic,
        }
    }

    pub(super) async fn register(
        &self,
        credentials: &Credentials,
        connector: Uuid,
        index: u8,
    ) -> Result<Registered, Refused> {
        let (answer, answered) = oneshot::channel();
        let call = Call::Register {
            credentials: credentials.clone(),
            connector,
            index,
            answer,
        };
        self.calls.send(call).ok().unwrap();
        super::soon("registration", answered).await.unwrap()
    }

    pub(super) async fn unregister(&self) {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call::Unregister(answer)).ok().unwrap();
        super::soon("unregistration", answered).await.unwrap();
    }

    /// Waits until the edge has closed the connection, and says whether it did so in an orderly way.
    pub(super) async fn closed(&mut self) -> bool {
        let served = super::soon("the edge closes", &mut self.serving).await;
        served.unwrap()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.serving.is_finished()
    }

    /// Ends without a word.
    pub(super) fn die(self) {
        self.serving.abort();
        if let Some(quic) = self.quic {
            quic.close(9u32.into(), b"");
        }
    }

    pub(super) fn pushed_versions(&self) -> Vec<i64> {
        let pushed = self.state.pushed.lock().unwrap();
        pushed
            .iter()
            .map(|push| push["version"].as_i64().unwrap())
            .collect()
    }
}

/// Dials over TCP, and serves HTTP/2 on that.
async fn http2(
    edge: &Edge,
    address: SocketAddr,
    origin: Arc<Origin>,
    state: Arc<State>,
    calls: mpsc::UnboundedReceiver<Call>,
) -> impl Future<Output = bool> + use<> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("h2.cftunnel.com").unwrap();
    let tls = tls_connector(edge, &[]).connect(name, tcp).await.unwrap();
    let control = Arc::new(Mutex::new(Some(calls)));
    let service = service_fn(move |request: Request<Incoming>| {
        let (origin, state, control) = (origin.clone(), state.clone(), control.clone());
        let request = request.map(body::incoming);
        async move { Ok::<_, hyper::Error>(dispatch(request, &origin, &state, &control).await) }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(2_000)
        .serve_connection(TokioIo::new(tls), service);
    async move { served.await.is_ok() }
}

type Control = Mutex<Option<mpsc::UnboundedReceiver<Call>>>;

async fn dispatch(
    request: Request<Body>,
    origin: &Origin,
    state: &State,
    control: &Control,
) -> Response<Body> {
    let kind = request.headers().get(PROXY_UPGRADE).cloned();
    match kind.as_ref().map(|value| value.to_str().unwrap()) {
        Some("control-stream") => {
            let calls = control.lock().unwrap().take().expect("one control stream");
            control_stream(request.into_body(), calls)
        }
        Some("update-configuration") => configuration(request.into_body(), state).await,
        _ => origin.answer(request).await,
    }
}

async fn configuration(body: Body, state: &State) -> Response<Body> {
    let bytes = body.collect().await.unwrap().to_bytes();
    let push: Value = serde_json::from_slice(&bytes).unwrap();
    let rejects = *state.rejects.lock().unwrap();
    let answer = match rejects {
        None => json!({"lastAppliedVersion": push["version"], "err": null}),
        Some(version) => json!({"lastAppliedVersion": version, "err": {}}),
    };
    state.pushed.lock().unwrap().push(push);
    Response::new(body::full(answer.to_string()))
}

fn control_stream(from_edge: Body, calls: mpsc::UnboundedReceiver<Call>) -> Response<Body> {
    let (reader, mut writer) = tokio::io::split(calls_on(calls));
    tokio::spawn(async move { drop(body::write_to(from_edge, &mut writer).await) });
    Response::new(body::from_reader(reader))
}

/// The bytes of a control stream on which these calls are made.
pub(super) fn calls_on(calls: mpsc::UnboundedReceiver<Call>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, make_calls(theirs, calls));
    });
    ours
}

async fn make_calls(io: DuplexStream, mut calls: mpsc::UnboundedReceiver<Call>) {
    let (reader, writer) = io.compat().split();
    let options = capnp::message::ReaderOptions::default();
    let network = twoparty::VatNetwork::new(reader, writer, Side::Client, options);
    let mut system = RpcSystem::new(Box::new(network), None);
    let server: rpc::Client = system.bootstrap(Side::Server);
    tokio::task::spawn_local(system);
    while let Some(call) = calls.recv().await {
        match call {
            Call::Register {
                credentials,
                connector,
                index,
                answer,
            } => {
                let outcome = register(&server, &credentials, connector, index).await;
                answer.send(outcome.unwrap()).unwrap();
            }
            Call::Unregister(answer) => {
                let request = server.unregister_connection_request();
                request.send().promise.await.unwrap();
                answer.send(()).unwrap();
            }
        }
    }
}

async fn register(
    server: &rpc::Client,
    credentials: &Credentials,
    connector: Uuid,
    index: u8,
) -> capnp::Result<Result<Registered, Refused>> {
    let mut request = server.register_connection_request();
    let mut params = request.get();
    params.set_tunnel_id(credentials.tunnel.as_bytes());
    params.set_conn_index(index);
    let mut auth = params.reborrow().init_auth();
    auth.set_account_tag(credentials.account.as_str());
    auth.set_tunnel_secret(&credentials.secret);
    let mut client = params.init_options().init_client();
    client.set_client_id(connector.as_bytes());
    client.set_version("test/1");
    client.set_arch("linux_amd64");
    client
        .reborrow()
        .init_features(1)
        .set(0, "serialized_headers");
    let response = request.send().promise.await?;
    Ok(match response.get()?.get_result()?.get_result().which()? {
        result::ConnectionDetails(details) => {
            let details = details?;
            Ok(Registered {
                connection: Uuid::from_slice(details.get_uuid()?).unwrap(),
                location: details.get_location_name()?.to_string()?,
                remotely_managed: details.get_tunnel_is_remotely_managed(),
            })
        }
        result::Error(error) => {
            let error = error?;
            Err(Refused {
                cause: error.get_cause()?.to_string()?,
                retry_after_nanoseconds: error.get_retry_after(),
                should_retry: error.get_should_retry(),
            })
        }
    })
}
