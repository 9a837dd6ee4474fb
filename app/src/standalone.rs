//! `cfgw standalone`: a folder of manifests in, a tunnel out, no Kubernetes.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter_connector::{ConnectorOptions, Metrics as ConnectorMetrics};
use adapter_manifests::{KeptOrphans, LoggedEvents, ManifestFolder, Rotations};
use adapter_proxy::{Engines, Metrics};
use async_trait::async_trait;
use config::StandaloneSettings;
use config::values::Backend;
use domain::attachment::GatewayDefaults;
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::CONTROLLER_NAME;
use domain::names::ObjectKey;
use domain::ports::{DataPlane, Entropy, PortError};
use domain::reconcile::{Ports, Reconciler};
use domain::route_table::RouteTable;
use domain::secret::CertificatePair;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::client_certificate::WithClientCertificates;
use crate::cluster_key;
use crate::connectors::{connector_options, edge_kind};
use crate::disowned::Disowned;
use crate::edge;
use crate::engines::{self, underscored_headers};
use crate::passes::Passes;
use crate::system::{AlwaysLeader, SystemClock, SystemEntropy};
use crate::workloads::InProcess;

/// `cfgw standalone`, running.
pub struct Standalone {
    admin: SocketAddr,
    stop: CancellationToken,
    passes: JoinHandle<()>,
    workloads: Arc<InProcess>,
}

impl Standalone {
    /// Wires everything together and starts it. An error names the setting that cannot be used.
    pub async fn start(settings: &StandaloneSettings) -> anyhow::Result<Self> {
        let name = settings.installation_name()?;
        let mut registry = Registry::with_prefix("cfgw");
        let folder = ManifestFolder::open(settings.manifests.clone(), settings.state_dir.clone())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let random = SystemEntropy::default().secret();
        let instance = adapter_manifests::instance_id(&settings.state_dir, random)?;
        let random = SystemEntropy::default().secret();
        let session_key = adapter_manifests::session_key(&settings.state_dir, random)?;
        let installation = edge::installation(name, instance)?;
        let statuses = Arc::new(Notify::new());
        let engines = engines::open(
            &settings.requests,
            EndpointPolicy::Standalone,
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
            statuses.clone(),
            disowned.clone(),
        ));
        let stop = CancellationToken::new();
        let backend = match settings.edge.backend {
            Backend::Direct => edge::Backend::Direct,
            Backend::Broker => edge::Backend::Broker {
                key: Box::new(cluster_key::in_folder(&settings.state_dir)?),
                attestor: None,
                stop: stop.clone(),
            },
        };
        let edge = edge::open(
            backend,
            &settings.edge,
            &settings.cloudflare,
            installation.clone(),
            folder.clone(),
            folder.clone(),
            &mut registry,
        )?;
        let reconciler = Reconciler::new(
            Ports {
                cluster: folder.clone(),
                statuses: folder.clone(),
                finalizer: folder.clone(),
                leadership: Arc::new(AlwaysLeader),
                workloads: workloads.clone(),
                data_plane: WithClientCertificates::new(
                    Arc::new(Served {
                        engines,
                        workloads: workloads.clone(),
                    }),
                    folder.clone(),
                ),
                edge,
                rotations: Arc::new(Rotations::new(settings.state_dir.clone())),
                orphans: Arc::new(KeptOrphans::new(&settings.state_dir)),
                events: Arc::new(LoggedEvents),
                clock: Arc::new(SystemClock),
            },
            CONTROLLER_NAME,
        );
        let reconciler = Arc::new(reconciler.with_defaults(GatewayDefaults {
            underscored_headers: underscored_headers(&settings.requests),
            is_behind_broker: settings.edge.backend == Backend::Broker,
            session_key: Some(session_key),
            edge: edge_kind(&settings.tunnel),
            ..GatewayDefaults::default()
        }));
        let passes = Passes::new(
            reconciler,
            folder,
            statuses,
            Arc::default(),
            disowned,
            settings.resync_interval.get(),
        );
        let ready = readiness(passes.applied(), workloads.clone());
        let listen = settings.admin.listen.get();
        let admin = admin::serve(listen, Arc::new(registry), ready, stop.clone()).await?;
        let passes = tokio::spawn(passes.run(stop.clone()));
        tracing::info!(
            %installation,
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

/// Hands tables to the engines, and notifies the Gateway's connector: a route of another kind may
/// need another transport, long before the proxy itself is looked at again.
struct Served {
    engines: Arc<Engines>,
    workloads: Arc<InProcess>,
}

#[async_trait]
impl DataPlane for Served {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        let gateway = table.gateway.clone();
        self.engines.publish(table).await?;
        self.workloads.table_changed(&gateway).await;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use adapter_connector::{EdgeAddresses, EdgeRoots, TransportChoice};
    use adapter_table_stream::Authority;
    use domain::gateway::{Protocol, RouteKind};
    use domain::names::Timestamp;
    use domain::ports::{Clock, Workloads};
    use domain::route_table::{TableListener, TableRoute};
    use domain::secret::ConnectorToken;
    use tokio::net::TcpSocket;

    use super::*;
    use crate::system::SystemClock;

    /// Of account `account`, with `secret`.
    const TOKEN: &str = "eyJhIjoiYWNjb3VudCIsInMiOiJjMlZqY21WMCIsInQiOiI2ZmY0MmFlMi03NjVkLTRhZGYtODExMi0zMWM1NWMxNTUxZWYifQ==";
    const LIMIT: Duration = Duration::from_secs(20);

    fn table(gateway: &ObjectKey, kind: RouteKind) -> Arc<RouteTable> {
        let route = TableRoute {
            broader: None,
            key: ObjectKey::new("default", "route"),
            kind,
            created: Timestamp(0),
            hostnames: Vec::new(),
            rules: Vec::new(),
        };
        let listener = TableListener {
            name: "https".to_owned(),
            port: 443,
            protocol: Protocol::Https,
            hostname: None,
            filters: Vec::new(),
            routes: vec![route],
        };
        Arc::new(RouteTable {
            client_validation: Vec::new(),
            gateway: gateway.clone(),
            listeners: vec![listener],
            upstreams: BTreeMap::new(),
        })
    }

    #[tokio::test]
    async fn a_connector_hears_at_once_whether_the_routes_need_trailers() {
        // Takes a port and refuses connections to it, so that QUIC is in question.
        let refusing = TcpSocket::new_v4().unwrap();
        refusing.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let options = ConnectorOptions {
            edge: EdgeAddresses::Given(vec![refusing.local_addr().unwrap()]),
            roots: EdgeRoots::Only(Authority::new(SystemClock.now()).bundle().into_bytes()),
            transport: TransportChoice::Auto {
                trailers_needed: false,
            },
            connections: 1,
            ..ConnectorOptions::default()
        };
        let metrics = Metrics::register(&mut Registry::default());
        let settings = config::sections::RequestSettings::default();
        let engines = engines::open(&settings, EndpointPolicy::Standalone, metrics).unwrap();
        let workloads = InProcess::new(engines.clone(), options, Arc::default(), Arc::default());
        let workloads = Arc::new(workloads);
        let served = Served {
            engines,
            workloads: workloads.clone(),
        };
        let gateway = ObjectKey::new("default", "gateway");
        let token = ConnectorToken::new(TOKEN);
        workloads.run(&gateway, &token).await.unwrap();

        for (kind, withheld) in [
            (RouteKind::Grpc, true),
            (RouteKind::Http, false),
            (RouteKind::Grpc, true),
        ] {
            served.publish(table(&gateway, kind)).await.unwrap();

            let told = async {
                let is_told = async || {
                    let problems = workloads.status(&gateway).await.problems;
                    problems.iter().any(|problem| problem.contains("trailers"))
                };
                while is_told().await != withheld {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let told = tokio::time::timeout(LIMIT, told).await;
            assert!(told.is_ok(), "QUIC withheld for {kind:?}: not {withheld}");
        }
    }
}
