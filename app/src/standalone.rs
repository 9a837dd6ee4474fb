//! `cfgw standalone`: a folder of manifests in, a tunnel out, no Kubernetes.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter_connector::{ConnectorOptions, Metrics as ConnectorMetrics};
use adapter_manifests::ManifestFolder;
use adapter_proxy::{Engines, Limits, Metrics};
use config::StandaloneSettings;
use domain::gateway::CONTROLLER_NAME;
use domain::reconcile::{Ports, Reconciler};
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::connectors::connector_options;
use crate::edge;
use crate::passes::Passes;
use crate::system::AlwaysLeader;
use crate::workloads::InProcess;

/// A running standalone program.
pub struct Standalone {
    admin: SocketAddr,
    stop: CancellationToken,
    passes: JoinHandle<()>,
    workloads: Arc<InProcess>,
}

impl Standalone {
    /// Wires everything together and starts it. An error names the setting that cannot be used.
    pub async fn start(settings: &StandaloneSettings) -> anyhow::Result<Self> {
        let mut registry = Registry::with_prefix("cfgw");
        let folder = ManifestFolder::open(settings.manifests.clone(), settings.state_dir.clone())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let statuses = Arc::new(Notify::new());
        let engines = Arc::new(Engines::new(
            Limits::default(),
            Metrics::register(&mut registry),
        ));
        let options = ConnectorOptions {
            metrics: ConnectorMetrics::register(&mut registry),
            ..connector_options(&settings.tunnel)?
        };
        let workloads = Arc::new(InProcess::new(engines.clone(), options, statuses.clone()));
        let edge = edge::open(
            &settings.edge,
            &settings.cloudflare,
            &settings.installation,
            folder.clone(),
            folder.clone(),
            &mut registry,
        )?;
        let reconciler = Arc::new(Reconciler::new(
            Ports {
                cluster: folder.clone(),
                statuses: folder.clone(),
                hold: folder.clone(),
                leadership: Arc::new(AlwaysLeader),
                workloads: workloads.clone(),
                data_plane: engines,
                edge,
            },
            CONTROLLER_NAME,
        ));
        let stop = CancellationToken::new();
        let passes = Passes::new(
            reconciler,
            folder,
            statuses,
            Arc::default(),
            settings.resync_interval.get(),
        );
        let ready = readiness(passes.applied(), workloads.clone());
        let listen = settings.admin.listen.get();
        let admin = admin::serve(listen, Arc::new(registry), ready, stop.clone()).await?;
        let passes = tokio::spawn(passes.run(stop.clone()));
        tracing::info!(
            manifests = %settings.manifests.display(),
            state = %settings.state_dir.display(),
            %admin,
            "standalone started"
        );
        Ok(Self {
            admin,
            stop,
            passes,
            workloads,
        })
    }

    /// Where health, readiness and metrics are served.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Leaves the tunnels, finishes what is in flight, stops. What is at Cloudflare stays.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // A pass under way may wait for Cloudflare; nothing it does is lost when it ends here.
        self.passes.abort();
        self.workloads.shutdown().await;
        tracing::info!("standalone stopped");
    }
}

/// Ready once the edge was asked and every proxy has a connection to it.
fn readiness(applied: watch::Receiver<bool>, workloads: Arc<InProcess>) -> admin::Readiness {
    Arc::new(move || {
        let (applied, workloads) = (*applied.borrow(), workloads.clone());
        Box::pin(async move {
            let mut missing = workloads.unconnected().await;
            if !applied {
                missing.push("Cloudflare has not been asked yet".to_owned());
            }
            missing
        })
    })
}
