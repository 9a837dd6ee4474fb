//! The proxy behind its loopback listener, an endpoint that keeps exactly what reached it, and the log.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::gateway::Protocol;
use domain::route_table::UpstreamProtocol;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tests::routing::{Rule, engine, on_loopback};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::subscriber::DefaultGuard;

/// What no log may contain.
pub(super) const CANARY: &str = "canary";

/// A request as an endpoint got it, in whole.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) target: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
}

/// An endpoint that notes the requests that reach it in whole.
pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    reached: Arc<Mutex<Vec<Reached>>>,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reached: Arc<Mutex<Vec<Reached>>> = Arc::default();
        let notes = Arc::clone(&reached);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notes = Arc::clone(&notes);
                let service = service_fn(move |request| note(request, Arc::clone(&notes)));
                let connection = hyper::server::conn::http1::Builder::new()
                    .max_headers(500)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { address, reached }
    }

    /// What has reached it since the last call.
    pub(super) fn take(&self) -> Vec<Reached> {
        std::mem::take(&mut *self.reached.lock().unwrap())
    }
}

async fn note(
    request: Request<Incoming>,
    notes: Arc<Mutex<Vec<Reached>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    notes.lock().unwrap().push(Reached {
        target: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    Ok(Response::new(Full::from("ok")))
}

/// An endpoint that keeps every byte of every connection, and answers when what has come ends in `end`.
pub(super) struct RawOrigin {
    pub(super) address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl RawOrigin {
    pub(super) async fn answering_after(end: &'static str) -> Self {
        Self::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", end).await
    }

    pub(super) async fn saying(answer: &'static str, end: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<u8>>> = Arc::default();
        let notes = received.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let notes = notes.clone();
                tokio::spawn(async move {
                    let mut chunk = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                        let whole = {
                            let mut notes = notes.lock().unwrap();
                            notes.extend_from_slice(&chunk[..read]);
                            notes.ends_with(end.as_bytes())
                        };
                        if whole && stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, received }
    }

    /// All that has come so far.
    pub(super) fn received(&self) -> String {
        String::from_utf8(self.received.lock().unwrap().clone()).unwrap()
    }
}

/// A socket that answers every connection's first request with these bytes, then closes.
pub(super) async fn answering(bytes: impl Into<Bytes>) -> SocketAddr {
    let bytes = bytes.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    stream.write_all(&bytes).await.ok();
                    stream.shutdown().await.ok();
                }
            });
        }
    });
    address
}

/// The proxy behind a loopback listener. Its log is that of this thread, so tests run on one thread.
pub(super) struct Proxy {
    address: SocketAddr,
    log: Log,
    _stop: DropGuard,
}

impl Proxy {
    /// Sends each prefix to one endpoint, for every host, by HTTP on port 80.
    pub(super) async fn start(rules: &[(&str, SocketAddr)]) -> Self {
        let log = Log::capture();
        let stop = CancellationToken::new();
        let rule =
            |(prefix, at): &(&str, SocketAddr)| Rule::new(*prefix, UpstreamProtocol::Http1, &[*at]);
        let rules: Vec<_> = rules.iter().map(rule).collect();
        let address = on_loopback(engine(Protocol::Http, &rules), stop.clone()).await;
        Self {
            address,
            log,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads what comes until the other side closes, or falls silent.
    pub(super) async fn exchange(&self, bytes: &[u8]) -> String {
        self.exchange_parts(&[bytes]).await
    }

    /// The same with bytes that the other side reads in parts.
    async fn exchange_parts(&self, parts: &[&[u8]]) -> String {
        let mut stream = self.connect().await;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // The other side may refuse and close before it has read all.
            stream.write_all(part).await.ok();
        }
        let mut answer = Vec::new();
        let mut patience = Duration::from_secs(10);
        loop {
            let read = tokio::time::timeout(patience, stream.read_buf(&mut answer)).await;
            if !matches!(read, Ok(Ok(read)) if read > 0) {
                break;
            }
            patience = Duration::from_millis(300);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends bytes on a new connection and reads until the other side closes, which it must do by itself.
    pub(super) async fn exchange_to_the_end(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.ok();
        let mut answer = Vec::new();
        let patience = Duration::from_secs(10);
        let closed = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
        // Bytes that were not read make the close a reset.
        assert!(closed.is_ok(), "the connection is still open");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The statuses in an answer of one or several responses.
    pub(super) async fn statuses(&self, bytes: &[u8]) -> Vec<u16> {
        self.statuses_of_parts(&[bytes]).await
    }

    /// The same with bytes that the other side reads in parts.
    pub(super) async fn statuses_of_parts(&self, parts: &[&[u8]]) -> Vec<u16> {
        let answer = self.exchange_parts(parts).await;
        let lines = answer.split("HTTP/1.1 ").skip(1);
        lines
            .map(|rest| {
                rest.get(..3)
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(0)
            })
            .collect()
    }

    /// A request that has nothing wrong with it.
    pub(super) async fn serves(&self) -> bool {
        let fine = b"GET /fine HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";
        self.statuses(fine).await == [200]
    }

    /// Lines logged since the last call.
    pub(super) fn logged(&self) -> Vec<String> {
        self.log.take()
    }
}

/// What this thread logs, at the default level.
struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn capture() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        Self {
            lines,
            _guard: guard,
        }
    }

    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.lines.0.lock().unwrap());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}
