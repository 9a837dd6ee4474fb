//! Proxies as parts of this process: each Gateway has an engine, and for each of its tunnels a connector that hands it the
//! tunnel's requests.
//!
//! - `proxy`: the connectors of one Gateway.

mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{Connector, ConnectorOptions, RequestBody, RequestHandler};
use adapter_proxy::{Engine, Engines, ResponseBody};
use async_trait::async_trait;
use domain::capabilities::EdgeKind;
use domain::gateway::{FieldError, FieldErrorKind, RouteKind};
use domain::names::{ObjectKey, TunnelId};
use domain::ports::{PortError, Workloads};
use domain::route_table::Arrival;
use domain::secret::ConnectorToken;
use domain::workload::{EdgeConnections, WorkloadSpec, WorkloadStatus};
use tokio::sync::{Mutex, Notify};

use crate::disowned::Disowned;
use proxy::{Proxy, Running};

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
            let tunnels = self.start_all(gateway, &parts(token))?;
            let proxy = Proxy::new(token.clone(), tunnels);
            let status = proxy.status();
            running.insert(gateway.clone(), proxy);
            return Ok(status);
        };
        if proxy.has(token) || token.is_partial() {
            proxy.set_trailers_needed(self.needs_trailers(gateway));
        } else {
            let missing = parts(token).into_iter().filter(|one| !proxy.is_in(one));
            let missing: Vec<_> = missing.collect();
            let missing = self.start_all(gateway, &missing)?;
            proxy.take(token.clone(), missing);
        }
        let holds_token = proxy.connections().tokens.into_iter().eq([token.hash()]);
        Ok(WorkloadStatus {
            holds_token,
            ..proxy.status()
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
            proxy.set_trailers_needed(self.needs_trailers(gateway));
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

    fn start_all(
        &self,
        gateway: &ObjectKey,
        tokens: &[ConnectorToken],
    ) -> Result<Vec<Running>, PortError> {
        let tokens = tokens.iter();
        tokens.map(|token| self.start(gateway, token)).collect()
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

/// The token of each tunnel; what is none is refused as one.
fn parts(token: &ConnectorToken) -> Vec<ConnectorToken> {
    let tunnels: Vec<_> = token.tunnels().collect();
    match tunnels.is_empty() {
        true => vec![token.clone()],
        false => tunnels,
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
