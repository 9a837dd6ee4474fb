//! Where QUIC connections of connectors come in.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, Runtime, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::socket::{LossySocket, LostPeers};
use crate::ca::CertificateAuthority;
use crate::edge::{Pings, certificates};

/// How long the connections may take to end with their endpoint.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The connector opens the control stream and no other.
const STREAMS_OF_CONNECTOR: u32 = 4;

/// One UDP listener.
pub(in crate::edge) struct Endpoint {
    endpoint: quinn::Endpoint,
    lost: LostPeers,
    released: CancellationToken,
}

/// A connection that begins.
pub(in crate::edge) struct Incoming {
    pub(super) incoming: quinn::Incoming,
    pub(super) lost: LostPeers,
}

impl Endpoint {
    /// Serves at a socket.
    pub(in crate::edge) fn new(socket: UdpSocket, config: ServerConfig) -> io::Result<Self> {
        let lost = LostPeers::default();
        let released = CancellationToken::new();
        let runtime = Arc::new(TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket)?;
        let socket = LossySocket::new(socket, lost.clone(), released.clone());
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            Some(config),
            Arc::new(socket),
            runtime,
        )?;
        Ok(Self {
            endpoint,
            lost,
            released,
        })
    }

    /// The next connection; none when the endpoint has failed.
    pub(in crate::edge) async fn accept(&self) -> Option<Incoming> {
        let incoming = self.endpoint.accept().await?;
        let lost = self.lost.clone();
        Some(Incoming { incoming, lost })
    }

    /// Ends all connections and gives the port back.
    pub(in crate::edge) async fn shut(self) {
        self.endpoint.close(super::CUT, b"");
        let idle = timeout(CLOSE_WITHIN, self.endpoint.wait_idle()).await;
        drop(self.endpoint);
        let released = timeout(CLOSE_WITHIN, self.released.cancelled()).await;
        if idle.is_err() || released.is_err() {
            tracing::warn!("connections outlast their QUIC endpoint");
        }
    }
}

impl Incoming {
    /// Where it comes from.
    pub(in crate::edge) fn peer(&self) -> SocketAddr {
        self.incoming.remote_address()
    }
}

/// TLS 1.3 with the tunnel's ALPN, and limits of the transport.
pub(in crate::edge) fn server_config(
    authority: &CertificateAuthority,
    pings: Pings,
) -> anyhow::Result<ServerConfig> {
    let tls = certificates::quic_config(authority)?;
    let crypto = QuicServerConfig::try_from(tls).context("TLS of QUIC")?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport(pings)?))
        // A connection is told by where it comes from when it is frozen.
        .migration(false);
    Ok(config)
}

fn transport(pings: Pings) -> anyhow::Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = pings.interval + pings.answer_within;
    transport
        .max_idle_timeout(Some(idle.try_into().context("idle time")?))
        .keep_alive_interval(Some(pings.interval))
        .max_concurrent_bidi_streams(STREAMS_OF_CONNECTOR.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(1 << 20))
        .receive_window(VarInt::MAX)
        .send_window(16 << 20);
    Ok(transport)
}
