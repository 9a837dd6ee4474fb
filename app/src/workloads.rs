//! Proxies as parts of this process: each Gateway has an engine, and a connector that hands it the
//! tunnel's requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{
    Connector, ConnectorOptions, ConnectorStatus, RequestBody, RequestHandler, TransportKind,
};
use adapter_proxy::{Engine, Engines, ResponseBody};
use async_trait::async_trait;
use domain::capabilities::EdgeKind;
use domain::gateway::{FieldError, FieldErrorKind, RouteKind};
use domain::names::{ObjectKey, TunnelId};
use domain::ports::{PortError, Workloads};
use domain::route_table::Arrival;
use domain::secret::{ConnectorToken, TokenHash};
use domain::workload::{ConnectedReplica, EdgeConnections, WorkloadSpec, WorkloadStatus};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::disowned::Disowned;

/// How long a proxy that joins another tunnel stays in the former one besides: its records in the other account are
/// made once it serves there, and until then visitors come by the former tunnel.
const BOTH_TUNNELS: Duration = Duration::from_secs(60);

/// Hands the requests of a tunnel to the engine of its Gateway.
struct ToEngine {
    engine: Arc<Engine>,
    edge: EdgeKind,
}

impl RequestHandler for ToEngine {
    type Body = ResponseBody;

    async fn handle(
        &self,
        arrival: Arrival,
        request: http::Request<RequestBody>,
    ) -> http::Response<ResponseBody> {
        self.engine.serve(arrival, request).await
    }

    fn edge(&self) -> EdgeKind {
        self.edge
    }

    fn patience(&self) -> Duration {
        self.engine.patience()
    }
}

/// Runs proxies in this process.
pub struct InProcess {
    engines: Arc<Engines>,
    options: ConnectorOptions,
    running: Mutex<BTreeMap<ObjectKey, Proxy>>,
    /// Notified when a connection comes or goes, because statuses show it.
    changed: Arc<Notify>,
    /// Notified when the edge knows a tunnel no more.
    disowned: Arc<Disowned>,
}

/// The proxy of one Gateway.
struct Proxy {
    current: Running,
    /// The status of the current connector. Those that it replaced wait for its connections; they wait no
    /// longer when this is dropped.
    statuses: watch::Sender<StatusReceiver>,
    /// Those that were replaced, each with its token, as long as they may have connections.
    before: Vec<(TokenHash, StatusReceiver)>,
    /// Those that were replaced, until they have left.
    replaced: TaskTracker,
    /// What of the parameters has no effect here; `None` until it was asked for by them.
    parameters: Option<Vec<FieldError>>,
    /// Whether it is no Gateway's any more.
    is_released: bool,
}

/// The status of one connector.
type StatusReceiver = watch::Receiver<ConnectorStatus>;

/// A connector with its token.
struct Running {
    token: ConnectorToken,
    connector: Arc<Connector>,
    watcher: JoinHandle<()>,
}

impl InProcess {
    /// No proxy runs yet.
    pub fn new(
        engines: Arc<Engines>,
        options: ConnectorOptions,
        changed: Arc<Notify>,
        disowned: Arc<Disowned>,
    ) -> Self {
        Self {
            engines,
            options,
            running: Mutex::default(),
            changed,
            disowned,
        }
    }

    /// Runs the connector of a Gateway with this token; an unchanged call changes nothing.
    pub async fn run(
        &self,
        gateway: &ObjectKey,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        let mut running = self.running.lock().await;
        let Some(proxy) = running.get_mut(gateway) else {
            let proxy = Proxy::new(self.start(gateway, token)?);
            let status = proxy.current.status();
            running.insert(gateway.clone(), proxy);
            return Ok(status);
        };
        if proxy.current.token.is_same(token) {
            let needed = self.needs_trailers(gateway);
            proxy.current.connector.set_trailers_needed(needed);
        } else {
            proxy.replace(self.start(gateway, token)?);
        }
        let holds_token = proxy.connections().tokens.into_iter().eq([token.hash()]);
        Ok(WorkloadStatus {
            holds_token,
            ..proxy.current.status()
        })
    }

    /// Connections of the proxy of a Gateway to the edge.
    pub async fn connections(&self, gateway: &ObjectKey) -> EdgeConnections {
        let mut running = self.running.lock().await;
        let proxy = running.get_mut(gateway);
        proxy.map(Proxy::connections).unwrap_or_default()
    }

    /// Tells the connector of a Gateway what the table that is served now needs of it.
    pub async fn table_changed(&self, gateway: &ObjectKey) {
        if let Some(proxy) = self.running.lock().await.get(gateway) {
            let needed = self.needs_trailers(gateway);
            proxy.current.connector.set_trailers_needed(needed);
        }
    }

    /// Leaves every tunnel: unregisters, finishes what is in flight, closes.
    pub async fn shutdown(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        let leaving = running.into_values().map(Proxy::stop);
        futures_util::future::join_all(leaving).await;
    }

    /// What is missing until each proxy has a connection to the edge, a line for each that has none.
    pub async fn unconnected(&self) -> Vec<String> {
        let running = self.running.lock().await;
        let without = running
            .iter()
            .filter(|(_, proxy)| proxy.current.status().ready == 0);
        without
            .map(|(gateway, _)| format!("Gateway {gateway} has no connection to the edge"))
            .collect()
    }

    /// Whether any route of a Gateway is gRPC, whose statuses are trailers.
    fn needs_trailers(&self, gateway: &ObjectKey) -> bool {
        self.engines.get(gateway).table().is_some_and(|table| {
            let mut routes = table.listeners.iter().flat_map(|listener| &listener.routes);
            routes.any(|route| route.kind == RouteKind::Grpc)
        })
    }

    fn start(&self, gateway: &ObjectKey, token: &ConnectorToken) -> Result<Running, PortError> {
        let handler = Arc::new(ToEngine {
            engine: self.engines.get(gateway),
            edge: self.options.edge_kind,
        });
        let connector = Connector::start(token, self.options.clone(), handler).map_err(|e| {
            PortError::unavailable(format!(
                "the connector of Gateway {gateway} cannot start: {e}"
            ))
        })?;
        connector.set_trailers_needed(self.needs_trailers(gateway));
        let mut status = connector.status();
        let (changed, disowned) = (self.changed.clone(), self.disowned.clone());
        let gateway = gateway.clone();
        let watcher = tokio::spawn(async move {
            while status.changed().await.is_ok() {
                changed.notify_one();
                if status.borrow_and_update().is_disowned() {
                    disowned.tell(&gateway);
                }
            }
        });
        Ok(Running {
            token: token.clone(),
            connector: Arc::new(connector),
            watcher,
        })
    }
}

/// There is one proxy and no pod, and its settings are those of the program.
fn without_effect(spec: &WorkloadSpec) -> Vec<FieldError> {
    let fields = spec.fields_of_pods().into_iter();
    let told = fields.map(|field| FieldError {
        field: format!("spec.tunnel.{field}"),
        kind: FieldErrorKind::Unsupported,
        message: "Forbidden: without Kubernetes there are no pods, and one proxy with the settings of the program serves; remove it".to_owned(),
    });
    told.collect()
}

impl Proxy {
    fn status(&self) -> WorkloadStatus {
        WorkloadStatus {
            parameters: self.parameters.clone(),
            ..self.current.status()
        }
    }

    fn new(current: Running) -> Self {
        Self {
            statuses: watch::Sender::new(current.connector.status()),
            current,
            before: Vec::new(),
            replaced: TaskTracker::new(),
            parameters: None,
            is_released: false,
        }
    }

    /// Those to its tunnel.
    fn connections(&mut self) -> EdgeConnections {
        let has_connection = |status: &StatusReceiver| status.borrow().registered() > 0;
        // One that begins to leave gets no further connection.
        self.before.retain(|(_, status)| has_connection(status));
        let current = (self.current.token.hash(), self.current.connector.status());
        let mut connections = EdgeConnections::default();
        let tunnel = self.current.tunnel();
        let connectors = self.before.iter().chain([&current]);
        let connectors = connectors.map(|(token, status)| (token, status.borrow()));
        for (token, status) in
            connectors.filter(|(_, status)| status.registered() > 0 && status.tunnel == tunnel)
        {
            connections.tokens.insert(*token);
            connections.http2 += over(&status, TransportKind::Http2);
            connections.quic += over(&status, TransportKind::Quic);
        }
        connections
    }

    /// Makes another connector the current one. The connections of the one before go when the new ones are there:
    /// the edge may refuse the new token. One that has no connection itself is not worth waiting with.
    fn replace(&mut self, new: Running) {
        self.statuses.send_replace(new.connector.status());
        let old = std::mem::replace(&mut self.current, new);
        self.before.push((old.token.hash(), old.connector.status()));
        let serves = old.status().ready > 0;
        let moves = old.tunnel() != self.current.tunnel();
        let mut statuses = self.statuses.subscribe();
        self.replaced.spawn(async move {
            if serves {
                connected(statuses.clone()).await;
            }
            if serves && moves {
                // What the edge says of the former tunnel counts no more.
                old.watcher.abort();
                let stopped = async { while statuses.changed().await.is_ok() {} };
                let _ = tokio::time::timeout(BOTH_TUNNELS, stopped).await;
            }
            old.stop().await;
        });
    }

    /// Returns when the current connector and all before it have left.
    async fn stop(self) {
        drop(self.statuses);
        self.replaced.close();
        tokio::join!(self.current.stop(), self.replaced.wait());
    }
}

fn over(status: &ConnectorStatus, transport: TransportKind) -> u32 {
    u32::try_from(status.registered_over(transport)).unwrap_or(u32::MAX)
}

/// Returns when the connector whose status is sent has a connection, or when no status will
/// be sent any more.
async fn connected(mut statuses: watch::Receiver<StatusReceiver>) {
    loop {
        let mut status = statuses.borrow_and_update().clone();
        let registered = async {
            // A connector that is gone gets no connection; another one may follow.
            if status.wait_for(|now| now.registered() > 0).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = registered => return,
            changed = statuses.changed() => if changed.is_err() { return },
        }
    }
}

impl Running {
    async fn stop(self) {
        self.connector.shutdown().await;
        self.watcher.abort();
    }

    fn tunnel(&self) -> TunnelId {
        self.connector.status().borrow().tunnel
    }

    fn status(&self) -> WorkloadStatus {
        let status = self.connector.status();
        let status = status.borrow();
        let connections = EdgeConnections {
            http2: over(&status, TransportKind::Http2),
            quic: over(&status, TransportKind::Quic),
            ..EdgeConnections::default()
        };
        let connector = ConnectedReplica::of(&status.connector_id.to_string(), &connections);
        WorkloadStatus {
            connectors: connector.into_iter().collect(),
            ready: u32::from(status.registered() > 0),
            problems: status.problems(),
            ..WorkloadStatus::default()
        }
    }
}

#[async_trait]
impl Workloads for InProcess {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        _tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        self.run(gateway, token).await?;
        if let Some(proxy) = self.running.lock().await.get_mut(gateway) {
            proxy.parameters = Some(without_effect(spec));
            proxy.is_released = false;
        }
        Ok(self.status(gateway).await)
    }

    /// It runs until the program ends.
    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        if let Some(proxy) = self.running.lock().await.get_mut(gateway) {
            proxy.is_released = true;
        }
        Ok(())
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let stopped = self.running.lock().await.remove(gateway);
        if let Some(stopped) = stopped {
            stopped.stop().await;
        }
        Ok(())
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        self.running
            .lock()
            .await
            .get(gateway)
            .map_or_else(WorkloadStatus::default, Proxy::status)
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let running = self.running.lock().await;
        let of_gateways = running.iter().filter(|(_, proxy)| !proxy.is_released);
        Ok(of_gateways.map(|(gateway, _)| gateway.clone()).collect())
    }
}
