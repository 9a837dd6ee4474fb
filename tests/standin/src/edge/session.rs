//! One accepted tunnel connection, from the TLS handshake to its end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::body::{self, Body};
use super::control::{Accepted, ControlStream, RegistrationRequest};
use super::headers::{PROXY_UPGRADE, UPGRADE_CONTROL};
use super::line::{Line, Switch};
use super::registry::{Connection, Duplicate, Phase, Sender};
use super::{Pings, Shared, configuration};
use crate::cloud::{ConnectionRecord, RegistrationRefusal};

/// How long the connector may take for TLS and for opening the control stream.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);
/// Time for the last RPC answer to reach the connector before its connection is closed.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Time for an orderly close, before the connection is cut.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// RPC messages in each direction that nobody has read yet.
const CONTROL_BUFFER: usize = 64 * 1024;

/// One accepted connection.
pub(super) struct Session {
    shared: Arc<Shared>,
    edge_address: SocketAddr,
    peer: SocketAddr,
    switch: Arc<Switch>,
    stage: Mutex<Stage>,
    leaving: CancellationToken,
}

/// How far the conversation is.
enum Stage {
    Open(Sender),
    Registered {
        connection: Arc<Connection>,
        _configuring: Option<AbortOnDropHandle<()>>,
    },
    Over,
}

/// Serves one accepted connection until it ends or `stop` asks for its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    tcp: TcpStream,
    peer: SocketAddr,
    edge_address: SocketAddr,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let tls = timeout(HANDSHAKE_WITHIN, shared.tunnel_tls.accept(tcp));
    let tls = tls.await.context("TLS handshake timed out")??;
    let switch = Arc::<Switch>::default();
    let line = Line::new(tls, switch.clone());
    let (sender, driver) = http2(shared.pings).handshake(TokioIo::new(line)).await?;
    tokio::spawn(driver);
    let session = Arc::new(Session {
        shared,
        edge_address,
        peer,
        switch: switch.clone(),
        stage: Mutex::new(Stage::Open(sender.clone())),
        leaving: CancellationToken::new(),
    });
    let outcome = tokio::select! {
        outcome = session.converse(sender) => outcome,
        () = switch.released() => Ok(()),
        () = stop.cancelled() => {
            switch.cut();
            Ok(())
        }
    };
    session.end();
    let closed = timeout(CLOSE_WITHIN, switch.released()).await.is_ok();
    if !closed && !switch.is_frozen() {
        switch.cut();
    }
    if switch.is_frozen() {
        // Nobody closes a frozen line but a test or the end of the edge.
        stop.cancelled().await;
        switch.cut();
    }
    outcome
}

/// The edge is the HTTP/2 client of a connection that it accepted.
fn http2(pings: Pings) -> hyper::client::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(64 << 20)
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

impl Session {
    /// Opens the control stream and carries it until the connector has left and is idle.
    async fn converse(self: &Arc<Self>, mut sender: Sender) -> anyhow::Result<()> {
        let (ours, io) = tokio::io::duplex(CONTROL_BUFFER);
        let (reader, mut writer) = tokio::io::split(ours);
        let opened = sender.send_request(control_request(body::from_reader(reader))?);
        let opened = timeout(HANDSHAKE_WITHIN, opened);
        let response = opened.await.context("control stream timed out")??;
        anyhow::ensure!(
            response.status() == http::StatusCode::OK,
            "control stream answered {}",
            response.status()
        );
        drop(sender);
        let session = self.clone();
        self.shared
            .control
            .send(ControlStream { io, session })
            .ok()
            .context("the edge is ending")?;
        tokio::select! {
            carried = body::write_to(response.into_body(), &mut writer) => {
                if let Err(error) = carried {
                    tracing::debug!(%error, "control stream");
                }
                self.leave("control stream ended");
                self.farewell().await;
            }
            () = self.farewell() => {}
        }
        // The RPC server ends with its input, and the control stream with the RPC server.
        writer.shutdown().await?;
        Ok(())
    }

    /// Waits until the connector leaves, its requests are answered and the last RPC answer is out.
    async fn farewell(&self) {
        self.leaving.cancelled().await;
        if let Some(connection) = self.connection() {
            connection.idle().await;
        }
        tokio::time::sleep(LAST_WORDS).await;
    }

    /// Registers the connection, or says why not; after a refusal it is closed.
    pub(super) fn register(
        &self,
        request: &RegistrationRequest,
    ) -> Result<Accepted, RegistrationRefusal> {
        let outcome = self.try_register(request);
        let what = match &outcome {
            Ok(_) => format!("connection {} registered", request.index),
            Err(refusal) => format!("connection {} refused: {refusal}", request.index),
        };
        tracing::debug!(tunnel = %request.tunnel, connector = %request.connector, "{what}");
        self.shared
            .cloud
            .record_edge_event(Some(request.tunnel), what);
        if outcome.is_err() {
            self.leaving.cancel();
        }
        outcome
    }

    fn try_register(&self, request: &RegistrationRequest) -> Result<Accepted, RegistrationRefusal> {
        let mut stage = self.stage();
        let Stage::Open(sender) = &*stage else {
            return Err(duplicate());
        };
        if let Some(refusal) = self.shared.refusals.next() {
            return Err(refusal);
        }
        let cloud = &self.shared.cloud;
        let registration = cloud.authenticate(&request.account, request.tunnel, &request.secret)?;
        let connection = Arc::new(Connection::new(
            self.record(request),
            self.peer,
            self.edge_address,
            self.switch.clone(),
            sender.clone(),
        ));
        self.shared
            .registry
            .admit(connection.clone(), request.replace_existing)
            .map_err(|Duplicate| duplicate())?;
        cloud.connected(connection.record.clone());
        let accepted = Accepted {
            connection: connection.id(),
            location: self.shared.location.clone(),
            remotely_managed: registration.remotely_managed,
        };
        let configuring = registration.remotely_managed.then(|| {
            let keeping = configuration::keep_current(connection.clone(), cloud.clone());
            AbortOnDropHandle::new(self.shared.runtime.spawn(keeping))
        });
        if configuring.is_none() {
            connection.enter(Phase::Serving);
        }
        *stage = Stage::Registered {
            connection,
            _configuring: configuring,
        };
        Ok(accepted)
    }

    fn record(&self, request: &RegistrationRequest) -> ConnectionRecord {
        ConnectionRecord {
            connection: Uuid::new_v4(),
            tunnel: request.tunnel,
            connector: request.connector,
            index: request.index,
            colo: self.shared.location.clone(),
            client_version: request.client_version.clone(),
            arch: request.arch.clone(),
            features: request.features.clone(),
            origin_ip: self.peer.ip(),
            opened_at: Timestamp::now(),
        }
    }

    /// The connector goes: it gets no more requests, and when those that it has are answered, the
    /// edge closes the connection. cloudflared waits for that, up to its whole grace period.
    pub(super) fn leave(&self, why: &str) {
        if self.leaving.is_cancelled() {
            return;
        }
        if let Some(connection) = self.connection() {
            connection.enter(Phase::Draining);
            self.note(&connection, why);
        }
        self.leaving.cancel();
    }

    /// A connector that is configured locally says what it serves.
    pub(super) fn local_configuration(&self, document: &str) {
        let tunnel = self.connection().map(|c| c.record.tunnel);
        let what = format!("local configuration: {document}");
        self.shared.cloud.record_edge_event(tunnel, what);
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.stage() {
            Stage::Registered { connection, .. } => Some(connection.clone()),
            Stage::Open(_) | Stage::Over => None,
        }
    }

    /// Forgets the connection. Whoever registers now is too late.
    fn end(&self) {
        let stage = std::mem::replace(&mut *self.stage(), Stage::Over);
        if let Stage::Registered { connection, .. } = stage {
            connection.end();
            self.shared.registry.remove(&connection);
            self.shared.cloud.disconnected(connection.id());
            self.note(&connection, "ended");
        }
    }

    fn note(&self, connection: &Connection, what: &str) {
        let what = format!("connection {}: {what}", connection.record.index);
        tracing::debug!(tunnel = %connection.record.tunnel, connector = %connection.record.connector, "{what}");
        self.shared
            .cloud
            .record_edge_event(Some(connection.record.tunnel), what);
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cloudflare's cause for a connector that is known already; connectors retry it elsewhere.
fn duplicate() -> RegistrationRefusal {
    RegistrationRefusal {
        cause: "EDUPCONN".to_owned(),
        retry_after: Duration::from_secs(1),
        should_retry: true,
    }
}

fn control_request(body: Body) -> http::Result<Request<Body>> {
    Request::post("https://h2.cftunnel.com/")
        .header(PROXY_UPGRADE, UPGRADE_CONTROL)
        .body(body)
}
