//! Endpoints: an app that speaks HTTP/1.1 and HTTP/2 and does what the path says, and bare sockets for
//! what no app does.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An endpoint that runs; dropping it kills it with all of its connections.
pub(crate) struct Endpoint {
    pub(crate) at: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    life: CancellationToken,
}

/// What an endpoint saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) requests: AtomicUsize,
    /// Connections accepted so far.
    pub(crate) accepted: AtomicUsize,
    /// Connections open now.
    pub(crate) open: AtomicUsize,
    /// Bytes of `/endless` handed out.
    pub(crate) sent: AtomicU64,
    /// Requests that were given up before they were answered in full.
    pub(crate) given_up: AtomicUsize,
    /// How many requests of `/flaky/…` and `/stalled` still fail.
    pub(crate) failing: AtomicUsize,
    /// Of requests for `/kept`: the header `x-set`, the body, the trailer `x-end`.
    pub(crate) kept: Mutex<Vec<(String, String, String)>>,
    /// Lets `/wait` and `/events` go on, once per permit.
    pub(crate) go_on: Semaphore,
    /// Names that were asked for over TLS.
    pub(crate) names: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    /// Whether this request is one of those that fail.
    fn fails(&self) -> bool {
        let one_fewer = |failing: usize| failing.checked_sub(1);
        self.failing.fetch_update(SeqCst, SeqCst, one_fewer).is_ok()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.life.cancel();
    }
}

impl Endpoint {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, None).await
    }

    /// Over TLS, where that is given.
    pub(crate) async fn start_with(name: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            name: name.to_owned(),
            requests: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            given_up: AtomicUsize::new(0),
            failing: AtomicUsize::new(0),
            kept: Mutex::default(),
            go_on: Semaphore::new(0),
            names: Mutex::default(),
        });
        let life = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&seen), life.clone(), tls));
        Self { at, seen, life }
    }

    pub(crate) async fn start_many(count: usize) -> Vec<Self> {
        let mut endpoints = Vec::new();
        for index in 0..count {
            endpoints.push(Self::start(&format!("pod-{index}")).await);
        }
        endpoints
    }
}

pub(crate) fn addresses(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    endpoints.iter().map(|endpoint| endpoint.at).collect()
}

async fn accept(
    listener: TcpListener,
    seen: Arc<Seen>,
    life: CancellationToken,
    tls: Option<TlsAcceptor>,
) {
    while let Some(Ok((stream, _))) = life.run_until_cancelled(listener.accept()).await {
        let seen = Arc::clone(&seen);
        let (life, tls) = (life.clone(), tls.clone());
        seen.accepted.fetch_add(1, SeqCst);
        seen.open.fetch_add(1, SeqCst);
        tokio::spawn(async move {
            match tls {
                None => serve(stream, Arc::clone(&seen), life).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let name = stream.get_ref().1.server_name().unwrap_or("");
                        seen.names.lock().unwrap().push(name.to_owned());
                        serve(stream, Arc::clone(&seen), life).await;
                    }
                }
            }
            seen.open.fetch_sub(1, SeqCst);
        });
    }
}

async fn serve<S>(stream: S, seen: Arc<Seen>, life: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let seen = Arc::clone(&seen);
        async move {
            let breaks_off = request.uri().path() == "/break-off";
            let response = app(request, seen).await;
            if breaks_off {
                return Err(io::Error::other("without an answer"));
            }
            Ok(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(200);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    life.run_until_cancelled(pin!(connection)).await;
}

/// Counts a request as given up unless it is told otherwise.
struct Care(Arc<Seen>, bool);

impl Drop for Care {
    fn drop(&mut self) {
        if !self.1 {
            self.0.given_up.fetch_add(1, SeqCst);
        }
    }
}

async fn app(request: Request<Incoming>, seen: Arc<Seen>) -> Response<Body> {
    seen.requests.fetch_add(1, SeqCst);
    if request.method() == "HEAD" {
        let mut response = text(String::new());
        let length = seen.name.len().into();
        response.headers_mut().insert("content-length", length);
        return response;
    }
    match request.uri().path() {
        path if path == "*" || path == "/echo" || path.starts_with("/echo/") => {
            text(describe(&request))
        }
        "/shared" => {
            let mut response = text(seen.name.clone());
            let headers = response.headers_mut();
            headers.insert("access-control-allow-origin", "*".parse().unwrap());
            headers.insert("access-control-max-age", "600".parse().unwrap());
            response
        }
        "/count" => count(request, seen).await,
        "/kept" => {
            let value = |headers: &HeaderMap, name: &str| {
                let value = headers.get(name).map(|value| value.to_str().unwrap());
                value.unwrap_or_default().to_owned()
            };
            let set = value(request.headers(), "x-set");
            let body = request.into_body().collect().await.unwrap();
            let end = body.trailers().map(|trailers| value(trailers, "x-end"));
            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            let kept = (set, body, end.unwrap_or_default());
            seen.kept.lock().unwrap().push(kept);
            text(seen.name.clone())
        }
        "/wait" => {
            let mut care = Care(Arc::clone(&seen), false);
            seen.go_on.acquire().await.unwrap().forget();
            care.1 = true;
            text(seen.name.clone())
        }
        "/events" => events(seen),
        "/early" => early(request),
        "/unread" => unread(request),
        "/endless" => endless(seen),
        "/broken" => broken(),
        "/trailers" => trailers(request),
        "/upgrade" => upgrade(request),
        path if path.starts_with("/flaky/") => {
            let status = path.trim_start_matches("/flaky/").parse().unwrap();
            let fails = seen.fails();
            let mut response = count(request, seen).await;
            if fails {
                *response.status_mut() = status;
            }
            response
        }
        "/stalled" if seen.fails() => {
            let _care = Care(seen, false);
            std::future::pending().await
        }
        "/nothing" => {
            let mut response = text(String::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        "/hops" => {
            let mut response = text(String::new());
            let headers = response.headers_mut();
            headers.insert("connection", "x-hop".parse().unwrap());
            headers.insert("x-hop", "1".parse().unwrap());
            headers.insert("keep-alive", "timeout=5".parse().unwrap());
            headers.insert("x-end", "2".parse().unwrap());
            response
        }
        _ => text(seen.name.clone()),
    }
}

fn text(text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    Response::new(body.boxed_unsync())
}

fn describe(request: &Request<Incoming>) -> String {
    let mut lines = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        lines.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    lines
}

async fn count(request: Request<Incoming>, seen: Arc<Seen>) -> Response<Body> {
    let mut care = Care(seen, false);
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return text("broken".into());
        };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    care.1 = true;
    text(bytes.to_string())
}

type Frames = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

fn streamed() -> (Frames, Response<Body>) {
    let (feed, mut frames) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    (feed, Response::new(StreamBody::new(stream).boxed_unsync()))
}

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(bytes.into()))
}

fn events(seen: Arc<Seen>) -> Response<Body> {
    let (feed, mut response) = streamed();
    let kind = "text/event-stream".parse().unwrap();
    response.headers_mut().insert("content-type", kind);
    tokio::spawn(async move {
        for event in 0..3 {
            if feed.send(data(format!("data: {event}\n\n"))).await.is_err() {
                return;
            }
            seen.go_on.acquire().await.unwrap().forget();
        }
    });
    response
}

/// Answers before the body has come, then once more with its length.
fn early(request: Request<Incoming>) -> Response<Body> {
    let (feed, response) = streamed();
    tokio::spawn(async move {
        feed.send(data("early ")).await.unwrap();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        feed.send(data(body.len().to_string())).await.unwrap();
    });
    response
}

/// Refuses before the body has come, and reads it nevertheless.
fn unread(request: Request<Incoming>) -> Response<Body> {
    tokio::spawn(request.into_body().collect());
    let mut response = text("unread".into());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

fn endless(seen: Arc<Seen>) -> Response<Body> {
    let (feed, response) = streamed();
    tokio::spawn(async move {
        let chunk = Bytes::from(vec![b'x'; 16 * 1024]);
        while feed.send(data(chunk.clone())).await.is_ok() {
            seen.sent.fetch_add(chunk.len() as u64, SeqCst);
        }
        seen.given_up.fetch_add(1, SeqCst);
    });
    response
}

fn broken() -> Response<Body> {
    let (feed, response) = streamed();
    tokio::spawn(async move {
        feed.send(data("some, but ")).await.unwrap();
        feed.send(Err(io::Error::other("not all"))).await.unwrap();
    });
    response
}

/// Sends back the request's body and, among its own, a trailer of the request, and the names of all.
fn trailers(request: Request<Incoming>) -> Response<Body> {
    let (feed, mut response) = streamed();
    let names = "grpc-status, x-sent, x-got".parse().unwrap();
    response.headers_mut().insert("trailer", names);
    tokio::spawn(async move {
        let body = request.into_body().collect().await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        if let Some(sent) = body.trailers().and_then(|t| t.get("x-sent")) {
            trailers.insert("x-sent", sent.clone());
        }
        let got = body.trailers().cloned().unwrap_or_default();
        let got: Vec<&str> = got.keys().map(http::HeaderName::as_str).collect();
        trailers.insert("x-got", got.join(" ").parse().unwrap());
        feed.send(data(body.to_bytes())).await.unwrap();
        feed.send(Ok(Frame::trailers(trailers))).await.unwrap();
    });
    response
}

/// Echoes what it reads; at the end of it says how much that was, and only then closes.
fn upgrade(mut request: Request<Incoming>) -> Response<Body> {
    if request.headers().get("upgrade").is_none() {
        let mut response = text("upgrade, please".into());
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let mut chunk = vec![0; 1024];
        let mut total = 0;
        loop {
            let count = io.read(&mut chunk).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            total += count;
            io.write_all(&chunk[..count]).await.unwrap();
        }
        io.write_all(format!("total {total}").as_bytes())
            .await
            .unwrap();
        io.shutdown().await.unwrap();
    });
    let mut response = text(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert("upgrade", "echo".parse().unwrap());
    response
}

/// A bare socket: what it does with each connection is the caller's.
pub(crate) async fn bare<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    at
}

/// Answers the first request with 200.
pub(crate) async fn answering_once(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    stream.write_all(answer).await.unwrap();
    std::future::pending::<()>().await;
}

/// Reads the head of an HTTP/1.1 request. `false` where the connection ended.
pub(crate) async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

/// An address that nobody listens on.
pub(crate) async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
