//! What the demo plays on: everything that has to run, and what is said about it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::app::standalone::Standalone;
use anyhow::Context;
use config::{ProgramSettings, StandaloneSettings};
use standin::cloud::{Account, ApiToken, Plan};
use standin::{Standin, StandinOptions};
use tempfile::TempDir;

use crate::broker::RunningBroker;
use crate::{Edge, app};

/// Id of the demo's account.
const ACCOUNT: &str = "00000000000000000000000000000da0";
/// Its API token, which is worth nothing anywhere else.
pub(crate) const TOKEN: &str = "demo-token-that-only-the-stand-in-knows";
/// Its zone.
const ZONE: &str = "example.com";
/// The port of the app in the quickstart; the demo takes a free one, so that several can run at a time.
const APP_PORT: u16 = 18080;
/// The hostname of the quickstart.
pub(crate) const HOSTNAME: &str = "app.example.com";

/// A running demo.
pub(crate) struct Stage {
    pub(crate) standin: Standin,
    broker: Option<RunningBroker>,
    standalone: Standalone,
    folder: TempDir,
}

impl Stage {
    /// Starts everything, in the order in which it is said.
    pub(crate) async fn set(edge: Edge) -> anyhow::Result<Self> {
        let began = Instant::now();
        let options = StandinOptions {
            account: Account {
                id: ACCOUNT.to_owned(),
                name: "Demo".to_owned(),
                plan: Plan::Free,
            },
            tokens: vec![ApiToken::all_powerful(ACCOUNT, TOKEN)],
            zones: vec![ZONE.to_owned()],
            ..StandinOptions::default()
        };
        let standin = Standin::start(options)
            .await
            .context("the stand-in Cloudflare")?;
        say(
            "stand-in Cloudflare",
            &format!("account with zone {ZONE}, API at {}", standin.api_url()),
        );

        let app_port = app::start().await?;
        for (version, address) in app::VERSIONS {
            say(
                "demo app",
                &format!("{version} at http://{address}:{app_port}"),
            );
        }

        let folder = TempDir::with_prefix("cfgw-demo-")?;
        let manifests = copy_quickstart(folder.path(), edge, app_port)?;
        say("manifests", &format!("{}", manifests.display()));
        std::fs::write(folder.path().join("ca.pem"), standin.ca_pem())?;
        let broker = match edge {
            Edge::Direct => None,
            Edge::Broker => Some(RunningBroker::start(&standin, ACCOUNT, TOKEN).await?),
        };
        if let Some(broker) = &broker {
            say(
                "cfgw broker",
                &format!("holds the credentials, at {}", broker.url()),
            );
        }
        let settings = settings(&standin, folder.path(), broker.as_ref())?;
        let standalone = Standalone::start(&settings).await?;
        if let Some(broker) = &broker {
            say(
                "",
                &format!("accepted the cluster's key {}", broker.accept().await?),
            );
        }
        let stage = Self {
            standin,
            broker,
            standalone,
            folder,
        };
        stage.ready().await?;
        say(
            "cfgw standalone",
            &format!(
                "ready {:.1} s after the start of the demo",
                began.elapsed().as_secs_f64()
            ),
        );
        stage.tell_what_was_made();
        Ok(stage)
    }

    /// The folder that a user may edit.
    pub(crate) fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// All files of the cluster's side: manifests, statuses, its key if it has one.
    pub(crate) fn files(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the credentials are with a broker.
    pub(crate) fn has_broker(&self) -> bool {
        self.broker.is_some()
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The authority that the public side's certificates are from.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.standalone.admin());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = reqwest::get(&url).await?;
            let ready = answer.status().is_success();
            let missing = answer.text().await?;
            // A cluster behind a broker is ready before it is accepted, and nothing is connected until then.
            if ready && !self.standin.edge().connections().is_empty() {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "not ready after 60 s: {missing}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn tell_what_was_made(&self) {
        for tunnel in self.standin.cloud().tunnels() {
            say("tunnel", &tunnel.name);
            say(
                "",
                &format!("{} at the edge address {}", tunnel.id, tunnel.address),
            );
        }
        for zone in self.standin.cloud().zones() {
            for record in zone.records.iter() {
                let proxied = if record.proxied {
                    "proxied"
                } else {
                    "not proxied"
                };
                let kind = record.kind.as_str();
                say(
                    "record",
                    &format!(
                        "{} {kind} {} ({proxied}), comment {}",
                        record.name,
                        record.content,
                        record.comment.as_deref().unwrap_or("none")
                    ),
                );
            }
        }
    }

    /// Says what to do in another terminal.
    pub(crate) fn introduce(&self) -> anyhow::Result<()> {
        let cfgw = std::env::current_exe()?.with_file_name("cfgw");
        let https = self.standin.edge().public_https();
        println!(
            "
https://{HOSTNAME} is served through the tunnel. In another terminal:

  curl --cacert {ca} --connect-to {HOSTNAME}:443:{https} https://{HOSTNAME}/hello

  The records and calls at the API:  {api}
  The statuses:                      {cfgw} standalone status --state {state}
  Something to change:               {manifests}/quickstart.yaml
      (name my-service-v2 instead of my-service, save, and ask again)

Ctrl-C ends it.",
            cfgw = cfgw.display(),
            ca = self.ca_file().display(),
            api = self.standin.operator_url(),
            state = self.state().display(),
            manifests = self.manifests().display(),
        );
        Ok(())
    }

    /// Ends everything.
    pub(crate) async fn strike(self) {
        self.standalone.shutdown().await;
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        self.standin.shutdown().await;
    }
}

fn copy_quickstart(folder: &Path, edge: Edge, app_port: u16) -> anyhow::Result<PathBuf> {
    let example = match edge {
        Edge::Direct => "quickstart",
        Edge::Broker => "quickstart-broker",
    };
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let from = examples.join(example);
    let to = folder.join("manifests");
    std::fs::create_dir(&to)?;
    for file in ["quickstart.yaml", "app.yaml"] {
        let text = std::fs::read_to_string(from.join(file))
            .with_context(|| format!("the example {file}"))?;
        let text = text
            .replace("your-api-token", TOKEN)
            .replace("your-account-id", ACCOUNT)
            .replace(&format!("port: {APP_PORT}"), &format!("port: {app_port}"));
        std::fs::write(to.join(file), text)?;
    }
    Ok(to)
}

fn settings(
    standin: &Standin,
    folder: &Path,
    broker: Option<&RunningBroker>,
) -> anyhow::Result<StandaloneSettings> {
    let edge: Vec<_> = standin
        .edge()
        .tunnel_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let path = |name: &str| folder.join(name).display().to_string();
    let mut environment = vec![
        ("CFGW_INSTALLATION", "demo".to_owned()),
        ("CFGW_MANIFESTS", path("manifests")),
        ("CFGW_STATE_DIR", path("state")),
        ("CFGW_TUNNEL__EDGE", edge.join(",")),
        ("CFGW_TUNNEL__CA_FILE", path("ca.pem")),
        ("CFGW_ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
    ];
    match broker {
        None => environment.push(("CFGW_CLOUDFLARE__BASE_URL", standin.api_url())),
        Some(broker) => {
            std::fs::write(folder.join("cluster-code"), broker.code())?;
            environment.extend([
                ("CFGW_EDGE__BACKEND", "broker".to_owned()),
                ("CFGW_EDGE__BROKER__URL", broker.url()),
                ("CFGW_EDGE__BROKER__CODE_FILE", path("cluster-code")),
            ]);
        }
    }
    let environment = environment
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Ok(StandaloneSettings::load(None, environment, ())?)
}

fn say(what: &str, text: &str) {
    println!("{what:>20}  {text}");
}
