//! The same over QUIC: the bytes of every stream in both directions, and who opened it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use standin::ca::CertificateAuthority;

use super::{client_tls, server_tls};

/// The name that edges prove over QUIC.
pub const EDGE_NAME: &str = "quic.cftunnel.com";
const ALPN: &[u8] = b"argotunnel";

/// What was said on one stream.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// The connector opened it.
    pub of_connector: bool,
    /// By the edge.
    pub from_edge: Vec<u8>,
    /// By the connector.
    pub from_connector: Vec<u8>,
}

type Streams = Arc<Mutex<Vec<Stream>>>;

/// A running relay of one connection.
pub struct QuicRecorder {
    /// Where the connector dials.
    pub address: SocketAddr,
    streams: Streams,
}

impl QuicRecorder {
    /// Relays one connection to `edge`, under certificates of this authority.
    pub fn start(authority: &CertificateAuthority, edge: SocketAddr) -> Self {
        let endpoint = listen(authority);
        let address = endpoint.local_addr().expect("a bound socket");
        let dialler = dialler(authority.pem());
        let streams = Streams::default();
        let kept = streams.clone();
        tokio::spawn(async move {
            let incoming = endpoint.accept().await.expect("a connector dials");
            let inner = incoming.await.expect("the connector trusts the relay");
            let outer = dialler.connect(edge, EDGE_NAME).expect("a valid name");
            let outer = outer.await.expect("the relay trusts the edge");
            tokio::join!(
                pass_on(&inner, &outer, true, &kept),
                pass_on(&outer, &inner, false, &kept)
            );
            endpoint.wait_idle().await;
        });
        Self { address, streams }
    }

    /// What was said so far, in the order in which streams were opened.
    pub fn streams(&self) -> Vec<Stream> {
        self.streams.lock().expect("lock").clone()
    }
}

/// Listens on a free port of loopback as an edge does.
pub fn listen(authority: &CertificateAuthority) -> Endpoint {
    let mut tls = server_tls(authority);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).expect("TLS 1.3");
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port")
}

/// Dials as a connector does.
pub fn dialler(ca_pem: &str) -> Endpoint {
    let mut tls = client_tls(ca_pem);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let any = (Ipv4Addr::UNSPECIFIED, 0).into();
    let mut endpoint = Endpoint::client(any).expect("a free port");
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint
}

/// Passes on the streams that one side opens, until it closes; then closes the other side.
async fn pass_on(from: &Connection, to: &Connection, of_connector: bool, streams: &Streams) {
    while let Ok((send_back, recv)) = from.accept_bi().await {
        let Ok((send_on, recv_back)) = to.open_bi().await else {
            return;
        };
        let number = {
            let mut all = streams.lock().expect("lock");
            all.push(Stream {
                of_connector,
                ..Stream::default()
            });
            all.len() - 1
        };
        tokio::spawn(copy(recv, send_on, streams.clone(), number, of_connector));
        let (streams, by_connector) = (streams.clone(), !of_connector);
        tokio::spawn(copy(recv_back, send_back, streams, number, by_connector));
    }
    to.close(0_u32.into(), b"");
}

async fn copy(
    mut from: RecvStream,
    mut to: SendStream,
    streams: Streams,
    number: usize,
    by_connector: bool,
) {
    while let Ok(Some(chunk)) = from.read_chunk(64 << 10, true).await {
        {
            let mut all = streams.lock().expect("lock");
            let stream = &mut all[number];
            let heard = match by_connector {
                true => &mut stream.from_connector,
                false => &mut stream.from_edge,
            };
            heard.extend_from_slice(&chunk.bytes);
        }
        if to.write_chunk(chunk.bytes).await.is_err() {
            return;
        }
    }
    // It fails only for a stream that has ended already.
    let _ = to.finish();
}
