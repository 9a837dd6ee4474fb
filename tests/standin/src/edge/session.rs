//! One accepted tunnel connection, from the handshake to its end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::control::{Accepted, ControlStream, RegistrationRequest, Rpc};
use super::line::{Arriving, Control, Line};
use super::registry::{Connection, Duplicate, Phase};
use super::{Shared, body, configuration};
use crate::cloud::{ConnectionRecord, RegistrationRefusal};

/// Time for the last RPC answer to reach the connector before its connection is closed.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Time for an orderly close, before the connection is cut.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// One accepted connection.
pub(super) struct Session {
    shared: Arc<Shared>,
    edge_address: SocketAddr,
    peer: SocketAddr,
    line: Arc<Line>,
    stage: Mutex<Stage>,
    leaving: CancellationToken,
}

/// How far the conversation is.
enum Stage {
    Open,
    Registered {
        connection: Arc<Connection>,
        _configuring: Option<AbortOnDropHandle<()>>,
    },
    Over,
}

/// Where a connection was accepted, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) edge_address: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// Serves one accepted connection until it ends or `stop` asks for its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    arriving: Arriving,
    ends: Ends,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (line, control) = tokio::select! {
        established = Line::establish(&shared, arriving) => established?,
        () = stop.cancelled() => return Ok(()),
    };
    let session = Arc::new(Session {
        shared,
        edge_address: ends.edge_address,
        peer: ends.peer,
        line: line.clone(),
        stage: Mutex::new(Stage::Open),
        leaving: CancellationToken::new(),
    });
    let outcome = tokio::select! {
        outcome = session.converse(control) => outcome,
        () = line.ended() => Ok(()),
        () = stop.cancelled() => {
            line.cut();
            Ok(())
        }
    };
    session.end();
    let ended = timeout(CLOSE_WITHIN, line.ended()).await.is_ok();
    if !ended && !line.is_frozen() {
        line.cut();
    }
    if line.is_frozen() {
        // Nobody closes a frozen line but a test or the end of the edge.
        stop.cancelled().await;
        line.cut();
    }
    outcome
}

impl Session {
    /// Carries the control stream until the connector has left and is idle.
    async fn converse(self: &Arc<Self>, control: Control) -> anyhow::Result<()> {
        let Control {
            io,
            from_connector,
            mut to_server,
        } = control;
        let session = self.clone();
        let stream = ControlStream { io, session };
        let served = self.shared.rpc.send(Rpc::Serve(stream));
        served.ok().context("the edge is ending")?;
        tokio::select! {
            carried = body::write_to(from_connector, &mut to_server) => {
                if let Err(error) = carried {
                    tracing::debug!(%error, "control stream");
                }
                self.leave("control stream ended");
                self.farewell().await;
            }
            () = self.farewell() => {}
        }
        // The RPC server ends with its input, and the control stream with the RPC server.
        to_server.shutdown().await?;
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
        if !matches!(*stage, Stage::Open) {
            return Err(duplicate());
        }
        if let Some(refusal) = self.shared.refusals.next() {
            return Err(refusal);
        }
        let cloud = &self.shared.cloud;
        let registration = cloud.authenticate(&request.account, request.tunnel, &request.secret)?;
        let connection = Arc::new(Connection::new(
            self.record(request),
            self.peer,
            self.edge_address,
            self.line.clone(),
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
            Stage::Open | Stage::Over => None,
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
        self.line.close();
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
