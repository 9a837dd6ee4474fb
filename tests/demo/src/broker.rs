//! `cfgw broker` as a part of the demo. Its files are outside the folder of the cluster's side.

use app::broker::Broker;
use config::{BrokerSettings, ProgramSettings};
use standin::Standin;
use tempfile::TempDir;

/// The cluster's bearer token.
const CLUSTER_TOKEN: &str = "demo-token-of-the-one-cluster";
/// `printf %s demo-token-of-the-one-cluster | sha256sum`
const CLUSTER_TOKEN_SHA256: &str =
    "1dbb733878a1f240b25b3af337461da18634162da1234cf11e436994d53d8b5d";

/// A running broker with its files.
pub(crate) struct RunningBroker {
    broker: Broker,
    _files: TempDir,
}

impl RunningBroker {
    /// A broker for one cluster, called `demo`.
    pub(crate) async fn start(
        standin: &Standin,
        account: &str,
        api_token: &str,
    ) -> anyhow::Result<Self> {
        let files = TempDir::with_prefix("cfgw-demo-broker-")?;
        let token = files.path().join("cloudflare-token");
        std::fs::write(&token, api_token)?;
        let settings = files.path().join("broker.yaml");
        let text = format!(
            "listen: 127.0.0.1:0
admin: {{listen: '127.0.0.1:0'}}
clusters:
  - {{name: demo, token_sha256: {CLUSTER_TOKEN_SHA256}}}
credentials:
  account: '{account}'
  token_file: {token:?}
cloudflare: {{base_url: {api}}}
",
            api = standin.api_url()
        );
        std::fs::write(&settings, text)?;
        let settings = BrokerSettings::load(Some(&settings), std::iter::empty(), ())?;
        let broker = Broker::start(&settings).await?;
        Ok(Self {
            broker,
            _files: files,
        })
    }

    /// Where it serves clusters.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.broker.address())
    }

    /// What the cluster's side needs: its bearer token.
    pub(crate) fn cluster_token(&self) -> &'static str {
        CLUSTER_TOKEN
    }

    /// Ends it.
    pub(crate) async fn shutdown(self) {
        self.broker.shutdown().await;
    }
}
