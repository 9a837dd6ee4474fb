//! A line over HTTP/2: the edge is the HTTP/2 client of a connection that it accepted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::switch::{Switch, SwitchedStream};
use super::{Control, RPC_BUFFER, RequestKind, SendFailure};
use crate::cloud::TunnelConfiguration;
use crate::edge::body::{self, Body, BoxError, full, incoming};
use crate::edge::headers::{
    self, PROXY_UPGRADE, ResponseSource, UPGRADE_CONFIGURATION, UPGRADE_CONTROL, UPGRADE_WEBSOCKET,
};
use crate::edge::registry::Confirmation;
use crate::edge::{Pings, Shared};

/// How long the connector may take for TLS, and then for opening the control stream.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);
/// An answer to a configuration is two short fields.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Bytes of answers on a connection that their visitors have not read yet: no limit, because what some do not read must
/// not keep others' answers back.
const UNREAD: u32 = i32::MAX.unsigned_abs();

/// Sends requests down the connection.
type Sender = SendRequest<Body>;

/// A connection over HTTP/2.
pub(in crate::edge) struct Http2Line {
    switch: Arc<Switch>,
    /// Taken away to close the connection: HTTP/2 does that as soon as there is neither a sender nor
    /// an open stream.
    sender: Mutex<Option<Sender>>,
}

impl Http2Line {
    pub(super) async fn establish(
        shared: &Shared,
        tcp: TcpStream,
    ) -> anyhow::Result<(Self, Control)> {
        let tls = timeout(HANDSHAKE_WITHIN, shared.tunnel_tls.accept(tcp));
        let tls = tls.await.context("TLS handshake timed out")??;
        let switch = Arc::<Switch>::default();
        let stream = SwitchedStream::new(tls, switch.clone());
        let (mut sender, driver) = builder(shared.pings)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(driver);
        let control = open_control(&mut sender).await?;
        let sender = Mutex::new(Some(sender));
        Ok((Self { switch, sender }, control))
    }

    fn sender(&self) -> Option<Sender> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.clone()
    }

    pub(super) async fn send(
        &self,
        kind: RequestKind,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, SendFailure> {
        if kind == RequestKind::WebSocket {
            let websocket = HeaderValue::from_static(UPGRADE_WEBSOCKET);
            request.headers_mut().insert(PROXY_UPGRADE, websocket);
        }
        let response = self.exchange(request).await?;
        from_origin(kind, response)
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Incoming>, SendFailure> {
        let Some(mut sender) = self.sender() else {
            return Err(SendFailure::Unsent(Box::new(request)));
        };
        let mut failure = match sender.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        if let Some(request) = failure.take_message() {
            return Err(SendFailure::Unsent(Box::new(request)));
        }
        if sender.is_closed() {
            return Err(SendFailure::ConnectionEnded);
        }
        Err(SendFailure::StreamFailed(failure.into_error().into()))
    }

    pub(super) async fn configure(
        &self,
        configuration: &TunnelConfiguration,
    ) -> Result<Confirmation, BoxError> {
        let document = json!({
            "version": configuration.version,
            "config": configuration.document,
        });
        let request = Request::put("https://h2.cftunnel.com/")
            .header(PROXY_UPGRADE, UPGRADE_CONFIGURATION)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(full(document.to_string()))?;
        let response = match self.exchange(request).await {
            Ok(response) => response,
            Err(SendFailure::StreamFailed(error)) => return Err(error),
            Err(_) => return Err("the connection has ended".into()),
        };
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()).into());
        }
        confirmation(response.into_body()).await
    }

    pub(super) fn close(&self) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.take();
    }

    pub(super) fn cut(&self) {
        self.switch.cut();
    }

    pub(super) fn freeze(&self) {
        self.switch.freeze();
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.switch.is_frozen()
    }

    pub(super) async fn ended(&self) {
        self.switch.released().await;
    }
}

fn builder(pings: Pings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(UNREAD)
        .max_frame_size(64 << 10)
        .max_header_list_size(1 << 20)
        .max_send_buf_size(256 << 10)
        .initial_max_send_streams(1_000)
        .max_concurrent_reset_streams(10_000)
        .keep_alive_interval(pings.interval)
        .keep_alive_timeout(pings.answer_within)
        .keep_alive_while_idle(true);
    builder
}

/// The control stream is a request of the edge whose body and answer both stay open.
async fn open_control(sender: &mut Sender) -> anyhow::Result<Control> {
    let (ours, io) = tokio::io::duplex(RPC_BUFFER);
    let (from_server, to_server) = tokio::io::split(ours);
    let request = Request::post("https://h2.cftunnel.com/")
        .header(PROXY_UPGRADE, UPGRADE_CONTROL)
        .body(body::from_reader(from_server))?;
    let opened = timeout(HANDSHAKE_WITHIN, sender.send_request(request));
    let response = opened.await.context("control stream timed out")??;
    anyhow::ensure!(
        response.status() == StatusCode::OK,
        "control stream answered {}",
        response.status()
    );
    Ok(Control {
        io,
        from_connector: incoming(response.into_body()),
        to_server,
    })
}

/// Reads what the connector says of the origin's answer.
fn from_origin(
    kind: RequestKind,
    response: Response<Incoming>,
) -> Result<Response<Body>, SendFailure> {
    let (mut head, body) = response.into_parts();
    match headers::response_source(&head.headers).map_err(SendFailure::Malformed)? {
        ResponseSource::Origin => {}
        ResponseSource::Connector => return Err(SendFailure::OriginUnreachable),
    }
    head.headers = headers::origin_headers(&head.headers).map_err(SendFailure::Malformed)?;
    if kind == RequestKind::WebSocket && websocket_agreed(head.status, &head.headers) {
        head.status = StatusCode::SWITCHING_PROTOCOLS;
    }
    Ok(Response::from_parts(head, incoming(body)))
}

/// HTTP/2 has no 101: over the tunnel, 200 stands for it. An origin that answers a plain 200 lacks
/// the accepting header (RFC 6455, section 4.2.2).
fn websocket_agreed(status: StatusCode, origin: &HeaderMap) -> bool {
    status == StatusCode::OK && origin.contains_key(SEC_WEBSOCKET_ACCEPT)
}

/// The connector's answer to a configuration. `err` is whatever its JSON encoder made of an error:
/// with cloudflared an empty object.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "lastAppliedVersion")]
    last_applied_version: i32,
    #[serde(default)]
    err: Value,
}

async fn confirmation(body: Incoming) -> Result<Confirmation, BoxError> {
    let body = Limited::new(body, ANSWER_LIMIT).collect().await?;
    let answer: Answer = serde_json::from_slice(&body.to_bytes())?;
    Ok(Confirmation {
        version: answer.last_applied_version,
        error: (!answer.err.is_null()).then(|| answer.err.to_string()),
    })
}
