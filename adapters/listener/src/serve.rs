//! Accepting connections and serving HTTP on them.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Buf;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::connections::{Connections, Place, UnderWay};
use crate::limits::{
    CONNECTION_WINDOW, LARGEST_HEAD, Limits, MOST_HEADERS, REQUESTS_OF_CONNECTION, STREAM_WINDOW,
};
use crate::log::AtMostEvery;

/// How often connections are looked at for their times.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long accepting pauses after the system could not give a connection (no file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After what silence HTTP/2 asks whether the other end is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How often the log says that clients are turned away, or cannot be accepted.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Why a body broke off.
type Failure = Box<dyn Error + Send + Sync>;

/// What a server is besides its service.
#[derive(Debug, Clone)]
pub struct Server {
    /// What it serves, for the log.
    pub name: &'static str,
    pub security: Security,
    pub versions: Versions,
    pub limits: Limits,
}

/// Whether there is TLS on connections.
#[derive(Clone)]
pub enum Security {
    Plain,
    /// With what this gives at the moment of each connection; `None` closes the connection.
    Tls(Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>),
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(_) => "Tls(…)",
        })
    }
}

/// Which versions of HTTP are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Both,
    Http2,
}

/// Serves until `stop`, then lets requests under way go on for [`Limits::grace`]. Dropped earlier, it closes every
/// connection. Each request carries its [`Client`](crate::Client) as an extension.
pub async fn serve<S, B>(listener: TcpListener, server: Server, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Buf + Send, Error: Into<Failure>> + Send + Unpin + 'static,
{
    let connections = Connections::new(server.limits);
    let (turned_away, failed) = (AtMostEvery::new(TELL_EVERY), AtMostEvery::new(TELL_EVERY));
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = looks.tick() => connections.close_overdue(Instant::now()),
            // Ends of connections are taken note of, so that they are not kept.
            Some(_) = tasks.join_next() => {}
            accepted = accept(&listener, &connections, &failed) => {
                let Some((stream, place)) = accepted else {
                    if let Some(others) = turned_away.pass(Instant::now()) {
                        let server = server.name;
                        tracing::warn!(server, others, "a client was turned away: others have all connections");
                    }
                    continue;
                };
                let (server, service, stop) = (server.clone(), service.clone(), stop.clone());
                tasks.spawn(connection(stream, Arc::new(place), server, service, stop));
            }
        }
    }
    drop(listener);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(server.limits.grace, ended)
        .await
        .is_err()
    {
        let server = server.name;
        tracing::info!(server, "requests that did not end in time are cut off");
    }
}

/// The next connection; `None` where there is no place for it. Cancel safe up to the pause after an error.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
    failed: &AtMostEvery,
) -> Option<(TcpStream, Place)> {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let place = connections.admit(address.ip(), Instant::now())?;
                return Some((stream, place));
            }
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                if let Some(others) = failed.pass(Instant::now()) {
                    tracing::warn!(%error, others, "no connection could be accepted");
                }
                connections.close_one();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether a client took its connection back before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

async fn connection<S, B>(
    stream: TcpStream,
    place: Arc<Place>,
    server: Server,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data: Buf + Send, Error: Into<Failure>> + Send + Unpin + 'static,
{
    // Small frames are awaited. A socket that refuses this works all the same.
    drop(stream.set_nodelay(true));
    let close = place.close.clone();
    let peer = place.peer;
    let served = async {
        let Security::Tls(config) = &server.security else {
            return http(stream, &place, server.versions, service, &stop).await;
        };
        let Some(config) = config() else {
            return;
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        match stop.run_until_cancelled(handshake).await {
            Some(Ok(stream)) => http(stream, &place, server.versions, service, &stop).await,
            Some(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
            None => {}
        }
    };
    close.run_until_cancelled(served).await;
}

/// Serves the requests of one connection.
async fn http<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    place: &Arc<Place>,
    versions: Versions,
    service: S,
    stop: &CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data: Buf + Send, Error: Into<Failure>> + Send + Unpin + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        let under_way = place.begin();
        request.extensions_mut().insert(under_way.client());
        let answer = service.call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Counted {
                body,
                _under_way: under_way,
            }))
        }
    });
    let builder = builder(versions);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %place.peer, %error, "a connection broke");
    }
}

/// The bounds within a connection. The times of heads are those of connections without a request.
fn builder(versions: Versions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(REQUESTS_OF_CONNECTION)
        .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    match versions {
        Versions::Both => builder,
        Versions::Http2 => builder.http2_only(),
    }
}

/// The body of an answer; the request is under way until it ends.
struct Counted<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
