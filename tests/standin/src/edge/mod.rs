//! The edge: where connectors register their tunnel connections, and where visitors' requests come
//! in and are sent down those connections.
//!
//! ```text
//! visitor ──▶ public ──▶ forward ──▶ registry ──▶ line ══ HTTP/2 or QUIC ══▶ connector
//!                                                  ▲
//! connector ──▶ listener ──▶ session ──▶ control (Cap'n Proto RPC): register, configuration, leave
//! ```

mod body;
mod certificates;
mod configuration;
mod control;
mod errors;
mod forward;
mod headers;
mod line;
mod listener;
mod public;
mod registry;
mod session;
#[cfg(test)]
mod tests;
mod websocket;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::control::Rpc;
pub use self::line::Transport;
use self::public::{Listeners, Public, PublicAddresses};
pub use self::registry::{Confirmation, Phase};
use self::registry::{Connection, Registry};
use crate::ca::CertificateAuthority;
use crate::cloud::{Cloud, RegistrationRefusal};

/// Where visitors come in.
#[derive(Debug, Clone, Copy)]
pub struct PublicOptions {
    /// Shared address for cleartext; stands for port 80. Port 0 takes any.
    pub http: SocketAddr,
    /// Shared address for TLS; stands for port 443. Port 0 takes any.
    pub https: SocketAddr,
    /// A request to a tunnel's own address goes to that tunnel whatever its host, under a certificate
    /// for any name, and in cleartext may be HTTP/2 with prior knowledge. Cloudflare has no such
    /// thing; conformance suites that dial addresses need it.
    pub direct_addresses: bool,
    /// A tunnel's own addresses are open at port 8090 too, and of a request that comes to one the connector is told the port,
    /// in `Cf-Arrival-Port`, the server name of its TLS handshake, in `Cf-Arrival-Server-Name`, and the certificate that the
    /// visitor showed. Where the answer has `Cf-Arrival-Refused`, the visitor's connection is closed instead. Cloudflare has
    /// no such thing; conformance suites that ask for features of listeners need it.
    pub tells_arrival: bool,
    /// Where every tunnel's own addresses listen.
    pub tunnel_ports: TunnelPorts,
}

/// Ports of the tunnels' own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TunnelPorts {
    /// The two ports of the shared address.
    #[default]
    AsShared,
    /// All ports on which Cloudflare takes HTTP and HTTPS, 80 and 443 among them. Never ports that a
    /// Gateway asks for: the real edge does not know Gateways.
    AsCloudflare,
}

/// How the edge notices that a connection is dead: by pings, whatever the transport.
#[derive(Debug, Clone, Copy)]
pub struct Pings {
    /// Between pings.
    pub interval: Duration,
    /// Until a ping without answer ends the connection.
    pub answer_within: Duration,
}

/// What an edge is started with.
#[derive(Debug)]
pub struct EdgeOptions {
    /// Where connectors dial; even places are the first region, odd ones the second. Addresses with
    /// port 0 all get one port.
    pub tunnel_addresses: Vec<SocketAddr>,
    /// Where visitors come in.
    pub public: PublicOptions,
    /// Signs all certificates.
    pub authority: CertificateAuthority,
    /// The data centre's name, like `sim01`.
    pub location: String,
    /// How dead connections are noticed.
    pub pings: Pings,
    /// How long an origin may take to begin its answer; then the visitor gets 524.
    pub answer_within: Duration,
}

impl EdgeOptions {
    /// Four edge addresses in 127.0.1.0/24, visitors at 127.0.0.1, any free ports, and Cloudflare's
    /// 100 seconds for an answer.
    pub fn new(authority: CertificateAuthority) -> Self {
        let any_port = |address: [u8; 4]| SocketAddr::from((address, 0));
        Self {
            tunnel_addresses: (1..=4).map(|host| any_port([127, 0, 1, host])).collect(),
            public: PublicOptions {
                http: any_port([127, 0, 0, 1]),
                https: any_port([127, 0, 0, 1]),
                direct_addresses: false,
                tells_arrival: false,
                tunnel_ports: TunnelPorts::AsShared,
            },
            authority,
            location: "sim01".to_owned(),
            pings: Pings {
                interval: Duration::from_secs(5),
                answer_within: Duration::from_secs(5),
            },
            answer_within: Duration::from_secs(100),
        }
    }
}

/// A tunnel connection, as it is now.
#[derive(Debug, Clone)]
pub struct ConnectionView {
    /// Made by the edge at registration.
    pub id: Uuid,
    /// The tunnel it serves.
    pub tunnel: Uuid,
    /// What carries it.
    pub transport: Transport,
    /// The connector process.
    pub connector: Uuid,
    /// Its number within the connector.
    pub index: u8,
    /// What the connector dialled.
    pub edge_address: SocketAddr,
    /// Where it dialled from.
    pub peer: SocketAddr,
    /// What the connector said that it is.
    pub client_version: String,
    /// How far it is.
    pub phase: Phase,
    /// Requests whose answer has not ended.
    pub in_flight: usize,
    /// The connector's last answer to a configuration.
    pub confirmed: Option<Confirmation>,
}

impl ConnectionView {
    fn of(connection: &Connection) -> Self {
        let record = &connection.record;
        Self {
            id: record.connection,
            tunnel: record.tunnel,
            transport: connection.line.transport(),
            connector: record.connector,
            index: record.index,
            edge_address: connection.edge_address,
            peer: connection.peer,
            client_version: record.client_version.clone(),
            phase: connection.phase(),
            in_flight: connection.in_flight(),
            confirmed: connection.confirmed(),
        }
    }
}

/// What all parts of a running edge work on.
struct Shared {
    cloud: Arc<Cloud>,
    registry: Registry,
    refusals: Refusals,
    rpc: mpsc::UnboundedSender<Rpc>,
    /// Where a session's tasks run, though its RPC runs elsewhere.
    runtime: Handle,
    authority: Arc<CertificateAuthority>,
    tunnel_tls: TlsAcceptor,
    quic: quinn::ServerConfig,
    location: String,
    pings: Pings,
    answer_within: Duration,
}

/// Refusals that a test has ordered.
#[derive(Default)]
struct Refusals(Mutex<Option<(RegistrationRefusal, Option<u32>)>>);

impl Refusals {
    fn order(&self, order: Option<(RegistrationRefusal, Option<u32>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = order;
    }

    /// The refusal for the registration that is asked for now.
    fn next(&self) -> Option<RegistrationRefusal> {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match order.as_mut()? {
            (_, Some(0)) => None,
            (refusal, times) => {
                *times = times.map(|times| times - 1);
                Some(refusal.clone())
            }
        }
    }
}

/// A running edge. It ends when it is dropped.
pub struct Edge {
    shared: Arc<Shared>,
    tunnel_addresses: Vec<SocketAddr>,
    public_addresses: PublicAddresses,
    public: PublicOptions,
    presence: Mutex<Presence>,
}

/// From coming up to going away.
struct Presence {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Edge {
    /// Listens at all addresses and serves. Fails if an address cannot be had.
    pub async fn start(cloud: Arc<Cloud>, options: EdgeOptions) -> anyhow::Result<Self> {
        let tunnels = listener::bind(&options.tunnel_addresses).await;
        let tunnels = tunnels.context("tunnel listeners")?;
        let public = Listeners::bind(PublicAddresses {
            http: options.public.http,
            https: options.public.https,
        });
        let public = public.await.context("public listeners")?;
        let shared = Arc::new(Shared {
            cloud,
            registry: Registry::default(),
            refusals: Refusals::default(),
            rpc: control::start().context("RPC thread")?,
            runtime: Handle::current(),
            quic: line::server_config(&options.authority, options.pings)?,
            tunnel_tls: certificates::tunnel_acceptor(&options.authority)?,
            authority: Arc::new(options.authority),
            location: options.location,
            pings: options.pings,
            answer_within: options.answer_within,
        });
        let locals = tunnels.iter().map(listener::Door::address);
        let edge = Self {
            tunnel_addresses: locals.collect::<Result<_, _>>()?,
            public_addresses: public.addresses()?,
            public: options.public,
            presence: Mutex::new(Presence {
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
            shared,
        };
        edge.open(tunnels, public)?;
        Ok(edge)
    }

    fn open(&self, tunnels: Vec<listener::Door>, public: Listeners) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        for door in tunnels {
            listener::open(door, &self.shared, &tasks, &stop)?;
        }
        tasks.spawn(close_on_request(self.shared.clone(), stop.clone()));
        Public::new(self.shared.clone(), self.public, tasks.clone()).open(public, &stop)?;
        *self.presence() = Presence { stop, tasks };
        Ok(())
    }

    /// The authority's certificate, which connectors and visitors must trust.
    pub fn ca_pem(&self) -> String {
        self.shared.authority.pem().to_owned()
    }

    /// Where connectors dial.
    pub fn tunnel_addresses(&self) -> Vec<SocketAddr> {
        self.tunnel_addresses.clone()
    }

    /// The addresses of the two regions.
    pub fn regions(&self) -> [Vec<SocketAddr>; 2] {
        let region = |first| self.tunnel_addresses.iter().skip(first).step_by(2);
        [region(0).copied().collect(), region(1).copied().collect()]
    }

    /// The shared address for cleartext requests.
    pub fn public_http(&self) -> SocketAddr {
        self.public_addresses.http
    }

    /// The shared address for requests over TLS.
    pub fn public_https(&self) -> SocketAddr {
        self.public_addresses.https
    }

    /// A tunnel's own address, cleartext and TLS, where it has the ports of the shared address; none for a
    /// tunnel that is not there.
    pub fn public_of(&self, tunnel: Uuid) -> Option<(SocketAddr, SocketAddr)> {
        let address = self.shared.cloud.addresses_of(tunnel).first().copied()?;
        let at = |port| SocketAddr::new(address, port);
        Some((
            at(self.public_addresses.http.port()),
            at(self.public_addresses.https.port()),
        ))
    }

    /// All registered connections, by tunnel, connector and index.
    pub fn connections(&self) -> Vec<ConnectionView> {
        let all = self.shared.registry.all();
        let mut views: Vec<_> = all.iter().map(|c| ConnectionView::of(c)).collect();
        views.sort_by_key(|view| (view.tunnel, view.connector, view.index));
        views
    }

    /// Cuts a connection: its connector sees a TCP reset, or the end of a QUIC connection without a word. False if there is no such connection.
    pub fn kill(&self, connection: Uuid) -> bool {
        self.with(connection, |found| {
            found.line.cut();
            found.end();
        })
    }

    /// Freezes a connection: it stays open, but the edge reads nothing from it, writes nothing to it
    /// and sends no new request there. Of a QUIC connection, all packets are lost. False if there is no such connection.
    pub fn wedge(&self, connection: Uuid) -> bool {
        self.with(connection, |found| {
            found.enter(Phase::Wedged);
            found.line.freeze();
        })
    }

    fn with(&self, connection: Uuid, act: impl FnOnce(&Connection)) -> bool {
        let all = self.shared.registry.all();
        let found = all.iter().find(|c| c.id() == connection);
        found.map(|c| act(c)).is_some()
    }

    /// Refuses the next registrations, for ever or so many times.
    pub fn refuse_registrations(&self, refusal: RegistrationRefusal, times: Option<u32>) {
        self.shared.refusals.order(Some((refusal, times)));
    }

    /// Takes [`Self::refuse_registrations`] back.
    pub fn accept_registrations(&self) {
        self.shared.refusals.order(None);
    }

    /// Goes away: nothing listens any more, every connection is cut. Returns when that is done.
    pub async fn leave(&self) {
        let tasks = {
            let presence = self.presence();
            presence.stop.cancel();
            presence.tasks.close();
            presence.tasks.clone()
        };
        tasks.wait().await;
    }

    /// Comes back at the same addresses. Fails if somebody else has taken one.
    pub async fn come_back(&self) -> anyhow::Result<()> {
        self.leave().await;
        let tunnels = listener::bind(&self.tunnel_addresses).await;
        let public = Listeners::bind(self.public_addresses).await;
        self.open(
            tunnels.context("tunnel listeners")?,
            public.context("public listeners")?,
        )
    }

    fn presence(&self) -> std::sync::MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts the connections of tunnels that were deleted or whose connections the API was told to clean
/// up.
async fn close_on_request(shared: Arc<Shared>, stop: CancellationToken) {
    let mut requests = shared.cloud.disconnect_requests();
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            () = stop.cancelled() => return,
        };
        match request {
            Ok(tunnel) => {
                for connection in shared.registry.of_tunnel(tunnel) {
                    connection.line.cut();
                    connection.end();
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
