//! Public listeners: where visitors come in. One shared address, and one of its own for each tunnel,
//! all with the same two ports.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
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

/// All public listeners.
#[derive(Clone)]
pub(super) struct Public {
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    direct_tls: TlsAcceptor,
    direct_addresses: bool,
    tasks: TaskTracker,
}

/// One listener: how requests come through it.
#[derive(Debug, Clone, Copy)]
struct Door {
    scheme: Scheme,
    direct: Option<Uuid>,
}

impl Public {
    /// Nothing listens yet. With `direct_addresses`, a request to a tunnel's own address goes to that
    /// tunnel, whatever its host.
    pub(super) fn new(shared: Arc<Shared>, direct_addresses: bool, tasks: TaskTracker) -> Self {
        let by_record = PublicNames::Proxied(shared.cloud.clone());
        let tls = acceptor(shared.authority.clone(), by_record);
        let direct_tls = acceptor(shared.authority.clone(), PublicNames::Any);
        Self {
            shared,
            tls,
            direct_tls,
            direct_addresses,
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

    async fn follow_tunnels(self, ports: PublicAddresses, stop: CancellationToken) {
        let mut changes = self.shared.cloud.watch();
        let mut open: HashMap<Ipv4Addr, CancellationToken> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let wanted = self.tunnel_addresses();
            open.retain(|address, door| {
                let keep = wanted.contains_key(address);
                if !keep {
                    door.cancel();
                }
                keep
            });
            let mut failed = false;
            for (address, tunnel) in wanted {
                if open.contains_key(&address) {
                    continue;
                }
                let door = stop.child_token();
                if self.open_tunnel(address, tunnel, ports, &door).await {
                    open.insert(address, door);
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

    fn tunnel_addresses(&self) -> BTreeMap<Ipv4Addr, Uuid> {
        self.shared.cloud.view(|state| {
            let present = state.tunnels.values().filter(|t| t.deleted_at.is_none());
            present.map(|tunnel| (tunnel.address, tunnel.id)).collect()
        })
    }

    /// Opens a tunnel's own two doors, or says that an address cannot be had yet.
    async fn open_tunnel(
        &self,
        address: Ipv4Addr,
        tunnel: Uuid,
        ports: PublicAddresses,
        door: &CancellationToken,
    ) -> bool {
        let bound = Listeners::bind(PublicAddresses {
            http: (address, ports.http.port()).into(),
            https: (address, ports.https.port()).into(),
        });
        let listeners = match bound.await {
            Ok(listeners) => listeners,
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen at a tunnel's address");
                return false;
            }
        };
        let direct = self.direct_addresses.then_some(tunnel);
        self.open_door(listeners.http, Scheme::Http, direct, door);
        self.open_door(listeners.https, Scheme::Https, direct, door);
        true
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
        let visit = Visit {
            visitor: peer.ip(),
            scheme: door.scheme,
            direct: door.direct,
        };
        if door.scheme == Scheme::Http {
            return self.serve_clear(tcp, visit).await;
        }
        let direct = door.direct.is_some();
        let tls = if direct { &self.direct_tls } else { &self.tls };
        match timeout(HANDSHAKE_WITHIN, tls.accept(tcp)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                serve_http2(self.shared, stream, visit).await;
            }
            Ok(Ok(stream)) => serve_http1(self.shared, stream, visit).await,
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
            service_fn(move |request| answer(shared.clone(), visit, request)),
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
            service_fn(move |request| answer(shared.clone(), visit, request)),
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
) -> Result<Response<Body>, std::convert::Infallible> {
    Ok(forward::answer(shared, visit, request).await)
}
