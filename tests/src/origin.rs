//! An endpoint for tests: a small HTTP server (HTTP/1.1 and h2c on one port) that says who it is and does
//! by path what a test needs.
//!
//! | path | answer |
//! |---|---|
//! | `/echo` | the request body, as it comes |
//! | `/bytes/<n>` | n bytes |
//! | `/sink` | the number of body bytes, once all have come |
//! | `/events/<n>` | n server-sent events, 200 ms apart |
//! | `/slow/<ms>` | the usual answer, that much later |
//! | `/trailers` | a body, then trailer `grpc-status: 0` |
//! | `/status/<n>` | that status |
//! | `/cookies` | two `Set-Cookie` headers |
//! | `/once/<n>` | 503 the first time, then the usual answer; with 0 always that |
//! | `/ws` | upgrades and echoes bytes; after the client's end, `bye`, then its own end |
//! | anything else | JSON: who answered, method, target, headers |
//!
//! A gRPC call of another path gets its messages back, and status 0. Every answer says in `X-Host` which host was asked
//! for, and in `X-Told` what `X-Asked` said. An endpoint can be made to [fail](Failing).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;

type Body = BoxBody<Bytes, hyper::Error>;

/// A running endpoint; stops when dropped.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// How an endpoint fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// It takes requests and answers none.
    Silent,
    /// It resets all of its connections, then each on which a request comes.
    Resets,
    /// It answers 503.
    Unavailable,
}

struct Shared {
    name: String,
    is_abrupt: bool,
    failing: Mutex<Option<Failing>>,
    /// Cancelled to end the connections that were accepted with it.
    breaks: Mutex<CancellationToken>,
    /// Requests without an answer so far.
    under_way: AtomicU64,
    failed: AtomicU64,
    /// Bodies of requests that broke off.
    broken: AtomicU64,
    once: Mutex<BTreeSet<u64>>,
    requests: AtomicU64,
    connections: AtomicU64,
    bytes_taken: AtomicU64,
}

impl Origin {
    /// Starts an endpoint on a free port of 127.0.0.1. Its name is in every answer.
    pub async fn start(name: &str) -> Self {
        Self::start_at(name, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts an endpoint whose connections end with a reset, whoever ends them.
    pub async fn start_abrupt(name: &str) -> Self {
        Self::start_so(name, SocketAddr::from(([127, 0, 0, 1], 0)), true).await
    }

    /// Starts an endpoint on a given address.
    pub async fn start_at(name: &str, address: SocketAddr) -> Self {
        Self::start_so(name, address, false).await
    }

    async fn start_so(name: &str, address: SocketAddr, is_abrupt: bool) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .expect("a free address for an endpoint");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            breaks: Mutex::new(stop.child_token()),
            name: name.to_owned(),
            is_abrupt,
            failing: Mutex::default(),
            under_way: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            once: Mutex::default(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            bytes_taken: AtomicU64::new(0),
        });
        tokio::spawn(accept(listener, shared.clone(), stop.clone()));
        Self {
            address,
            shared,
            stop,
        }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Body bytes of `/bytes/…` that the other side has taken so far.
    pub fn bytes_taken(&self) -> u64 {
        self.shared.bytes_taken.load(Ordering::Relaxed)
    }

    /// Requests that it has not answered so far.
    pub fn under_way(&self) -> u64 {
        self.shared.under_way.load(Ordering::Relaxed)
    }

    /// Bodies of requests to `/sink` that broke off so far.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Requests that it failed so far.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Fails so from now on, or not at all.
    pub fn fail(&self, how: Option<Failing>) {
        *lock(&self.shared.failing) = how;
        if how == Some(Failing::Resets) {
            let shared = &self.shared;
            let under_way = shared.under_way.load(Ordering::Relaxed);
            shared.failed.fetch_add(under_way, Ordering::Relaxed);
            let breaks = std::mem::replace(&mut *lock(&shared.breaks), self.stop.child_token());
            breaks.cancel();
        }
    }
}

impl Shared {
    /// The answer of an endpoint that fails, where it does, on a connection that ends with `breaks`.
    async fn failure(&self, breaks: &CancellationToken) -> Option<Response<Body>> {
        let failing = *lock(&self.failing);
        let failing = failing?;
        self.failed.fetch_add(1, Ordering::Relaxed);
        match failing {
            Failing::Unavailable => return Some(status(503)),
            Failing::Resets => breaks.cancel(),
            Failing::Silent => {}
        }
        std::future::pending().await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Counts a request for as long as it has no answer.
struct UnderWay<'s>(&'s AtomicU64);

impl<'s> UnderWay<'s> {
    fn new(count: &'s AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (shared, breaks) = (shared.clone(), lock(&shared.breaks).child_token());
        if shared.is_abrupt {
            let _ = stream.set_zero_linger();
        }
        tokio::spawn(async move {
            let own = breaks.clone();
            let service = service_fn(move |request| {
                let (shared, own) = (shared.clone(), own.clone());
                async move { Ok::<_, Infallible>(answer(request, shared, own).await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            tokio::select! { _ = connection => {}, () = breaks.cancelled() => {} }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    breaks: CancellationToken,
) -> Response<Body> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let _under_way = UnderWay::new(&shared.under_way);
    if let Some(failure) = shared.failure(&breaks).await {
        return failure;
    }
    let asked = request.headers().get("x-asked").cloned();
    let host = request.headers().get(header::HOST).cloned();
    let host = host.or_else(|| request.uri().authority()?.as_str().parse().ok());
    let is_head = request.method() == hyper::Method::HEAD;
    let mut response = by_path(request, &shared, breaks).await;
    if is_head {
        response = without_body(response);
    }
    for (name, value) in [("x-told", asked), ("x-host", host)] {
        let value = value.map(|value| response.headers_mut().insert(name, value));
        drop(value);
    }
    response
}

async fn by_path(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    breaks: CancellationToken,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let number = rest.parse::<u64>().unwrap_or(0);
    match first {
        "echo" => Response::new(request.into_body().boxed()),
        "bytes" => bytes(number, shared.clone()),
        "sink" => full(&count(request.into_body(), shared).await.to_string()),
        "events" => events(number),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            describe(&request, shared)
        }
        "once" if number > 0 && lock(&shared.once).insert(number) => status(503),
        "trailers" => trailers(),
        "status" => status(number),
        "cookies" => cookies(),
        "ws" => upgrade(request, breaks),
        _ if is_call(&request) => call(request.into_body()),
        _ => describe(&request, shared),
    }
}

/// hyper sends the body of an answer to HEAD over HTTP/2, which no server may (RFC 9110 §9.3.2).
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let mut empty = full("");
    std::mem::swap(empty.headers_mut(), &mut head.headers);
    *empty.status_mut() = head.status;
    empty
}

fn full(text: &str) -> Response<Body> {
    Response::new(
        Full::new(Bytes::from(text.to_owned()))
            .map_err(|never| match never {})
            .boxed(),
    )
}

fn describe(request: &Request<Incoming>, shared: &Shared) -> Response<Body> {
    let headers: serde_json::Map<_, _> = request
        .headers()
        .keys()
        .map(|name| {
            let values: Vec<_> = request
                .headers()
                .get_all(name)
                .iter()
                .map(|v| String::from_utf8_lossy(v.as_bytes()))
                .collect();
            (name.to_string(), serde_json::json!(values.join(", ")))
        })
        .collect();
    let host = request.uri().authority().map(ToString::to_string);
    let told = serde_json::json!({
        "name": shared.name,
        "method": request.method().as_str(),
        "target": request.uri().path_and_query().map(ToString::to_string),
        "host": host.or_else(|| headers.get("host").and_then(|h| h.as_str()).map(str::to_owned)),
        "headers": headers,
    });
    let mut response = full(&told.to_string());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        "application/json".parse().expect("a constant"),
    );
    response
}

fn bytes(total: u64, shared: Arc<Shared>) -> Response<Body> {
    static CHUNK: [u8; 64 << 10] = [b'x'; 64 << 10];
    let chunks = stream::unfold(total, move |left| {
        let shared = shared.clone();
        async move {
            let size = left.min(CHUNK.len() as u64);
            shared.bytes_taken.fetch_add(size, Ordering::Relaxed);
            let chunk =
                Bytes::from_static(&CHUNK[..usize::try_from(size).expect("at most a chunk")]);
            (left > 0).then(|| (Ok(Frame::data(chunk)), left - size))
        }
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(chunks)));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, total.into());
    response
}

async fn count(mut body: Incoming, shared: &Shared) -> u64 {
    let mut sink = Sink {
        broken: &shared.broken,
        is_whole: false,
    };
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    sink.is_whole = body.is_end_stream();
    total
}

/// Counts a body that broke off, be it that its visitor has gone and nobody waits for an answer any more.
struct Sink<'s> {
    broken: &'s AtomicU64,
    is_whole: bool,
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        let broken = u64::from(!self.is_whole);
        self.broken.fetch_add(broken, Ordering::Relaxed);
    }
}

fn is_call(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The messages of a call, as they come, and then its status.
fn call(body: Incoming) -> Response<Body> {
    let mut last = HeaderMap::new();
    last.insert("grpc-status", "0".parse().expect("a constant"));
    let messages = body.into_data_stream().map(|data| data.map(Frame::data));
    let frames = messages.chain(stream::iter([Ok(Frame::trailers(last))]));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        "application/grpc".parse().expect("a constant"),
    );
    response
}

fn events(number: u64) -> Response<Body> {
    let events = stream::iter(0..number).then(|n| async move {
        if n > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(Frame::data(Bytes::from(format!("data: {n}\n\n"))))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(events)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        "text/event-stream".parse().expect("a constant"),
    );
    response
}

fn trailers() -> Response<Body> {
    let mut last = HeaderMap::new();
    last.insert("grpc-status", "0".parse().expect("a constant"));
    let frames = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"body"))),
        Ok(Frame::trailers(last)),
    ]);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        "application/grpc".parse().expect("a constant"),
    );
    response
        .headers_mut()
        .insert(header::TRAILER, "grpc-status".parse().expect("a constant"));
    response
}

fn status(number: u64) -> Response<Body> {
    let code = u16::try_from(number)
        .ok()
        .and_then(|n| StatusCode::from_u16(n).ok());
    let mut response = full("");
    *response.status_mut() = code.unwrap_or(StatusCode::BAD_REQUEST);
    response
}

fn cookies() -> Response<Body> {
    let mut response = full("");
    for cookie in ["a=1; Path=/", "b=2; Path=/"] {
        let cookie = cookie.parse().expect("a constant");
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn upgrade(request: Request<Incoming>, breaks: CancellationToken) -> Response<Body> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let mut io = TokioIo::new(upgraded);
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = tokio::select! {
                read = io.read(&mut buffer) => read,
                () = breaks.cancelled() => return,
            };
            match read {
                Ok(0) => break,
                Ok(n) if io.write_all(&buffer[..n]).await.is_ok() => {}
                _ => return,
            }
        }
        // The client has ended its half; this half still speaks.
        let _ = io.write_all(b"bye").await;
        let _ = io.shutdown().await;
    });
    let mut response = full("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(header::CONNECTION, "upgrade".parse().expect("a constant"));
    response
        .headers_mut()
        .insert(header::UPGRADE, "websocket".parse().expect("a constant"));
    if let Some(accept) = accept {
        response.headers_mut().insert(
            header::SEC_WEBSOCKET_ACCEPT,
            accept.parse().expect("base64"),
        );
    }
    response
}
