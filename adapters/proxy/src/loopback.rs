//! An HTTP listener for a genuine cloudflared on the same machine.

mod framing;
mod guarded;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use domain::route_table::{Arrival, Scheme};
use futures_util::future::{Either, select};
use http::header::HOST;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::framing::Ambiguity;
use self::guarded::{Guarded, Knowledge};
use crate::engine::requested_upgrade;
use crate::{BoxError, Engine, Limits, ResponseBody};

/// Bytes read from an upgraded client at a time.
const CHUNK: usize = 16 * 1024;
/// Least buffer that hyper takes for HTTP/1.1.
const MIN_BUFFER: usize = 8 * 1024;
/// Concurrent HTTP/2 streams of one client connection.
const MAX_STREAMS: u32 = 1024;

/// Serves HTTP/1.1 and HTTP/2 in clear text (prior knowledge) on a loopback address.
///
/// It believes what its client says of the original request, as cloudflared passes it on: scheme from
/// `X-Forwarded-Proto` (else `http`), client from `CF-Connecting-IP`. That is why it listens on no address
/// that another machine could reach.
#[derive(Debug)]
pub struct LoopbackListener {
    listener: TcpListener,
    engine: Arc<Engine>,
}

/// Why a listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    #[error(
        "{0} is not a loopback address; use 127.0.0.1 or ::1, for whoever reaches it is believed"
    )]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
}

impl LoopbackListener {
    /// Listens; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, engine: Arc<Engine>) -> Result<Self, LoopbackError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(LoopbackError::NotLoopback(address));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| LoopbackError::Bind(address, error))?;
        Ok(Self { listener, engine })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then finishes the requests under way; upgraded connections are finished
    /// too.
    pub async fn serve(self, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        while let Some(accepted) = shutdown.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let engine = Arc::clone(&self.engine);
                    connections.spawn(connection(
                        stream,
                        engine,
                        shutdown.clone(),
                        connections.clone(),
                    ));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: accepting at once would fail at once.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn connection(
    stream: TcpStream,
    engine: Arc<Engine>,
    shutdown: CancellationToken,
    tunnels: TaskTracker,
) {
    let _ = stream.set_nodelay(true);
    let builder = builder(engine.limits());
    let knowledge = Arc::<Knowledge>::default();
    let stream = Guarded::new(stream, Arc::clone(&knowledge));
    let service = service_fn(|request| {
        let engine = Arc::clone(&engine);
        let tunnels = tunnels.clone();
        let knowledge = Arc::clone(&knowledge);
        async move { Ok::<_, Infallible>(handle(&engine, request, &tunnels, &knowledge).await) }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let connection = pin!(connection);
    let result = match select(connection, pin!(shutdown.cancelled())).await {
        Either::Left((result, _)) => result,
        Either::Right(((), mut connection)) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        let unreadable = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_parse() || error.is_parse_too_large());
        if unreadable {
            let ambiguity = knowledge.refused().map(Ambiguity::text);
            engine.note_refusal(ambiguity.unwrap_or("what a client sent is not HTTP"));
        }
        tracing::debug!(%error, "connection of a client ended");
    }
}

/// HTTP/1.1 or HTTP/2, whichever the client begins with. A little more than the engine's limits is read,
/// so that it is the engine that refuses.
fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let head = 2 * (limits.max_uri_bytes + limits.max_header_bytes);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would also close kept connections that a client is about to use, and set a timer for each
        // request. A slow client is held at the edge.
        .header_read_timeout(None)
        .max_headers(limits.max_header_count + 1)
        .max_buf_size(head.max(MIN_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

async fn handle(
    engine: &Engine,
    mut request: Request<Incoming>,
    tunnels: &TaskTracker,
    knowledge: &Knowledge,
) -> Response<ResponseBody> {
    let Some(arrival) = arrival(&request) else {
        return engine.refuse_hostless(request.method());
    };
    if requested_upgrade(request.headers()).is_none() {
        return engine.serve(arrival, request).await;
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let (give, take) = oneshot::channel();
    let request = request.map(|_| UpgradedBody::Waiting(take));
    let response = engine.serve(arrival, request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    knowledge.upgraded();
    let (head, body) = response.into_parts();
    tunnels.spawn(join(upgrade, give, body));
    Response::from_parts(head, ResponseBody::empty())
}

/// How the request came, as its headers say.
fn arrival(request: &Request<Incoming>) -> Option<Arrival> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let scheme = match header("x-forwarded-proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let client = header("cf-connecting-ip").and_then(|client| client.trim().parse::<IpAddr>().ok());
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => header(HOST.as_str())?,
    };
    Arrival::new(scheme, authority, client)
}

/// Joins an upgraded client with the bodies that stand for its two directions.
async fn join(
    upgrade: OnUpgrade,
    give: oneshot::Sender<ReadHalf<TokioIo<Upgraded>>>,
    body: ResponseBody,
) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
    // Fails only where the engine has given the request up; then the body below ends too.
    let _ = give.send(read);
    if let Err(error) = download(body, &mut write).await {
        tracing::debug!(%error, "an upgraded connection broke off");
    }
}

/// Sends the endpoint's bytes to the client. Their end shuts down that direction only.
async fn download(
    mut body: ResponseBody,
    write: &mut WriteHalf<TokioIo<Upgraded>>,
) -> Result<(), BoxError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            write.write_all(&data).await?;
        }
    }
    write.shutdown().await?;
    Ok(())
}

/// The bytes of a client, once its connection is upgraded.
enum UpgradedBody {
    Waiting(oneshot::Receiver<ReadHalf<TokioIo<Upgraded>>>),
    Reading(ReadHalf<TokioIo<Upgraded>>, BytesMut),
}

impl Body for UpgradedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Waiting(take) => {
                    let read = ready!(Pin::new(take).poll(cx))?;
                    *this = Self::Reading(read, BytesMut::new());
                }
                Self::Reading(read, buffer) => {
                    buffer.reserve(CHUNK);
                    let count = ready!(poll_read_buf(Pin::new(read), cx, buffer))?;
                    return Poll::Ready(
                        (count > 0).then(|| Ok(Frame::data(std::mem::take(buffer).freeze()))),
                    );
                }
            }
        }
    }
}
