//! Public listeners: where visitors come in. One shared address, and some of its own for each tunnel.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Shared;
use super::body::Body;
use super::certificates::{PublicNames, acceptor};
use super::forward::{self, Visit};
use super::headers::Scheme;
use super::{PublicOptions, TunnelPorts};
use crate::cloud::Tunnel;

/// How long a visitor may take for the TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// When to try again to listen at a tunnel's address.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// Request headers in bytes. Cloudflare documentation: "Connection limits", 128 KB.
const HEADER_LIMIT: u32 = 128 << 10;

/// One address's two listeners.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) https: TcpListener,
}

/// Where to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicAddresses {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
}

impl Listeners {
    /// Listens; port 0 takes any.
    pub(super) async fn bind(addresses: PublicAddresses) -> io::Result<Self> {
        Ok(Self {
            http: TcpListener::bind(addresses.http).await?,
            https: TcpListener::bind(addresses.https).await?,
        })
    }

    /// Where they listen.
    pub(super) fn addresses(&self) -> io::Result<PublicAddresses> {
        Ok(PublicAddresses {
            http: self.http.local_addr()?,
            https: self.https.local_addr()?,
        })
    }
}

/// Ports on which Cloudflare takes HTTP and HTTPS.
/// Cloudflare documentation: "Network ports", "Network ports compatible with Cloudflare's proxy".
const HTTP_PORTS: [u16; 7] = [80, 8080, 8880, 2052, 2082, 2086, 2095];
const HTTPS_PORTS: [u16; 6] = [443, 2053, 2083, 2087, 2096, 8443];
/// The port besides, see [`PublicOptions::tells_arrival`].
const TOLD_PORT: u16 = 8090;

impl TunnelPorts {
    /// The ports of a tunnel's own addresses, where the shared address has these.
    fn doors(self, shared: PublicAddresses) -> Vec<(u16, Scheme)> {
        match self {
            Self::AsShared => vec![
                (shared.http.port(), Scheme::Http),
                (shared.https.port(), Scheme::Https),
            ],
            Self::AsCloudflare => {
                let http = HTTP_PORTS.map(|port| (port, Scheme::Http));
                let https = HTTPS_PORTS.map(|port| (port, Scheme::Https));
                http.into_iter().chain(https).collect()
            }
        }
    }
}

/// All public listeners.
#[derive(Clone)]
pub(super) struct Public {
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    direct_tls: TlsAcceptor,
    direct_addresses: bool,
    tells_arrival: bool,
    tunnel_ports: TunnelPorts,
    tasks: TaskTracker,
}

/// One listener: how requests come through it.
#[derive(Debug, Clone, Copy)]
struct Door {
    scheme: Scheme,
    direct: Option<Uuid>,
}

impl Public {
    /// Nothing listens yet.
    pub(super) fn new(shared: Arc<Shared>, options: PublicOptions, tasks: TaskTracker) -> Self {
        let of =
            |names, asks| acceptor(shared.authority.clone(), shared.cloud.clone(), names, asks);
        let tls = of(PublicNames::Proxied, false);
        let direct_tls = of(PublicNames::Any, options.tells_arrival);
        Self {
            shared,
            tls,
            direct_tls,
            direct_addresses: options.direct_addresses,
            tells_arrival: options.tells_arrival,
            tunnel_ports: options.tunnel_ports,
            tasks,
        }
    }

    /// Opens the shared listeners and follows the tunnels that come and go, until `stop`.
    pub(super) fn open(self, listeners: Listeners, stop: &CancellationToken) -> io::Result<()> {
        let addresses = listeners.addresses()?;
        self.open_door(listeners.http, Scheme::Http, None, stop);
        self.open_door(listeners.https, Scheme::Https, None, stop);
        let tasks = self.tasks.clone();
        tasks.spawn(self.follow_tunnels(addresses, stop.clone()));
        Ok(())
    }

    fn open_door(
        &self,
        listener: TcpListener,
        scheme: Scheme,
        direct: Option<Uuid>,
        stop: &CancellationToken,
    ) {
        let door = Door { scheme, direct };
        let accepting = self.clone().accept(listener, door, stop.clone());
        self.tasks.spawn(accepting);
    }

    async fn follow_tunnels(self, shared: PublicAddresses, stop: CancellationToken) {
        let mut changes = self.shared.cloud.watch();
        let mut open: HashMap<SocketAddr, (Uuid, CancellationToken)> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let wanted = self.tunnel_doors(shared);
            open.retain(|address, (tunnel, door)| {
                let keep = wanted
                    .get(address)
                    .is_some_and(|(wanted, _)| wanted == tunnel);
                if !keep {
                    door.cancel();
                }
                keep
            });
            let mut failed = false;
            for (address, (tunnel, scheme)) in wanted {
                if open.contains_key(&address) {
                    continue;
                }
                let door = stop.child_token();
                if self.open_tunnel(address, tunnel, scheme, &door).await {
                    open.insert(address, (tunnel, door));
                } else {
                    failed = true;
                }
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LISTEN_AGAIN), if failed => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn tunnel_doors(&self, shared: PublicAddresses) -> BTreeMap<SocketAddr, (Uuid, Scheme)> {
        let mut ports = self.tunnel_ports.doors(shared);
        if self.tells_arrival {
            ports.push((TOLD_PORT, Scheme::Http));
        }
        let addresses: Vec<_> = self.shared.cloud.view(|state| {
            let present = state.tunnels.values().filter(|t| t.deleted_at.is_none());
            let of = |tunnel: &Tunnel| tunnel.addresses().zip(std::iter::repeat(tunnel.id));
            present.flat_map(of).collect()
        });
        let doors = addresses.into_iter().flat_map(|(ip, tunnel)| {
            let ports = ports.iter();
            ports.map(move |(port, scheme)| (SocketAddr::new(ip, *port), (tunnel, *scheme)))
        });
        doors.collect()
    }

    /// Opens one of a tunnel's own doors, or says that its address cannot be had yet. A port that this
    /// user may not have stays closed: whoever is not root has no ports below 1024.
    async fn open_tunnel(
        &self,
        address: SocketAddr,
        tunnel: Uuid,
        scheme: Scheme,
        door: &CancellationToken,
    ) -> bool {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let direct = self.direct_addresses.then_some(tunnel);
                self.open_door(listener, scheme, direct, door);
                true
            }
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen at a tunnel's address");
                error.kind() == io::ErrorKind::PermissionDenied
            }
        }
    }

    async fn accept(self, listener: TcpListener, door: Door, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (tcp, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "accepting a visitor");
                    // Out of file descriptors, most likely: no use in asking again at once.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (public, stop) = (self.clone(), stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = public.serve(tcp, peer, door) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    async fn serve(self, tcp: TcpStream, peer: SocketAddr, door: Door) {
        // Answers are written as they come; waiting for more would hold them back.
        let _ = tcp.set_nodelay(true);
        let told = self.tells_arrival && door.direct.is_some();
        let port = tcp.local_addr().ok().map(|address| address.port());
        let mut visit = Visit {
            visitor: peer.ip(),
            scheme: door.scheme,
            direct: door.direct,
            port: port.filter(|_| told),
            server_name: None,
            shown: None,
        };
        if door.scheme == Scheme::Http {
            return self.serve_clear(tcp, visit).await;
        }
        let direct = door.direct.is_some();
        let tls = if direct { &self.direct_tls } else { &self.tls };
        match timeout(HANDSHAKE_WITHIN, tls.accept(tcp)).await {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                if told {
                    visit.server_name = session.server_name().map(Into::into);
                    let shown = session.peer_certificates().unwrap_or_default();
                    let shown: Vec<_> = shown.iter().map(|it| it.clone().into_owned()).collect();
                    visit.shown = Some(shown.into());
                }
                match session.alpn_protocol() {
                    Some(b"h2") => serve_http2(self.shared, stream, visit).await,
                    _ => serve_http1(self.shared, stream, visit).await,
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake of a visitor"),
            Err(_) => tracing::debug!("TLS handshake of a visitor timed out"),
        }
    }

    /// Cleartext is HTTP/1.1; only a tunnel's own address, where it decides alone, takes HTTP/2 with
    /// prior knowledge too.
    async fn serve_clear(self, tcp: TcpStream, visit: Visit) {
        if visit.direct.is_some() && begins_http2(&tcp).await {
            serve_http2(self.shared, tcp, visit).await;
        } else {
            serve_http1(self.shared, tcp, visit).await;
        }
    }
}

/// Whether the first bytes are those of the HTTP/2 preface (RFC 9113, section 3.4).
async fn begins_http2(tcp: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let mut first = [0; PREFACE.len()];
    loop {
        match tcp.peek(&mut first).await {
            Ok(0) | Err(_) => return false,
            Ok(count) if first[..count] != PREFACE[..count] => return false,
            Ok(count) if count == PREFACE.len() => return true,
            // Peeking returns at once as long as there is something to see.
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn serve_http1<S>(shared: Arc<Shared>, stream: S, visit: Visit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .max_headers(1_000)
        .max_buf_size(HEADER_LIMIT as usize)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(shared.clone(), visit.clone(), request)),
        )
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "visitor's HTTP/1.1 connection");
    }
}

async fn serve_http2<S>(shared: Arc<Shared>, stream: S, visit: Visit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(2_000)
        .max_header_list_size(HEADER_LIMIT)
        .max_send_buf_size(256 << 10)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(shared.clone(), visit.clone(), request)),
        )
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "visitor's HTTP/2 connection");
    }
}

async fn answer(
    shared: Arc<Shared>,
    visit: Visit,
    request: Request<Incoming>,
) -> Result<Response<Body>, forward::Refused> {
    forward::answer(shared, visit, request).await
}
