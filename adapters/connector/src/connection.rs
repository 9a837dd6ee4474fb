//! One connection to the edge: what it shares with the others, its control stream, and how it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::addresses::AddressBook;
use crate::metrics::Metrics;
use crate::options::{ConnectorOptions, StartError};
use crate::status::{ConnectionState, ConnectorStatus};
use crate::token::Credentials;
use crate::transport::choice::{Chooser, MovePermit};
use crate::transport_kind::TransportKind;
use crate::wire::connect::HeadRoom;
use crate::wire::rpc::{Client, Registered, Registration, RegistrationRefusal, RpcError};

/// What this connector can do, in the edge's words: response headers come serialised, the end of a
/// request's body is marked, and configuration may be pushed.
const FEATURES: &[&str] = &[
    "allow_remote_config",
    "serialized_headers",
    "support_quic_eof",
];

/// What all connections of a connector share.
pub(crate) struct Membership {
    pub(crate) credentials: Credentials,
    pub(crate) connector_id: Uuid,
    /// The same as requests carry it.
    pub(crate) connector_id_header: HeaderValue,
    pub(crate) options: ConnectorOptions,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) edge_name: ServerName<'static>,
    pub(crate) quic_tls: Arc<QuicClientConfig>,
    pub(crate) quic_edge_name: String,
    /// Which transport connections are made over.
    pub(crate) chooser: Chooser,
    pub(crate) addresses: AddressBook,
    pub(crate) status: watch::Sender<ConnectorStatus>,
    pub(crate) configuration: ConfigurationVersion,
    /// Notified when any connection is registered: the edge can be reached.
    pub(crate) edge_reached: Notify,
    /// Leave, and finish what is in flight.
    pub(crate) leave: CancellationToken,
    pub(crate) abort: CancellationToken,
    /// Everything that runs for this connector.
    pub(crate) tasks: TaskTracker,
    /// Room for large heads over QUIC that are not all there.
    pub(crate) heads: HeadRoom,
}

impl Membership {
    /// Checks the options; nothing is connected yet.
    pub(crate) fn new(
        credentials: Credentials,
        options: ConnectorOptions,
    ) -> Result<Self, StartError> {
        let connector_id = Uuid::new_v4();
        let connections = options.connections.max(1);
        let status = ConnectorStatus::new(connector_id, credentials.tunnel, connections);
        Ok(Self {
            connector_id,
            connector_id_header: HeaderValue::try_from(connector_id.to_string())
                .expect("a UUID is hexadecimal digits and hyphens"),
            tls: options.tls()?,
            edge_name: options.edge_name()?,
            quic_tls: Arc::new(options.quic_tls()?),
            quic_edge_name: options.quic_edge_name()?,
            chooser: Chooser::new(options.transport),
            addresses: AddressBook::new(options.edge.clone(), credentials.region.clone()),
            status: watch::Sender::new(status),
            configuration: ConfigurationVersion::default(),
            edge_reached: Notify::new(),
            leave: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
            heads: HeadRoom::default(),
            credentials,
            options,
        })
    }
}

/// The newest remote configuration that the edge pushed. The routes of this connector come from its
/// Gateway, so a pushed configuration is only noted; the answer to the edge names its version.
#[derive(Debug)]
pub(crate) struct ConfigurationVersion(AtomicI32);

impl Default for ConfigurationVersion {
    /// None yet: version 0 is newer.
    fn default() -> Self {
        Self(AtomicI32::new(-1))
    }
}

impl ConfigurationVersion {
    /// Notes a pushed version; returns the newest so far.
    pub(crate) fn pushed(&self, version: i32) -> i32 {
        self.0.fetch_max(version, Ordering::Relaxed).max(version)
    }

    /// The newest version; -1 where none was pushed.
    pub(crate) fn newest(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One attempt at a connection, from the dial to the end.
pub(crate) struct ConnectionAttempt {
    pub(crate) membership: Arc<Membership>,
    pub(crate) index: u8,
    /// Attempts before this one since the connection last served for a while.
    pub(crate) previous: u8,
    pub(crate) edge: SocketAddr,
    pub(crate) over: TransportKind,
    /// Held by a connection that changes its transport, until it is registered again.
    move_permit: Mutex<Option<MovePermit>>,
    registered_at: Mutex<Option<Instant>>,
}

#[derive(Debug)]
pub(crate) enum Ended {
    /// This connector left.
    Left,
    /// This connector closed it, to make it again over another transport.
    Moved(MovePermit),
    /// The edge does not want it.
    Refused(RegistrationRefusal),
    /// It broke, or never came to be.
    Lost(ConnectionError),
}

/// Why a connection broke or never came to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("connecting to {edge} failed: {source}")]
    Dial {
        edge: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("TLS with {edge} failed: {source}")]
    Tls {
        edge: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{0} did not accept the connection in time")]
    DialTimeout(SocketAddr),
    #[error("the edge opened no control stream")]
    NoControlStream,
    #[error("the edge did not answer the registration in time")]
    RegistrationTimeout,
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("the connection broke: {0}")]
    Transport(#[from] hyper::Error),
    #[error("the edge closed the connection")]
    Closed,
    #[error("a UDP socket cannot be opened: {0}")]
    Socket(#[source] io::Error),
    #[error("QUIC with {edge} failed: {source}")]
    QuicStart {
        edge: SocketAddr,
        #[source]
        source: quinn::ConnectError,
    },
    /// The edge did not answer over QUIC, or did not prove who it is.
    #[error("QUIC with {edge} failed: {source}")]
    QuicHandshake {
        edge: SocketAddr,
        #[source]
        source: quinn::ConnectionError,
    },
    /// The QUIC connection broke, or gave no sign of life.
    #[error("the QUIC connection broke: {0}")]
    Quic(#[from] quinn::ConnectionError),
}

impl ConnectionError {
    /// Whether it looks as if nothing got through to the edge. A wrong certificate got through.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Dial { .. } | Self::DialTimeout(_) => true,
            Self::Socket(_) | Self::QuicStart { .. } => true,
            Self::Tls { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::QuicHandshake { source, .. } => *source == quinn::ConnectionError::TimedOut,
            _ => false,
        }
    }
}

impl ConnectionAttempt {
    pub(crate) fn new(
        membership: Arc<Membership>,
        index: u8,
        previous: u8,
        edge: SocketAddr,
        over: TransportKind,
        move_permit: Option<MovePermit>,
    ) -> Self {
        Self {
            membership,
            index,
            previous,
            edge,
            over,
            move_permit: Mutex::new(move_permit),
            registered_at: Mutex::default(),
        }
    }

    /// The permit to change the transport, where the attempt has it and is not registered.
    pub(crate) fn take_permit(&self) -> Option<MovePermit> {
        self.move_permit.lock().take()
    }

    /// How long ago the edge accepted the registration, if it did.
    pub(crate) fn served(&self) -> Option<Duration> {
        let at = self.registered_at.lock();
        at.map(|at| at.elapsed())
    }

    /// Runs the control stream, over whichever transport: registers, waits, and unregisters when the
    /// connector leaves. Returns when the connection is to serve no new requests.
    pub(crate) async fn control<S>(&self, stream: S) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let membership = &*self.membership;
        let mut client = Client::new(stream);
        let registration = self.registration();
        let registering = client.register(&registration);
        let location = match tokio::time::timeout(membership.options.rpc_timeout, registering).await
        {
            Err(_) => return Ended::Lost(ConnectionError::RegistrationTimeout),
            Ok(Err(error)) => return Ended::Lost(error.into()),
            Ok(Ok(Registered::Refused(refusal))) => return Ended::Refused(refusal),
            Ok(Ok(Registered::Accepted { location })) => location,
        };
        let _registered = self.registered(location);
        tokio::select! {
            error = client.ended() => Ended::Lost(error.into()),
            () = membership.leave.cancelled() => {
                self.unregister(&mut client).await;
                Ended::Left
            }
            permit = membership.chooser.time_to_move(self.over) => {
                self.unregister(&mut client).await;
                Ended::Moved(permit)
            }
        }
    }

    async fn unregister<S>(&self, client: &mut Client<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let options = &self.membership.options;
        let limit = options.rpc_timeout.min(options.grace);
        let unregistered = tokio::time::timeout(limit, client.unregister()).await;
        if !matches!(unregistered, Ok(Ok(()))) {
            tracing::warn!(index = self.index, "leaving without having unregistered");
        }
    }

    fn registration(&self) -> Registration<'_> {
        let membership = &*self.membership;
        Registration {
            account: &membership.credentials.account,
            secret: membership.credentials.secret.expose_secret(),
            tunnel: membership.credentials.tunnel.as_bytes(),
            index: self.index,
            connector_id: membership.connector_id.as_bytes(),
            version: &membership.options.client_version,
            arch: ARCH,
            features: FEATURES,
            previous_attempts: self.previous,
        }
    }

    /// Makes the registration known. What is returned counts it until it is dropped.
    fn registered(&self, location: String) -> RegisteredGuard {
        let (edge, transport) = (self.edge, self.over);
        tracing::info!(index = self.index, %edge, %transport, location, "connection registered");
        drop(self.take_permit());
        *self.registered_at.lock() = Some(Instant::now());
        let state = ConnectionState::Registered {
            location,
            edge,
            transport,
        };
        ConnectorStatus::set(&self.membership.status, self.index, state);
        self.membership.edge_reached.notify_waiters();
        let metrics = self.membership.options.metrics.clone();
        metrics.connections(transport).inc();
        RegisteredGuard(metrics, transport)
    }
}

struct RegisteredGuard(Metrics, TransportKind);

impl Drop for RegisteredGuard {
    fn drop(&mut self) {
        self.0.connections(self.1).dec();
    }
}

/// Operating system and processor in the words that the edge knows.
const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "linux_arm64"
} else {
    "linux_amd64"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pushed_version_is_told_whatever_the_order() {
        let configuration = ConfigurationVersion::default();
        for (pushed, told) in [(0, 0), (3, 3), (2, 3), (3, 3), (4, 4)] {
            assert_eq!(configuration.pushed(pushed), told);
        }
    }
}
