//! Proxies as parts of this process: each Gateway has an engine, and a connector that hands it the
//! tunnel's requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adapter_connector::{Connector, ConnectorOptions, RequestBody, RequestHandler};
use adapter_proxy::{Engine, Engines, ResponseBody};
use async_trait::async_trait;
use domain::gateway::RouteKind;
use domain::names::{ObjectKey, TunnelId};
use domain::ports::{PortError, WorkloadStatus, Workloads};
use domain::route_table::Arrival;
use domain::secret::ConnectorToken;
use domain::workload::WorkloadSpec;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

/// Hands the requests of a tunnel to the engine of its Gateway.
struct ToEngine(Arc<Engine>);

impl RequestHandler for ToEngine {
    type Body = ResponseBody;

    async fn handle(
        &self,
        arrival: Arrival,
        request: http::Request<RequestBody>,
    ) -> http::Response<ResponseBody> {
        self.0.serve(arrival, request).await
    }
}

/// Runs proxies in this process.
pub struct InProcess {
    engines: Arc<Engines>,
    options: ConnectorOptions,
    running: Mutex<BTreeMap<ObjectKey, Running>>,
    /// Notified when a connection comes or goes, because statuses tell of it.
    changed: Arc<Notify>,
}

struct Running {
    token: ConnectorToken,
    connector: Arc<Connector>,
    watcher: JoinHandle<()>,
}

impl InProcess {
    /// No proxy runs yet.
    pub fn new(engines: Arc<Engines>, options: ConnectorOptions, changed: Arc<Notify>) -> Self {
        Self {
            engines,
            options,
            running: Mutex::default(),
            changed,
        }
    }

    /// Runs the connector of a Gateway with this token; an unchanged call changes nothing.
    pub async fn run(
        &self,
        gateway: &ObjectKey,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        let mut running = self.running.lock().await;
        if let Some(current) = running.get(gateway)
            && current.token.is_same(token)
        {
            let needed = self.needs_trailers(gateway);
            current.connector.set_trailers_needed(needed);
            return Ok(current.status());
        }
        // The new connections come before the old ones go.
        let started = self.start(gateway, token)?;
        let status = started.status();
        if let Some(replaced) = running.insert(gateway.clone(), started) {
            tokio::spawn(replaced.stop());
        }
        Ok(status)
    }

    /// Tells the connector of a Gateway what the table that is served now needs of it.
    pub async fn table_changed(&self, gateway: &ObjectKey) {
        if let Some(current) = self.running.lock().await.get(gateway) {
            let needed = self.needs_trailers(gateway);
            current.connector.set_trailers_needed(needed);
        }
    }

    /// Leaves every tunnel: unregisters, finishes what is in flight, closes.
    pub async fn shutdown(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        let leaving = running.into_values().map(Running::stop);
        futures_util::future::join_all(leaving).await;
    }

    /// What is missing until each proxy has a connection to the edge, a line for each that has none.
    pub async fn unconnected(&self) -> Vec<String> {
        let running = self.running.lock().await;
        let without = running
            .iter()
            .filter(|(_, proxy)| proxy.status().ready == 0);
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
        let handler = Arc::new(ToEngine(self.engines.get(gateway)));
        let connector = Connector::start(token, self.options.clone(), handler).map_err(|e| {
            PortError(format!(
                "the connector of Gateway {gateway} cannot start: {e}"
            ))
        })?;
        connector.set_trailers_needed(self.needs_trailers(gateway));
        let mut status = connector.status();
        let changed = self.changed.clone();
        let watcher = tokio::spawn(async move {
            while status.changed().await.is_ok() {
                changed.notify_one();
            }
        });
        Ok(Running {
            token: token.clone(),
            connector: Arc::new(connector),
            watcher,
        })
    }
}

impl Running {
    async fn stop(self) {
        self.connector.shutdown().await;
        self.watcher.abort();
    }

    fn status(&self) -> WorkloadStatus {
        let status = self.connector.status();
        let status = status.borrow();
        WorkloadStatus {
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
        _spec: &WorkloadSpec,
        _tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        self.run(gateway, token).await
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
            .map_or_else(WorkloadStatus::default, Running::status)
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        Ok(self.running.lock().await.keys().cloned().collect())
    }
}
