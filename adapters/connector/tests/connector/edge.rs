//! An edge that does what a test asks of it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use capnp::capability::Rc;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::CancellationToken;
use tunnel_schema::tunnelrpc_capnp::registration_server;

use crate::quic_edge::Link;

pub(crate) type TestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The names in the edge's certificate.
const NAMES: [&str; 2] = ["h2.cftunnel.com", "quic.cftunnel.com"];

/// What the next registration is refused with.
#[derive(Clone)]
pub(crate) struct Refuse {
    pub(crate) cause: &'static str,
    pub(crate) retry_after: Duration,
    pub(crate) should_retry: bool,
}

/// The edge.
pub(crate) struct Edge {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) ca_pem: Vec<u8>,
    pub(crate) tls: ServerConfig,
    pub(crate) shared: Arc<Shared>,
}

/// What all listeners of an edge share.
pub(crate) struct Shared {
    connections: Mutex<Vec<Arc<Connection>>>,
    pub(crate) links: Mutex<Vec<Arc<Link>>>,
    refusals: Mutex<VecDeque<Refuse>>,
    refused: Mutex<Vec<(SocketAddr, u8)>>,
    pub(crate) control: mpsc::UnboundedSender<(DuplexStream, Arc<Member>)>,
    /// What the next control streams say instead of an answer.
    nonsense: Mutex<VecDeque<Nonsense>>,
}

/// Bytes instead of an answer on a control stream.
pub(crate) struct Nonsense {
    pub(crate) bytes: Bytes,
    /// Whether the stream ends after them.
    pub(crate) ends: bool,
}

/// What a connector said when it registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) index: u8,
    pub(crate) account: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) connector: Vec<u8>,
    pub(crate) version: String,
    pub(crate) previous_attempts: u8,
}

/// What there is to know of a connection, whatever carries it.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    said: Mutex<Option<Said>>,
    unregistered: AtomicBool,
    gone: AtomicBool,
    shared: std::sync::Weak<Shared>,
}

/// A connection that a connector made over HTTP/2.
pub(crate) struct Connection {
    member: Arc<Member>,
    requests: SendRequest<TestBody>,
    /// Says something on the control stream that nobody asked for.
    interject: mpsc::UnboundedSender<Bytes>,
    interjections: Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>,
    /// Another handle of the same socket.
    socket: std::net::TcpStream,
    /// While set, not a byte is read or written.
    wedged: Arc<AtomicBool>,
}

impl std::ops::Deref for Connection {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

impl Edge {
    /// Listens on as many addresses of the loopback network, over TCP.
    pub(crate) async fn start(addresses: usize) -> Self {
        let mut edge = Self::silent();
        for _ in 0..addresses {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            edge.addresses.push(listener.local_addr().unwrap());
            edge.listen(listener);
        }
        edge
    }

    /// Listens nowhere.
    pub(crate) fn silent() -> Self {
        let (tls, ca_pem) = certificates();
        let shared = Arc::new(Shared {
            connections: Mutex::default(),
            links: Mutex::default(),
            refusals: Mutex::default(),
            refused: Mutex::default(),
            control: answer_calls(),
            nonsense: Mutex::default(),
        });
        Self {
            addresses: Vec::new(),
            ca_pem,
            tls,
            shared,
        }
    }

    /// Accepts connections over TCP.
    pub(crate) fn listen(&self, listener: TcpListener) {
        let acceptor = TlsAcceptor::from(Arc::new(self.tls.clone()));
        tokio::spawn(listen(listener, acceptor, Arc::clone(&self.shared)));
    }

    /// Refuses one more registration.
    pub(crate) fn refuse(&self, refuse: Refuse) {
        self.shared.refusals.lock().unwrap().push_back(refuse);
    }

    /// Answers one more registration with nonsense.
    pub(crate) fn talk_nonsense(&self, nonsense: Nonsense) {
        self.shared.nonsense.lock().unwrap().push_back(nonsense);
    }

    /// Connections that were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    /// Addresses and connection indexes of refused registrations.
    pub(crate) fn refused(&self) -> Vec<(SocketAddr, u8)> {
        self.shared.refused.lock().unwrap().clone()
    }

    /// The connections that are registered and there, by index.
    pub(crate) fn registered(&self) -> Vec<Arc<Connection>> {
        let mut live: Vec<_> = self
            .shared
            .connections
            .lock()
            .unwrap()
            .iter()
            .filter(|c| c.is_registered())
            .cloned()
            .collect();
        live.sort_by_key(|c| c.said().index);
        live
    }
}

impl Member {
    pub(crate) fn new(address: SocketAddr, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            address,
            said: Mutex::default(),
            unregistered: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            shared: Arc::downgrade(shared),
        })
    }

    pub(crate) fn said(&self) -> Said {
        self.said.lock().unwrap().clone().expect("registered")
    }

    pub(crate) fn is_registered(&self) -> bool {
        let said = self.said.lock().unwrap().is_some();
        said && !self.unregistered.load(Ordering::SeqCst) && !self.is_gone()
    }

    pub(crate) fn is_unregistered(&self) -> bool {
        self.unregistered.load(Ordering::SeqCst)
    }

    /// Whether the transport has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

impl Connection {
    /// Cuts the transport.
    pub(crate) fn kill(&self) {
        self.socket.shutdown(std::net::Shutdown::Both).ok();
    }

    /// Says something on the control stream that nobody asked for.
    pub(crate) fn interject(&self, bytes: impl Into<Bytes>) {
        self.interject.send(bytes.into()).ok();
    }

    /// Neither reads nor writes any more, without closing.
    pub(crate) fn wedge(&self) {
        self.wedged.store(true, Ordering::SeqCst);
    }

    /// Sends a request to the connector.
    pub(crate) async fn send(
        &self,
        request: Request<TestBody>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.requests.clone().send_request(request).await
    }
}

/// A certificate authority and an edge that it vouches for. The edge agrees on keys by the post-quantum
/// group or not at all.
fn certificates() -> (ServerConfig, Vec<u8>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(NAMES.map(str::to_owned))
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    };
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (config, ca_certificate.pem().into_bytes())
}

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let address = listener.local_addr().unwrap();
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(accept(address, tcp, acceptor.clone(), Arc::clone(&shared)));
    }
}

async fn accept(address: SocketAddr, tcp: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let tcp = tcp.into_std().unwrap();
    let socket = tcp.try_clone().unwrap();
    let tcp = TcpStream::from_std(tcp).unwrap();
    let wedged = Arc::new(AtomicBool::new(false));
    let tcp = Wedgeable {
        tcp,
        wedged: Arc::clone(&wedged),
    };
    let Ok(tls) = acceptor.accept(tcp).await else {
        return;
    };
    let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake(TokioIo::new(tls));
    let Ok((requests, transport)) = handshake.await else {
        return;
    };
    let (interject, interjections) = mpsc::unbounded_channel();
    let connection = Arc::new(Connection {
        member: Member::new(address, &shared),
        requests,
        interject,
        interjections: Mutex::new(Some(interjections)),
        socket,
        wedged,
    });
    shared
        .connections
        .lock()
        .unwrap()
        .push(Arc::clone(&connection));
    tokio::spawn(open_control(Arc::clone(&connection), shared));
    transport.await.ok();
    connection.set_gone();
}

/// Opens the control stream and joins its two bodies into a byte stream for the RPC thread.
async fn open_control(connection: Arc<Connection>, shared: Arc<Shared>) {
    let (rpc, ours) = tokio::io::duplex(64 << 10);
    let (sent, mut received) = tokio::io::split(ours);
    let answers: BoxStream<'static, std::io::Result<Bytes>> =
        match shared.nonsense.lock().unwrap().pop_front() {
            None => {
                let member = Arc::clone(&connection.member);
                shared.control.send((rpc, member)).ok();
                ReaderStream::new(sent).boxed()
            }
            Some(Nonsense { bytes, ends }) => {
                let said = stream::iter([Ok(bytes)]);
                let after: BoxStream<'static, _> = if ends {
                    stream::empty().boxed()
                } else {
                    stream::pending().boxed()
                };
                said.chain(after).boxed()
            }
        };
    let mut interjected = connection.interjections.lock().unwrap().take();
    let interjected = stream::poll_fn(move |cx| match &mut interjected {
        Some(said) => said.poll_recv(cx).map(|bytes| bytes.map(Ok)),
        None => std::task::Poll::Ready(None),
    });
    // The connection holds the sender, so that the stream's end has to be the answers' end.
    let over = CancellationToken::new();
    let interjected = interjected.take_until(over.clone().cancelled_owned());
    let answers = answers.chain(stream::poll_fn(move |_| {
        over.cancel();
        std::task::Poll::Ready(None)
    }));
    let both = stream::select(answers, interjected);
    let body = StreamBody::new(both.map_ok(Frame::data)).boxed_unsync();
    let request = Request::post("https://edge/")
        .header("cf-cloudflared-proxy-connection-upgrade", "control-stream")
        .body(body)
        .unwrap();
    let Ok(response) = connection.send(request).await else {
        return;
    };
    let frames = BodyDataStream::new(response.into_body()).map_err(std::io::Error::other);
    let mut frames = StreamReader::new(frames);
    tokio::io::copy(&mut frames, &mut received).await.ok();
    tokio::io::AsyncWriteExt::shutdown(&mut received).await.ok();
}

/// The RPC system is bound to one thread.
fn answer_calls() -> mpsc::UnboundedSender<(DuplexStream, Arc<Member>)> {
    let (sender, mut streams) = mpsc::unbounded_channel::<(DuplexStream, Arc<Member>)>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            while let Some((stream, member)) = streams.recv().await {
                tokio::task::spawn_local(async move {
                    let (read, write) = tokio::io::split(stream);
                    let network = twoparty::VatNetwork::new(
                        read.compat(),
                        write.compat_write(),
                        Side::Server,
                        capnp::message::ReaderOptions::new(),
                    );
                    let server: registration_server::Client =
                        capnp_rpc::new_client(Registrar(member));
                    RpcSystem::new(Box::new(network), Some(server.client))
                        .await
                        .ok();
                });
            }
        });
    });
    sender
}

struct Registrar(Arc<Member>);

impl registration_server::Server for Registrar {
    async fn register_connection(
        self: Rc<Self>,
        params: registration_server::RegisterConnectionParams,
        mut results: registration_server::RegisterConnectionResults,
    ) -> Result<(), capnp::Error> {
        let params = params.get()?;
        let auth = params.get_auth()?;
        let options = params.get_options()?;
        let client = options.get_client()?;
        let said = Said {
            index: params.get_conn_index(),
            account: auth.get_account_tag()?.to_string()?,
            secret: auth.get_tunnel_secret()?.to_vec(),
            connector: client.get_client_id()?.to_vec(),
            version: client.get_version()?.to_string()?,
            previous_attempts: options.get_num_previous_attempts(),
        };
        let answer = results.get().init_result().init_result();
        let shared = self.0.shared.upgrade().expect("the edge is there");
        if let Some(refuse) = shared.refusals.lock().unwrap().pop_front() {
            let mut error = answer.init_error();
            error.set_cause(refuse.cause);
            error.set_retry_after(i64::try_from(refuse.retry_after.as_nanos()).unwrap());
            error.set_should_retry(refuse.should_retry);
            let refused = (self.0.address, said.index);
            shared.refused.lock().unwrap().push(refused);
            return Ok(());
        }
        let mut details = answer.init_connection_details();
        details.set_uuid(&[7; 16]);
        details.set_location_name("lab01");
        details.set_tunnel_is_remotely_managed(true);
        *self.0.said.lock().unwrap() = Some(said);
        Ok(())
    }

    async fn unregister_connection(
        self: Rc<Self>,
        _: registration_server::UnregisterConnectionParams,
        _: registration_server::UnregisterConnectionResults,
    ) -> Result<(), capnp::Error> {
        self.0.unregistered.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// A TCP stream that can be made to stand still.
struct Wedgeable {
    tcp: TcpStream,
    wedged: Arc<AtomicBool>,
}

impl AsyncRead for Wedgeable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.wedged.load(Ordering::SeqCst) {
            return std::task::Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wedgeable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.wedged.load(Ordering::SeqCst) {
            return std::task::Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
