//! The QUIC side of the edge, behind relays that can lose what is sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BytesMut};
use capnp::message::ReaderOptions;
use capnp::text;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{RecvStream, SendStream};
use tokio::net::{TcpSocket, UdpSocket};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};
use tunnel_schema::quic_metadata_protocol_capnp::{
    ConnectionType, connect_request, connect_response,
};
use tunnel_schema::tunnelrpc_capnp::configuration_manager;

use crate::edge::{Edge, Member, Shared};

const DATA: &[u8] = b"\x0A\x36\xCD\x12\xA1\x3E01";
const CALLS: &[u8] = b"\x52\xBB\x82\x5C\xDB\x65";

/// A connection that a connector made over QUIC.
pub(crate) struct Link {
    member: Arc<Member>,
    connection: quinn::Connection,
    /// While set, nothing that is sent either way arrives.
    lossy: Arc<AtomicBool>,
}

impl std::ops::Deref for Link {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

/// What came back for a request.
pub(crate) struct Answered {
    pub(crate) error: String,
    pub(crate) status: String,
    pub(crate) headers: Vec<(String, String)>,
    rest: BytesMut,
    recv: RecvStream,
}

type Flows = Arc<Mutex<HashMap<SocketAddr, Arc<AtomicBool>>>>;

impl Edge {
    /// Listens on as many addresses of the loopback network, over UDP. The same ports of TCP are taken,
    /// and refuse connections until they are told to listen.
    pub(crate) async fn over_quic(addresses: usize) -> (Self, Vec<TcpSocket>) {
        let mut edge = Self::silent();
        let mut refusing = Vec::new();
        while edge.addresses.len() < addresses {
            let tcp = TcpSocket::new_v4().unwrap();
            tcp.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let address = tcp.local_addr().unwrap();
            let Ok(udp) = UdpSocket::bind(address).await else {
                continue;
            };
            let flows = Flows::default();
            let inner = edge.listen_over_quic(address, Arc::clone(&flows));
            tokio::spawn(relay(udp, inner, flows));
            edge.addresses.push(address);
            refusing.push(tcp);
        }
        (edge, refusing)
    }

    /// Accepts connections over QUIC that a relay at `address` passes on.
    fn listen_over_quic(&self, address: SocketAddr, flows: Flows) -> SocketAddr {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![b"argotunnel".to_vec()];
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let mut settings = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let mut transport = quinn::TransportConfig::default();
        let silence = std::time::Duration::from_secs(30);
        transport.max_idle_timeout(Some(silence.try_into().unwrap()));
        settings.transport_config(Arc::new(transport));
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let endpoint = quinn::Endpoint::server(settings, any).unwrap();
        let inner = endpoint.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let from = incoming.remote_address();
                let lossy = flows.lock().unwrap().get(&from).cloned();
                tokio::spawn(accept(
                    incoming,
                    address,
                    lossy.unwrap(),
                    Arc::clone(&shared),
                ));
            }
        });
        inner
    }

    /// The QUIC connections that are registered and there, by index.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let links = self.shared.links.lock().unwrap();
        let mut live: Vec<_> = links
            .iter()
            .filter(|l| l.is_registered())
            .cloned()
            .collect();
        live.sort_by_key(|link| link.said().index);
        live
    }
}

async fn accept(
    incoming: quinn::Incoming,
    address: SocketAddr,
    lossy: Arc<AtomicBool>,
    shared: Arc<Shared>,
) {
    let Ok(connection) = incoming.await else {
        return;
    };
    let link = Arc::new(Link {
        member: Member::new(address, &shared),
        connection: connection.clone(),
        lossy,
    });
    shared.links.lock().unwrap().push(Arc::clone(&link));
    let member = Arc::clone(&link.member);
    tokio::spawn(async move {
        let Ok((send, recv)) = connection.accept_bi().await else {
            return;
        };
        let (rpc, mut ours) = tokio::io::duplex(64 << 10);
        shared.control.send((rpc, member)).ok();
        let mut stream = tokio::io::join(recv, send);
        tokio::io::copy_bidirectional(&mut stream, &mut ours)
            .await
            .ok();
    });
    link.connection.closed().await;
    link.set_gone();
}

/// Passes datagrams on between the connectors and the edge behind it, each connector from a socket of
/// its own.
async fn relay(outer: UdpSocket, edge: SocketAddr, flows: Flows) {
    let outer = Arc::new(outer);
    let mut sockets: HashMap<SocketAddr, (Arc<UdpSocket>, Arc<AtomicBool>)> = HashMap::new();
    let mut buffer = vec![0; 65536];
    while let Ok((length, from)) = outer.recv_from(&mut buffer).await {
        let (inner, lossy) = match sockets.entry(from) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let inner = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                inner.connect(edge).await.unwrap();
                let lossy = Arc::new(AtomicBool::new(false));
                let seen = inner.local_addr().unwrap();
                flows.lock().unwrap().insert(seen, Arc::clone(&lossy));
                let (back, outer) = (Arc::clone(&inner), Arc::clone(&outer));
                tokio::spawn(pass_back(back, outer, from, Arc::clone(&lossy)));
                entry.insert((inner, lossy))
            }
        };
        if !lossy.load(Ordering::SeqCst) {
            inner.send(&buffer[..length]).await.ok();
        }
    }
}

async fn pass_back(
    inner: Arc<UdpSocket>,
    outer: Arc<UdpSocket>,
    to: SocketAddr,
    lossy: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(length) = inner.recv(&mut buffer).await {
        if !lossy.load(Ordering::SeqCst) {
            outer.send_to(&buffer[..length], to).await.ok();
        }
    }
}

impl Link {
    /// Closes the connection.
    pub(crate) fn kill(&self) {
        self.connection.close(1_u32.into(), b"killed");
        self.set_gone();
    }

    /// Loses everything from now on, without a word.
    pub(crate) fn lose(&self) {
        self.lossy.store(true, Ordering::SeqCst);
    }

    /// Sends bytes as the beginning of a stream.
    pub(crate) async fn open(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    }

    /// Sends the head of a request.
    pub(crate) async fn request(
        &self,
        kind: ConnectionType,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (SendStream, RecvStream) {
        self.open(&head(kind, method, path, headers)).await
    }

    /// Sends the head of a request with these entries and no others.
    pub(crate) async fn forged(&self, entries: &[(&str, &str)]) -> (SendStream, RecvStream) {
        let entries = entries
            .iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self.forged_bytes(b"/", &entries.collect::<Vec<_>>()).await
    }

    /// The same with a path and entries of any bytes.
    pub(crate) async fn forged_bytes(
        &self,
        path: &[u8],
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> (SendStream, RecvStream) {
        self.open(&head_of(ConnectionType::Http, path, entries))
            .await
    }

    /// The head of a request that has nothing wrong with it.
    pub(crate) fn good_head(&self) -> Vec<u8> {
        let headers = [("X-A", "1"), ("User-Agent", "a test of the connector")];
        head(ConnectionType::Http, "GET", "/a?b=c", &headers)
    }

    /// Whether a stream that consists of these bytes is answered with 201; in any case it ends.
    pub(crate) async fn is_served(&self, bytes: &[u8]) -> bool {
        let (mut send, mut recv) = self.open(bytes).await;
        send.finish().unwrap();
        let ends = recv.read_to_end(10_000);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ends).await;
        let answer = ended.expect("the stream ends").unwrap_or_default();
        answer.windows(3).any(|status| status == b"201")
    }

    /// Opens a stream, sends nothing or a little, and gives it up.
    pub(crate) async fn open_and_reset(&self, bytes: &[u8]) {
        let (mut send, mut recv) = self.open(bytes).await;
        send.reset(0_u32.into()).ok();
        recv.stop(0_u32.into()).ok();
    }

    /// Sends a request with a body that has a length, and waits for the answer's head.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answered {
        let length = body.len().to_string();
        let headers = [
            ("Content-Length", length.as_str()),
            ("X-Forwarded-Proto", "http"),
            ("Cf-Connecting-Ip", "192.0.2.7"),
        ];
        let kind = ConnectionType::Http;
        let (mut send, recv) = self.request(kind, method, path, &headers).await;
        send.write_all(body.as_bytes()).await.unwrap();
        send.finish().unwrap();
        Answered::read(recv).await
    }

    /// Pushes a configuration; tells the version that is answered, and the error.
    pub(crate) async fn push(&self, version: i32, json: &'static str) -> (i32, String) {
        let (send, recv) = self.open(CALLS).await;
        // The RPC system is bound to one thread.
        let calling = move || async move {
            let network = twoparty::VatNetwork::new(
                recv.compat(),
                send.compat_write(),
                Side::Client,
                ReaderOptions::new(),
            );
            let mut rpc = RpcSystem::new(Box::new(network), None);
            let client: configuration_manager::Client = rpc.bootstrap(Side::Server);
            tokio::task::spawn_local(rpc);
            let mut call = client.update_configuration_request();
            call.get().set_version(version);
            call.get().set_config(json.as_bytes());
            let answer = call.send().promise.await.unwrap();
            let result = answer.get().unwrap().get_result().unwrap();
            let error = result.get_err().unwrap().to_string().unwrap();
            (result.get_latest_applied_version(), error)
        };
        alone(calling).await
    }
}

/// The head of a request to a known host as it goes over the stream.
fn head(kind: ConnectionType, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut entries = vec![
        (b"HttpMethod".to_vec(), method.into()),
        (b"HttpHost".to_vec(), b"app.example.com".to_vec()),
    ];
    for (name, value) in headers {
        entries.push((format!("HttpHeader:{name}").into(), (*value).into()));
    }
    head_of(kind, path.as_bytes(), &entries)
}

fn head_of(kind: ConnectionType, path: &[u8], entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    let mut root = message.init_root::<connect_request::Builder<'_>>();
    let destination = [b"https://app.example.com", path].concat();
    root.set_dest(text::Reader(&destination));
    root.set_type(kind);
    let mut list = root.init_metadata(u32::try_from(entries.len()).unwrap());
    for (at, (key, value)) in (0..).zip(entries) {
        let mut entry = list.reborrow().get(at);
        entry.set_key(text::Reader(key));
        entry.set_val(text::Reader(value));
    }
    let message = capnp::serialize::write_message_to_words(&message);
    [DATA, &message].concat()
}

/// Runs a future that cannot leave its thread.
async fn alone<F, T>(future: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let running = tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future())
    });
    running.await.unwrap()
}

impl Answered {
    /// Reads the head of an answer.
    pub(crate) async fn read(mut recv: RecvStream) -> Self {
        let mut rest = BytesMut::new();
        loop {
            let chunk = recv.read_chunk(1 << 16, true).await.unwrap();
            rest.extend_from_slice(&chunk.expect("an answer").bytes);
            let Some(mut message) = rest.get(DATA.len()..) else {
                continue;
            };
            let all = message.len();
            let options = ReaderOptions::new();
            let Ok(read) = capnp::serialize::read_message_from_flat_slice(&mut message, options)
            else {
                continue;
            };
            assert_eq!(&rest[..DATA.len()], DATA);
            let root = read.get_root::<connect_response::Reader<'_>>().unwrap();
            let mut status = String::new();
            let mut headers = Vec::new();
            for entry in root.get_metadata().unwrap() {
                let key = entry.get_key().unwrap().to_string().unwrap();
                let value = entry.get_val().unwrap().to_string().unwrap();
                match key.strip_prefix("HttpHeader:") {
                    Some(name) => headers.push((name.to_owned(), value)),
                    None => status = value,
                }
            }
            let error = root.get_error().unwrap().to_string().unwrap();
            let used = DATA.len() + all - message.len();
            rest.advance(used);
            return Self {
                error,
                status,
                headers,
                rest,
                recv,
            };
        }
    }

    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The next bytes of the body; `None` at its end, an error when it was reset.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, quinn::ReadError> {
        if !self.rest.is_empty() {
            return Ok(Some(self.rest.split().to_vec()));
        }
        let chunk = self.recv.read_chunk(1 << 16, true).await?;
        Ok(chunk.map(|chunk| chunk.bytes.to_vec()))
    }

    /// The whole body.
    pub(crate) async fn body(mut self) -> Result<String, quinn::ReadError> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next().await? {
            body.extend(bytes);
        }
        Ok(String::from_utf8(body).unwrap())
    }
}
