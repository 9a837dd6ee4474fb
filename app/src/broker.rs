//! `cfgw broker`: Cloudflare credentials of its own, edge intents of many clusters in.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter_broker::{
    Cluster, ClusterLimits, ClusterTokenHash, FileCredentials, LISTENER_LIMITS, router, serve,
    tls_config,
};
use adapter_cloudflare::CloudflareClient;
use anyhow::Context;
use config::BrokerSettings;
use config::broker::{ClusterSettings, TlsSettings};
use domain::edge::direct::DirectEdges;
use domain::names::MalformedName;
use domain::{AccountId, AllowedHostnames, Hostname, InstallationName, Timestamp};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::edge::{cloudflare_client, read_pem};
use crate::listening;
use crate::system::{LogJournal, SystemClock, SystemEntropy};

/// `cfgw broker`, running.
pub struct Broker {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Broker {
    /// Wires everything together and starts it. An error names the setting that cannot be used.
    pub async fn start(settings: &BrokerSettings) -> anyhow::Result<Self> {
        let mut registry = Registry::with_prefix("cfgw");
        let clusters = clusters(settings, &mut registry)?;
        let names: Vec<_> = clusters.iter().map(|c| c.name.to_string()).collect();
        let tls = tls(&settings.tls)?;
        let listen = settings.listen.get();
        let listener = listening::listen(listen)
            .await
            .with_context(|| format!("listen {listen}; choose a free address of this machine"))?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let ready: admin::Readiness = Arc::new(|| Box::pin(async { Vec::new() }));
        let admin = settings.admin.listen.get();
        let admin = admin::serve(admin, Arc::new(registry), ready, stop.clone()).await?;
        let api = router(clusters, Arc::new(SystemClock));
        let server = tokio::spawn(serve(listener, tls, api, LISTENER_LIMITS, stop.clone()));
        tracing::info!(%address, %admin, clusters = names.join(","), "broker started");
        Ok(Self {
            address,
            stop,
            server,
        })
    }

    /// Where clusters are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nothing new, finishes what is in flight if that is soon, stops. What is at Cloudflare stays. A plan
    /// that is cut short is safe: the cluster states the same intent again.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // It ends by itself; that it failed was logged.
        drop(self.server.await);
        tracing::info!("broker stopped");
    }
}

/// Edges for each cluster, over the same account and so with one rate budget.
fn clusters(settings: &BrokerSettings, registry: &mut Registry) -> anyhow::Result<Vec<Cluster>> {
    let accounts = Arc::new(cloudflare_client(&settings.cloudflare, registry)?);
    let credentials = Arc::new(credentials(settings)?);
    let clusters = settings.clusters.iter();
    clusters
        .map(|cluster| cluster_of(cluster, &accounts, &credentials))
        .collect()
}

fn cluster_of(
    settings: &ClusterSettings,
    accounts: &Arc<CloudflareClient>,
    credentials: &Arc<FileCredentials>,
) -> anyhow::Result<Cluster> {
    let name = InstallationName::parse(settings.name.as_str())?;
    let edges = DirectEdges::new(
        accounts.clone(),
        credentials.clone(),
        Arc::new(SystemEntropy::default()),
        name.clone(),
    )
    .with_journal(Arc::new(LogJournal {
        cluster: Some(name.to_string()),
    }));
    Ok(Cluster {
        name,
        token: settings.token_sha256.as_str().parse::<ClusterTokenHash>()?,
        expires: settings.expires.map(|at| Timestamp(at.unix_seconds())),
        limits: limits(settings)?,
        edges: Arc::new(edges),
    })
}

fn limits(settings: &ClusterSettings) -> anyhow::Result<ClusterLimits> {
    let hostnames = match &settings.hostnames {
        None => AllowedHostnames::Any,
        Some(patterns) => {
            let patterns = patterns.iter().map(|it| Hostname::parse(it.as_str()));
            let patterns: Vec<Hostname> = patterns.collect::<Result<_, MalformedName>>()?;
            AllowedHostnames::listed(patterns)
        }
    };
    Ok(ClusterLimits {
        hostnames,
        max_gateways: settings.max_gateways,
    })
}

fn credentials(settings: &BrokerSettings) -> anyhow::Result<FileCredentials> {
    let account = settings.credentials.account.as_ref();
    let account = account.context("credentials.account is not set")?;
    let file = settings.credentials.token_file.clone();
    let file = file.context("credentials.token_file is not set")?;
    FileCredentials::open(AccountId::new(account.as_str()), file).context("credentials.token_file")
}

fn tls(settings: &TlsSettings) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) else {
        return Ok(None);
    };
    let config = tls_config(&read_pem(certificate)?, &read_pem(key)?);
    Ok(Some(config.context("tls.cert_file and tls.key_file")?))
}
