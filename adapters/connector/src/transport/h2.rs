//! HTTP/2 over TLS: the connector dials, and is the HTTP/2 server on what it dialled.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::body::RequestBody;
use crate::connection::{ConnectionAttempt, ConnectionError, Ended, Membership};
use crate::exchange::{self, AnswerBody, Upgrade};
use crate::handler::{RequestHandler, stalls_of};
use crate::stalls::{CONNECTION_WINDOW, STREAM_WINDOW, Stalls};
use crate::wire::headers::StreamKind;

/// Bytes of a request's headers at most; beyond it the request is answered with 431, beyond four times as much
/// the connection ends. The edge takes 128 KB from a client.
const MAX_HEADERS: u32 = 1 << 20;
/// Bytes of an answer that may wait to be sent. There are as many of these as visitors that do not read.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that the edge may open and reset before we have looked at them. Beyond it the connection ends with
/// ENHANCE_YOUR_CALM, which costs every request on it, so one client that gives up thousands of requests at
/// once must stay below it; each is a few hundred bytes.
const MAX_UNSEEN_RESETS: usize = 16 << 10;
/// Bytes of a pushed configuration at most.
const MAX_CONFIGURATION: usize = 16 << 20;
/// Bytes of the control stream that may wait to be sent.
const CONTROL_BUFFER: usize = 64 << 10;

/// Dials the address of an attempt and serves, as [`super::serve`] says.
pub(super) async fn serve<H: RequestHandler>(
    handler: Arc<H>,
    attempt: Arc<ConnectionAttempt>,
) -> Ended {
    let stream = match dial(&attempt.membership, attempt.edge).await {
        Ok(stream) => stream,
        Err(error) => return Ended::Lost(error),
    };
    attempt.membership.addresses.answered(attempt.edge);
    attempt.membership.chooser.tcp_reached();
    let stalls = stalls_of(&handler);
    let (streams, control) = Streams::new(handler, Arc::clone(&attempt.membership));
    let service = hyper::service::service_fn(move |request| {
        let streams = Arc::clone(&streams);
        async move { Ok::<_, Infallible>(streams.answer(request).await) }
    });
    let connection = builder(attempt.membership.options.silence, stalls)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = Box::pin(connection);
    let ended = tokio::select! {
        result = connection.as_mut() => return Ended::Lost(match result {
            Ok(()) => ConnectionError::Closed,
            Err(error) => error.into(),
        }),
        ended = control_stream(&attempt, control) => ended,
    };
    connection.as_mut().graceful_shutdown();
    match ended {
        Ended::Refused(_) => {}
        Ended::Left | Ended::Moved(_) | Ended::Lost(_) => {
            finish(&attempt.membership, connection);
        }
    }
    ended
}

/// Connects to an edge address, which proves who it is.
pub(crate) async fn dial(
    membership: &Membership,
    edge: SocketAddr,
) -> Result<TlsStream<TcpStream>, ConnectionError> {
    let dialling = async {
        let tcp = TcpStream::connect(edge)
            .await
            .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
            .map_err(|source| ConnectionError::Dial { edge, source })?;
        TlsConnector::from(Arc::clone(&membership.tls))
            .connect(membership.edge_name.clone(), tcp)
            .await
            .map_err(|source| ConnectionError::Tls { edge, source })
    };
    tokio::time::timeout(membership.options.dial_timeout, dialling)
        .await
        .map_err(|_| ConnectionError::DialTimeout(edge))?
}

/// Serves the requests of an edge that sends these bytes after its preface and reads no answer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn serve_bytes<H: RequestHandler>(
    handler: Arc<H>,
    membership: Arc<Membership>,
    bytes: &[u8],
) {
    use tokio::io::AsyncWriteExt;
    let (edge, ours) = tokio::io::duplex(CONTROL_BUFFER);
    let (mut heard, mut says) = tokio::io::split(edge);
    let silence = membership.options.silence;
    let stalls = stalls_of(&handler);
    let (streams, _control) = Streams::new(handler, membership);
    let service = hyper::service::service_fn(move |request| {
        let streams = Arc::clone(&streams);
        async move { Ok::<_, Infallible>(streams.answer(request).await) }
    });
    let serving = builder(silence, stalls).serve_connection(TokioIo::new(ours), service);
    let saying = async {
        // An error says that the connection has ended, and with it what there is to see.
        let _ = says.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let _ = says.write_all(bytes).await;
        let _ = says.shutdown().await;
    };
    let hearing = async { tokio::io::copy(&mut heard, &mut tokio::io::sink()).await };
    let _ = tokio::join!(serving, saying, hearing);
}

/// hyper's defaults protect a server on the open internet from its clients. The one client here is the
/// edge, which multiplexes the requests of many: a limit on a connection that ends it would let any client end
/// the requests of all others. So malformed requests may come in any number.
fn builder(silence: Duration, stalls: Arc<Stalls>) -> http2::Builder<Requests> {
    let mut builder = http2::Builder::new(Requests(stalls));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::MAX)
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(None)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(silence / 2)
        .keep_alive_timeout(silence / 2)
        .auto_date_header(false);
    builder
}

/// Runs each request in a task, until it is given up.
#[derive(Clone)]
struct Requests(Arc<Stalls>);

impl<F> hyper::rt::Executor<F> for Requests
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        tokio::spawn(self.0.run(request));
    }
}

/// Waits for the control stream and runs it.
async fn control_stream(
    attempt: &ConnectionAttempt,
    opened: oneshot::Receiver<ControlStream>,
) -> Ended {
    let membership = &attempt.membership;
    let limit = membership.options.rpc_timeout;
    tokio::select! {
        opened = tokio::time::timeout(limit, opened) => match opened {
            Ok(Ok(stream)) => attempt.control(stream).await,
            _ => Ended::Lost(ConnectionError::NoControlStream),
        },
        () = membership.leave.cancelled() => Ended::Left,
    }
}

/// Lets what is in flight on a connection end, for as long as it may take.
fn finish<F>(membership: &Arc<Membership>, connection: Pin<Box<F>>)
where
    F: Future + Send + 'static,
{
    let grace = membership.options.grace;
    let abort = membership.abort.clone();
    membership.tasks.spawn(async move {
        tokio::select! {
            _ = tokio::time::timeout(grace, connection) => {}
            () = abort.cancelled() => {}
        }
    });
}

/// What the edge opens on a connection.
struct Streams<H> {
    handler: Arc<H>,
    membership: Arc<Membership>,
    /// Where the control stream goes; the first one only.
    control: Mutex<Option<oneshot::Sender<ControlStream>>>,
}

type Answer<H> = Response<AnswerBody<<H as RequestHandler>::Body>>;

impl<H: RequestHandler> Streams<H> {
    /// With where the control stream comes once the edge has opened it.
    fn new(
        handler: Arc<H>,
        membership: Arc<Membership>,
    ) -> (Arc<Self>, oneshot::Receiver<ControlStream>) {
        let (opened, control) = oneshot::channel();
        let streams = Self {
            handler,
            membership,
            control: Mutex::new(Some(opened)),
        };
        (Arc::new(streams), control)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer<H> {
        match StreamKind::of(request.headers()) {
            StreamKind::Control => self.open_control(request.into_body()),
            StreamKind::Configuration => self.note_configuration(request.into_body()).await,
            StreamKind::Tcp => {
                tracing::warn!(
                    "the edge opened a stream of a private network, which is not served"
                );
                exchange::refusal(StatusCode::BAD_GATEWAY)
            }
            StreamKind::WebSocket => self.handle(Upgrade::WebSocket, request).await,
            StreamKind::Http => self.handle(Upgrade::None, request).await,
        }
    }

    async fn handle(&self, upgrade: Upgrade, request: Request<Incoming>) -> Answer<H> {
        self.membership.options.metrics.requests.inc();
        let connector_id = &self.membership.connector_id_header;
        let request = request.map(RequestBody::http2);
        exchange::answer(&*self.handler, connector_id, upgrade, request).await
    }

    fn open_control(&self, body: Incoming) -> Answer<H> {
        let waiting = self.control.lock().take();
        let (ours, sent) = tokio::io::duplex(CONTROL_BUFFER);
        let stream = ControlStream::new(body, ours);
        match waiting.map(|waiting| waiting.send(stream)) {
            Some(Ok(())) => {
                let frames = ReaderStream::new(sent).map_ok(Frame::data);
                Response::new(AnswerBody::own(StreamBody::new(frames)))
            }
            _ => {
                tracing::warn!("the edge opened a second control stream");
                exchange::refusal(StatusCode::BAD_GATEWAY)
            }
        }
    }

    async fn note_configuration(&self, body: Incoming) -> Answer<H> {
        let Ok(body) = Limited::new(body, MAX_CONFIGURATION).collect().await else {
            tracing::warn!("the edge pushed a configuration that is too long or broke off");
            return exchange::refusal(StatusCode::BAD_GATEWAY);
        };
        let text = match serde_json::from_slice::<Push>(&body.to_bytes()) {
            Ok(push) => {
                let version = self.membership.configuration.pushed(push.version);
                tracing::debug!(version, "configuration pushed");
                format!(r#"{{"lastAppliedVersion":{version},"err":null}}"#)
            }
            Err(_) => {
                tracing::warn!("the edge pushed a configuration that cannot be read");
                let version = self.membership.configuration.newest();
                format!(r#"{{"lastAppliedVersion":{version},"err":{{}}}}"#)
            }
        };
        Response::new(AnswerBody::text(text))
    }
}

/// A push of remote configuration. What is in it is for connectors that route by it.
#[derive(Deserialize)]
struct Push {
    version: i32,
}

/// The two bodies of the control stream's request as one byte stream.
struct ControlStream {
    from_edge: Pin<Box<dyn AsyncRead + Send>>,
    to_edge: DuplexStream,
}

impl ControlStream {
    fn new(body: Incoming, to_edge: DuplexStream) -> Self {
        let frames = BodyDataStream::new(body).map(|data| data.map_err(io::Error::other));
        Self {
            from_edge: Box::pin(StreamReader::new(frames)),
            to_edge,
        }
    }
}

impl AsyncRead for ControlStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        self.from_edge.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut self.to_edge).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.to_edge).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.to_edge).poll_shutdown(cx)
    }
}
