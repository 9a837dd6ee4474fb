//! A relay between a connector and the stand-in's edge that listens in on HTTP/2: it keeps the bytes of each
//! stream's body in both directions. What a genuine cloudflared says becomes a test vector this way.

pub mod http2;
pub mod quic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use standin::ca::CertificateAuthority;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name that edges prove.
pub const EDGE_NAME: &str = "h2.cftunnel.com";

/// Body bytes by stream.
pub type Streams = BTreeMap<u32, Vec<u8>>;

/// What was said on one connection.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// By the edge.
    pub from_edge: Streams,
    /// By the connector.
    pub from_connector: Streams,
}

/// A running relay.
pub struct Recorder {
    /// Where the connector dials.
    pub address: SocketAddr,
    recording: Arc<Mutex<Recording>>,
}

impl Recorder {
    /// Relays one connection to `edge`, under certificates of this authority.
    pub async fn start(authority: &CertificateAuthority, edge: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let acceptor = TlsAcceptor::from(Arc::new(server_tls(authority)));
        let connector = TlsConnector::from(Arc::new(client_tls(authority.pem())));
        let recording = Arc::<Mutex<Recording>>::default();
        let kept = recording.clone();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connector dials");
            let inner = acceptor
                .accept(stream)
                .await
                .expect("the connector trusts the relay");
            let stream = TcpStream::connect(edge).await.expect("the edge listens");
            let name = ServerName::try_from(EDGE_NAME).expect("a constant");
            let outer = connector
                .connect(name, stream)
                .await
                .expect("the relay trusts the edge");
            let (from_connector, to_connector) = tokio::io::split(inner);
            let (from_edge, to_edge) = tokio::io::split(outer);
            let heard = kept.clone();
            tokio::spawn(relay(
                from_connector,
                to_edge,
                Frames::default(),
                move |stream, bytes| {
                    heard
                        .lock()
                        .expect("lock")
                        .from_connector
                        .entry(stream)
                        .or_default()
                        .extend(bytes);
                },
            ));
            relay(
                from_edge,
                to_connector,
                Frames::after_preface(),
                move |stream, bytes| {
                    kept.lock()
                        .expect("lock")
                        .from_edge
                        .entry(stream)
                        .or_default()
                        .extend(bytes);
                },
            )
            .await;
        });
        Self { address, recording }
    }

    /// What was said so far.
    pub fn recording(&self) -> Recording {
        self.recording.lock().expect("lock").clone()
    }
}

/// TLS as the edge speaks it.
pub fn server_tls(authority: &CertificateAuthority) -> rustls::ServerConfig {
    let names = [EDGE_NAME, quic::EDGE_NAME];
    let certificate = authority.issue(&names).expect("the authority signs");
    let resolver = rustls::sign::SingleCertAndKey::from(certificate);
    rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("the provider speaks TLS 1.2 and 1.3")
    .with_no_client_auth()
    .with_cert_resolver(Arc::new(resolver))
}

/// TLS as connectors speak it.
pub fn client_tls(ca_pem: &str) -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("the provider speaks TLS 1.2 and 1.3")
    .with_root_certificates(crate::client::roots(ca_pem).expect("the authority is PEM"))
    .with_no_client_auth()
}

async fn relay<R, W>(
    mut from: R,
    mut to: W,
    mut frames: Frames,
    mut heard: impl FnMut(u32, Vec<u8>),
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        frames.push(&buffer[..size], &mut heard);
        if to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Finds DATA frames in one direction of an HTTP/2 connection (RFC 9113, section 4.1).
#[derive(Default)]
struct Frames {
    pending: Vec<u8>,
    /// Bytes of the connection preface still to come.
    preface: usize,
}

impl Frames {
    fn after_preface() -> Self {
        Self {
            pending: Vec::new(),
            preface: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len(),
        }
    }

    fn push(&mut self, bytes: &[u8], heard: &mut impl FnMut(u32, Vec<u8>)) {
        const HEAD: usize = 9;
        const DATA: u8 = 0;
        self.pending.extend_from_slice(bytes);
        let preface = self.preface.min(self.pending.len());
        self.pending.drain(..preface);
        self.preface -= preface;
        while self.pending.len() >= HEAD {
            let length =
                u32::from_be_bytes([0, self.pending[0], self.pending[1], self.pending[2]]) as usize;
            if self.pending.len() < HEAD + length {
                return;
            }
            let frame: Vec<u8> = self.pending.drain(..HEAD + length).collect();
            let stream = u32::from_be_bytes([frame[5] & 0x7f, frame[6], frame[7], frame[8]]);
            if frame[3] == DATA && length > 0 {
                heard(stream, frame[HEAD..].to_vec());
            }
        }
    }
}
