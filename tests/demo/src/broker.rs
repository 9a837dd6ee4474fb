//! `cfgw broker` as a part of the demo. Its files are outside the folder of the cluster's side.

use std::time::{Duration, Instant};

use app::broker::{Broker, Parts, commands};
use config::{BrokerSettings, ProgramSettings};
use domain::broker::ClusterName;
use domain::broker::cluster::{Standing, WhenExpired};
use prometheus_client::registry::Registry;
use standin::Standin;
use tempfile::TempDir;

/// The cluster, as the broker knows it.
const CLUSTER: &str = "demo";

/// What tokens are sealed by: an id, and 32 bytes in base64.
const KEYS: &str = "demo ZGVtby1rZXktb2YtMzItYnl0ZXMtZm9yLXRva2Vucy4=\n";

/// A running broker with its files.
pub(crate) struct RunningBroker {
    broker: Broker,
    operator: Parts,
    code: String,
    _files: TempDir,
}

impl RunningBroker {
    /// A broker whose one tenant may have every hostname, and a code for its cluster.
    pub(crate) async fn start(
        standin: &Standin,
        account: &str,
        api_token: &str,
    ) -> anyhow::Result<Self> {
        let files = TempDir::with_prefix("cfgw-demo-broker-")?;
        let path = |name: &str| files.path().join(name);
        std::fs::write(path("cloudflare-token"), api_token)?;
        std::fs::write(path("keys"), KEYS)?;
        let seed = format!(
            "tenants:
- name: acme
  accounts: [{{name: main, cloudflare: '{account}', token_file: {:?}}}]
  grants: [{{name: all, hostnames: ['*.example.com', example.com]}}]
",
            path("cloudflare-token")
        );
        std::fs::write(path("seed.yaml"), seed)?;
        let text = format!(
            "listen: 127.0.0.1:0
admin: {{listen: '127.0.0.1:0'}}
store: {store:?}
keys_file: {:?}
seed: {:?}
cloudflare: {{base_url: {api}}}
",
            path("keys"),
            path("seed.yaml"),
            store = format!("sqlite:{}", path("broker.db").display()),
            api = standin.api_url()
        );
        std::fs::write(path("broker.yaml"), text)?;
        let settings = BrokerSettings::load(Some(&path("broker.yaml")), std::iter::empty(), ())?;
        let broker = Broker::start(&settings).await?;
        let operator = Parts::open(&settings, &mut Registry::default()).await?;
        let code = commands::invite(&operator, CLUSTER, "acme", WhenExpired::Keep).await?;
        Ok(Self {
            broker,
            operator,
            code: commands::told(&code),
            _files: files,
        })
    }

    /// Where it serves clusters.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.broker.address())
    }

    /// What the cluster's side needs: the code that it is enrolled with.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Accepts the key of the cluster, once it redeemed the code. The key's thumbprint.
    pub(crate) async fn accept(&self) -> anyhow::Result<String> {
        let (name, began) = (ClusterName::parse(CLUSTER)?, Instant::now());
        loop {
            let cluster = self.operator.store.cluster(&name).await?;
            if let Standing::Asking(identity) = cluster.standing {
                let key = identity.key.to_string();
                commands::accept(&self.operator, CLUSTER, &key, None).await?;
                return Ok(key);
            }
            let waits = began.elapsed() < Duration::from_secs(30);
            anyhow::ensure!(waits, "the cluster did not redeem its code in 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it.
    pub(crate) async fn shutdown(self) {
        self.broker.shutdown().await;
    }
}
