//! `cfgw proxy`: one replica of a Gateway's data plane. It holds no Kubernetes permission: its routes come
//! from the controller, its tunnel's token from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{ConnectorOptions, Metrics as ConnectorMetrics};
use adapter_proxy::{Engines, Metrics};
use adapter_table_stream::{ClientOptions, TableClient};
use anyhow::Context;
use async_trait::async_trait;
use config::ProxySettings;
use domain::endpoint_policy::EndpointPolicy;
use domain::names::ObjectKey;
use domain::ports::{DataPlane, PortError, Workloads};
use domain::route_table::RouteTable;
use domain::secret::CertificatePair;
use domain::secret::ConnectorToken;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::connectors::connector_options;
use crate::disowned::Disowned;
use crate::engines;
use crate::workloads::InProcess;

/// How often the token's file is read, in case it was replaced.
const TOKEN_INTERVAL: Duration = Duration::from_secs(10);

/// `cfgw proxy`, running.
pub struct Proxy {
    stop: CancellationToken,
    tables: Arc<TableClient>,
    workloads: Arc<InProcess>,
    joining: JoinHandle<()>,
}

impl Proxy {
    /// Wires everything together and starts it. An error names the setting that cannot be used.
    pub async fn start(settings: &ProxySettings) -> anyhow::Result<Self> {
        let mut registry = Registry::with_prefix("cfgw");
        let changed = Arc::new(Notify::new());
        let engines = engines::open(
            &settings.requests,
            EndpointPolicy::Cluster,
            Metrics::register(&mut registry),
        )?;
        let options = ConnectorOptions {
            metrics: ConnectorMetrics::register(&mut registry),
            ..connector_options(&settings.tunnel)?
        };
        let disowned = Arc::new(Disowned::default());
        let workloads = Arc::new(InProcess::new(
            engines.clone(),
            options,
            changed.clone(),
            disowned.clone(),
        ));
        let tables = Arc::new(TableClient::start(
            client_options(settings)?,
            Arc::new(Announced {
                engines,
                changed: changed.clone(),
            }),
        ));
        let token_file = settings
            .token_file
            .clone()
            .context("token_file is not set")?;
        let membership = Membership {
            tables: tables.clone(),
            workloads: workloads.clone(),
            token_file,
            changed,
        };
        let stop = CancellationToken::new();
        tokio::spawn(tell_disowned(disowned, tables.clone(), stop.clone()));
        let ready = readiness(tables.clone(), workloads.clone());
        let listen = settings.admin.listen.get();
        let admin = admin::serve(listen, Arc::new(registry), ready, stop.clone()).await?;
        let joining = tokio::spawn(membership.keep(stop.clone()));
        tracing::info!(%admin, replica = %settings.replica, "proxy started");
        Ok(Self {
            stop,
            tables,
            workloads,
            joining,
        })
    }

    /// Leaves the tunnel, finishes what is in flight, stops.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.joining.abort();
        self.tables.set_ready(false);
        self.workloads.shutdown().await;
        self.tables.shutdown().await;
        tracing::info!("proxy stopped");
    }
}

fn client_options(settings: &ProxySettings) -> anyhow::Result<ClientOptions> {
    let controller = &settings.controller;
    let token_file = controller.token_file.clone();
    let ca_file = controller.ca_file.clone();
    Ok(ClientOptions {
        address: controller.address.as_str().to_owned(),
        token_file: token_file.context("controller.token_file is not set")?,
        ca_file: ca_file.context("controller.ca_file is not set")?,
        state_dir: settings.state_dir.clone(),
        replica: settings.replica.as_str().to_owned(),
    })
}

/// Hands tables to the engines and says that one came.
struct Announced {
    engines: Arc<Engines>,
    changed: Arc<Notify>,
}

#[async_trait]
impl DataPlane for Announced {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        self.engines.publish(table).await?;
        self.changed.notify_one();
        Ok(())
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.engines.withdraw(gateway).await
    }

    async fn show(
        &self,
        gateway: &ObjectKey,
        certificate: Option<Arc<CertificatePair>>,
    ) -> Result<(), PortError> {
        self.engines.show(gateway, certificate).await
    }
}

/// Keeps the replica in its Gateway's tunnel, once it has routes to serve there.
struct Membership {
    tables: Arc<TableClient>,
    workloads: Arc<InProcess>,
    token_file: PathBuf,
    changed: Arc<Notify>,
}

impl Membership {
    async fn keep(self, stop: CancellationToken) {
        let mut problem = None;
        loop {
            let now = self.join().await.err().map(|error| format!("{error:#}"));
            if let Some(new) = now.as_ref().filter(|_| now != problem) {
                tracing::warn!("the tunnel cannot be joined: {new}");
            }
            problem = now;
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(TOKEN_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Before the first table the edge would lead requests to nothing.
    async fn join(&self) -> anyhow::Result<()> {
        let Some(gateway) = self.tables.gateway().filter(|_| self.tables.has_table()) else {
            return Ok(());
        };
        let token = read_token(&self.token_file).await?;
        let status = self.workloads.run(&gateway, &token).await?;
        self.tables.set_ready(status.ready > 0);
        let connections = self.workloads.connections(&gateway).await;
        self.tables.set_connections(connections);
        Ok(())
    }
}

/// Passes on to the controller what the edge says of the tunnel.
async fn tell_disowned(disowned: Arc<Disowned>, tables: Arc<TableClient>, stop: CancellationToken) {
    while stop.run_until_cancelled(disowned.due()).await.is_some() {
        tables.tell_disowned();
    }
}

async fn read_token(file: &Path) -> anyhow::Result<ConnectorToken> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.with_context(|| format!("token_file {}", file.display()))?;
    Ok(ConnectorToken::new(text.trim()))
}

/// Ready with the full table and a connection to the edge.
fn readiness(tables: Arc<TableClient>, workloads: Arc<InProcess>) -> admin::Readiness {
    Arc::new(move || {
        let (tables, workloads) = (tables.clone(), workloads.clone());
        Box::pin(async move {
            let Some(gateway) = tables.gateway().filter(|_| tables.has_table()) else {
                return vec!["no routes have come from the controller yet".to_owned()];
            };
            let connected = workloads.status(&gateway).await.ready > 0;
            let missing = (!connected).then(|| "there is no connection to the edge".to_owned());
            missing.into_iter().collect()
        })
    })
}
