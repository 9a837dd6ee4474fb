//! The server on a listener: its bounds, and who may have a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adapter_listener::{Client, Limits, Security, Server, Versions};
use bytes::Bytes;
use domain::names::ObjectKey;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audience::STREAMS_OF_GATEWAY;
use super::reviews::Review;
use super::stream::Stream;
use super::{Leader, OpenStream, TableServer};
use crate::authority::ServerIdentity;
use crate::frames::{FRAMES, FrameBody};
use crate::wire::{Denial, PATH};

/// The bounds of the server. Streams have their own ([`STREAMS_OF_GATEWAY`]).
pub const LISTENER_LIMITS: Limits = Limits {
    connections: 4096,
    strangers: 512,
    ipv6_prefix: 128,
    first_request: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    // A token is reviewed meanwhile.
    request: Duration::from_secs(15),
    // Streams end by themselves.
    known_request: None,
    grace: Duration::from_secs(5),
};

/// How often what only time brings is looked at.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);

/// How long streams may take to end, once their connections have.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to a token that is no proxy's.
const REFUSED: &str = "the token was not accepted";

/// The answer where it is not known what a token is.
const LATER: &str = "try again later";

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
        let server = Server {
            name: "route tables",
            security: Security::Tls(Arc::new(move || {
                let config = identity.borrow().tls_config();
                config
                    .inspect_err(
                        |error| tracing::error!(%error, "the server's certificate cannot be used"),
                    )
                    .ok()
            })),
            versions: Versions::Http2,
            limits: self.options.limits,
        };
        let (asked, streams, stopped) = (self.clone(), tasks.clone(), stop.clone());
        let service = service_fn(move |request| {
            let (server, tasks, stop) = (asked.clone(), streams.clone(), stopped.clone());
            async move { Ok::<_, Infallible>(server.answer(request, &tasks, stop).await) }
        });
        tokio::select! {
            () = adapter_listener::serve(listener, server, service, stop) => {}
            () = self.observe_always() => {}
        }
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

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Answer {
        match self.admit(&request).await {
            Err(denied) => denied,
            Ok((open, term)) => {
                let (sender, body) = FrameBody::channel();
                let stream = Stream::new(open, term, request.into_body(), sender);
                tasks.spawn(stream.run(stop));
                let mut answer = Response::new(Either::Left(body));
                let kind = http::HeaderValue::from_static(FRAMES);
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
        }
    }

    /// A stream for whoever asks, and the term in which it is served; or the answer that turns it away. Who does not
    /// lead tells only who does, and needs no token for it.
    async fn admit(
        self: &Arc<Self>,
        request: &Request<Incoming>,
    ) -> Result<(OpenStream, u64), Answer> {
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
                return Err(later("no instance leads at the moment; try again soon"));
            }
        };
        let (gateway, client) = self.gateway_of(request).await?;
        match self.open(&gateway, client) {
            Some(open) => Ok((open, term)),
            None => {
                let words = format!(
                    "Gateway {gateway} has {STREAMS_OF_GATEWAY} streams, which is the most at a time"
                );
                Err(later(&words))
            }
        }
    }

    /// The Gateway whose proxy asks. Strangers learn nothing but whether their token was accepted.
    async fn gateway_of<'r>(
        &self,
        request: &'r Request<Incoming>,
    ) -> Result<(ObjectKey, &'r Client), Answer> {
        let Some(token) = bearer(request.headers()) else {
            let words = "send the proxy's ServiceAccount token as bearer token";
            let answer = denied(StatusCode::UNAUTHORIZED, words);
            return Err(with(answer, WWW_AUTHENTICATE, "Bearer"));
        };
        let Some(client) = request.extensions().get::<Client>() else {
            return Err(later(LATER));
        };
        match self.reviews.of(&token, client.peer()).await {
            Review::Proxy(gateway) => Ok((gateway, client)),
            Review::Refused => Err(denied(StatusCode::FORBIDDEN, REFUSED)),
            Review::Later => Err(later(LATER)),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into())
}

fn later(message: &str) -> Answer {
    let answer = denied(StatusCode::SERVICE_UNAVAILABLE, message);
    with(answer, RETRY_AFTER, "1")
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
