//! The server on a listener: TLS, HTTP/2, and who may have a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::names::ObjectKey;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stream::Stream;
use super::{Leader, TableServer};
use crate::authority::ServerIdentity;
use crate::frames::FrameBody;
use crate::wire::{Denial, PATH};

/// How long a proxy may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the cluster may take to vouch for a token.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long accepting pauses after the system could not give a connection (no file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often what only time brings is looked at.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);

/// After what silence HTTP/2 asks whether the other end is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long streams may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Type of a body of frames.
pub(crate) const FRAMES: &str = "application/vnd.cloudflare-gateway-controller.frames+json";

type Answer = Response<Either<FrameBody, Full<Bytes>>>;

impl TableServer {
    /// Serves until `stop`, then sends every proxy away. A connection is made under the identity of its
    /// moment, and outlives it.
    pub async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        identity: watch::Receiver<Arc<ServerIdentity>>,
        stop: CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        let serving = self.accept_all(&listener, &identity, &tasks, &stop);
        tokio::select! {
            () = stop.cancelled() => {}
            () = serving => {}
            () = self.observe_always() => {}
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some proxies did not let go of their route table streams in time");
        }
    }

    async fn observe_always(&self) {
        let mut ticks = tokio::time::interval(OBSERVE_EVERY);
        loop {
            ticks.tick().await;
            self.observe();
        }
    }

    async fn accept_all(
        self: &Arc<Self>,
        listener: &TcpListener,
        identity: &watch::Receiver<Arc<ServerIdentity>>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no connection of a proxy could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let config = identity.borrow().tls_config();
            let acceptor = match config {
                Ok(config) => TlsAcceptor::from(config),
                Err(error) => {
                    tracing::error!(%error, "the server's certificate cannot be used");
                    continue;
                }
            };
            let (server, connections, stop) = (self.clone(), tasks.clone(), stop.clone());
            tasks
                .spawn(async move { server.connection(stream, acceptor, connections, stop).await });
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        // Acknowledgements are small and awaited. A socket that refuses this works all the same.
        drop(stream.set_nodelay(true));
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "no TLS handshake with a proxy"),
            Err(_) => return tracing::debug!("no TLS handshake with a proxy in time"),
        };
        let stopped = stop.clone();
        let service = service_fn(move |request| {
            let (server, tasks, stop) = (self.clone(), tasks.clone(), stop.clone());
            async move { Ok::<_, Infallible>(server.answer(request, &tasks, stop).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .max_concurrent_streams(4)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "the connection of a proxy broke");
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Answer {
        match self.admit(&request).await {
            Err(denied) => denied,
            Ok((gateway, term)) => {
                let (sender, body) = FrameBody::channel();
                let stream = Stream::new(self, gateway, term, request.into_body(), sender);
                tasks.spawn(stream.run(stop));
                let mut answer = Response::new(Either::Left(body));
                let kind = http::HeaderValue::from_static(FRAMES);
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
        }
    }

    /// Whose proxy asks, and the term in which it is served; or the answer that turns it away. Who does not
    /// lead tells only who does, and needs no token for it.
    async fn admit(&self, request: &Request<Incoming>) -> Result<(ObjectKey, u64), Answer> {
        if request.uri().path() != PATH {
            return Err(denied(StatusCode::NOT_FOUND, &format!("ask for {PATH}")));
        }
        if request.method() != Method::POST {
            return Err(denied(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
        }
        let term = match (self.options.leader)() {
            Leader::Here { term } => term,
            Leader::At(leader) => {
                let words = format!("the instance at {leader} leads; ask there");
                let answer = denied(StatusCode::TEMPORARY_REDIRECT, &words);
                return Err(with(answer, LOCATION, &format!("https://{leader}{PATH}")));
            }
            Leader::Nobody => {
                let words = "no instance leads at the moment; try again soon";
                let answer = denied(StatusCode::SERVICE_UNAVAILABLE, words);
                return Err(with(answer, RETRY_AFTER, "1"));
            }
        };
        let Some(token) = bearer(request.headers()) else {
            let words = "send the proxy's ServiceAccount token as bearer token";
            let answer = denied(StatusCode::UNAUTHORIZED, words);
            return Err(with(answer, WWW_AUTHENTICATE, "Bearer"));
        };
        let asked = tokio::time::timeout(IDENTITY_TIMEOUT, self.identities.gateway_of(&token));
        match asked.await {
            Ok(Ok(Some(gateway))) => Ok((gateway, term)),
            Ok(Ok(None)) => {
                let words = "the token is valid for no proxy of this controller: it must be a projected token of a proxy's ServiceAccount, not expired, for this controller's audience";
                Err(denied(StatusCode::FORBIDDEN, words))
            }
            Ok(Err(error)) => {
                let words = format!("whose token it is could not be asked: {error}");
                Err(denied(StatusCode::SERVICE_UNAVAILABLE, &words))
            }
            Err(_) => {
                let words = "whose token it is could not be asked in time";
                Err(denied(StatusCode::SERVICE_UNAVAILABLE, words))
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into())
}

fn denied(status: StatusCode, message: &str) -> Answer {
    let denial = Denial {
        message: message.to_owned(),
    };
    let body = serde_json::to_vec(&denial).unwrap_or_default();
    let mut answer = Response::new(Either::Right(Full::from(body)));
    *answer.status_mut() = status;
    with(answer, CONTENT_TYPE, "application/json")
}

/// With a header, where its value can be one (an address that is no URL cannot).
fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
    answer
}
