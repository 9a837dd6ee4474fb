//! The edge that a program is wired with. The rest of the program does not know which one it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::{BrokerEdge, ClientSettings as BrokerClientSettings};
use adapter_cloudflare::{ClientSettings, CloudflareClient, Metrics};
use anyhow::Context;
use config::sections::{BrokerAccess, CloudflareSettings, EdgeSettings};
use config::values::Label;
use domain::broker::attestation::Attestor;
use domain::edge::direct::DirectEdge;
use domain::ports::{Certificates, Credentials, Edge};
use domain::{Installation, InstallationName, InstanceId};
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::system::{LogJournal, SystemClock, SystemEntropy};

/// Limit for opening a connection to the broker.
const BROKER_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a pass waits for the broker to do what it stated.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// Who holds the credentials.
pub enum Backend {
    Direct,
    /// A broker, which knows the cluster by this key, and is kept in touch with until `stop`.
    Broker {
        key: Box<ClusterKey>,
        /// What is shown of where this runs.
        attestor: Option<Arc<dyn Attestor>>,
        stop: CancellationToken,
    },
}

/// The edge that the settings name. Credentials are asked, and calls to Cloudflare counted, by the direct one only.
pub fn open(
    backend: Backend,
    settings: &EdgeSettings,
    cloudflare: &CloudflareSettings,
    installation: Installation,
    credentials: Arc<dyn Credentials>,
    certificates: Arc<dyn Certificates>,
    registry: &mut Registry,
) -> anyhow::Result<Arc<dyn Edge>> {
    match backend {
        Backend::Direct => {
            let accounts = Arc::new(cloudflare_client(cloudflare, registry)?);
            let entropy = Arc::new(SystemEntropy::default());
            let edge = DirectEdge::new(accounts, credentials, entropy, installation);
            let edge = edge.with_certificates(certificates).remembering();
            Ok(Arc::new(edge.with_journal(Arc::new(LogJournal::default()))))
        }
        Backend::Broker {
            key,
            attestor,
            stop,
        } => {
            let instance = installation.instance;
            let edge = broker_edge(&settings.broker, *key, attestor, instance)?;
            let edge = Arc::new(edge.with_certificates(certificates));
            let in_touch = edge.clone();
            tokio::spawn(async move { in_touch.keep_in_touch(&stop).await });
            Ok(edge)
        }
    }
}

fn broker_edge(
    access: &BrokerAccess,
    key: ClusterKey,
    attestor: Option<Arc<dyn Attestor>>,
    instance: InstanceId,
) -> anyhow::Result<BrokerEdge> {
    let urls = access.url.as_ref().context("edge.broker.url is not set")?;
    let urls = urls.get().iter().map(|url| url.as_str().to_owned());
    let code = access.code_file.as_deref().map(read_text).transpose()?;
    let settings = BrokerClientSettings {
        base_urls: urls.collect(),
        key,
        code,
        instance,
        attestor,
        statement_timeout: STATEMENT_TIMEOUT,
        extra_roots: roots(access.ca_file.as_deref())?,
        request_timeout: access.request_timeout.get(),
        connect_timeout: BROKER_CONNECT_TIMEOUT,
        heartbeat: access.heartbeat.get(),
    };
    let entropy = Arc::new(SystemEntropy::default());
    Ok(BrokerEdge::new(&settings, Arc::new(SystemClock), entropy)?)
}

/// The installation that the settings name.
pub(crate) fn installation(name: &Label, instance: InstanceId) -> anyhow::Result<Installation> {
    Ok(Installation {
        name: InstallationName::parse(name.as_str())?,
        instance,
    })
}

/// A client of the Cloudflare API, whose calls are counted.
pub(crate) fn cloudflare_client(
    settings: &CloudflareSettings,
    registry: &mut Registry,
) -> anyhow::Result<CloudflareClient> {
    let settings = ClientSettings {
        base_url: settings.base_url.as_str().to_owned(),
        request_timeout: settings.request_timeout.get(),
        requests_per_window: settings.request_budget.get(),
        extra_roots: roots(settings.ca_file.as_deref())?,
        ..ClientSettings::default()
    };
    let metrics = Metrics::register(registry);
    Ok(CloudflareClient::new(&settings)?.on_call(move |call| metrics.count(call)))
}

fn roots(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    Ok(file.map(read_pem).transpose()?.unwrap_or_default())
}

fn read_text(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(SecretString::from(text))
}

pub(crate) fn read_pem(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
