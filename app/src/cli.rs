//! The command line of `cfgw`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use config::{
    BrokerSettings, ControllerSettings, ProgramSettings, ProxySettings, StandaloneSettings,
};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::environment::environment;
use crate::outgoing::check_proxy;
use crate::telemetry;

mod broker;

pub use broker::{Broker, BrokerAction, BrokerFlags, Then, broker};

/// Serves Gateway API routes through Cloudflare Tunnels.
///
/// A Gateway becomes a Cloudflare Tunnel, each hostname of its routes a DNS record that leads to it, and each request
/// goes to an endpoint of the Service that the route names. Nothing listens on a public address: the proxies connect
/// to Cloudflare. In Kubernetes the Helm chart runs `cfgw controller`; without, `cfgw standalone` reads the same
/// manifests from a folder.
#[derive(Debug, Parser)]
#[command(name = "cfgw", version, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub program: Program,
}

const EXAMPLES: &str = "\
Examples:
  cfgw standalone --manifests ./manifests --state ./state --installation laptop
  cfgw standalone status --state ./state
  cfgw broker --config /etc/cfgw/broker.yaml
  helm install cfgw charts/cloudflare-gateway-controller --namespace cfgw-system \\
    --set installation=my-cluster --set credentials.secretName=cloudflare-credentials

`cfgw <command> --help` says more.";

const OF_CONTROLLER: &str = "\
Example, as the Helm chart runs it (its settings come from the environment):
  CFGW_STREAM__ADVERTISE=10.1.2.3:8443 CFGW_PROXIES__IMAGE=ghcr.io/cloudflare-gateway-controller/cfgw:0.1.0 \\
    cfgw controller
With a file of settings:
  cfgw controller --config /etc/cfgw/controller.yaml";

const OF_PROXY: &str = "\
Example, as the controller runs it in the pods of a Gateway:
  cfgw proxy
Those pods:
  kubectl get pods --all-namespaces --selector app.kubernetes.io/name=cfgw-proxy";

const OF_STANDALONE: &str = "\
Examples:
  cfgw standalone --manifests ./manifests --state ./state --installation laptop
  cfgw standalone status --state ./state
With a file of settings:
  cfgw standalone --config /etc/cfgw/standalone.yaml";

/// Programs of the one binary.
#[derive(Debug, Subcommand)]
pub enum Program {
    /// Serves the Gateways of a Kubernetes cluster.
    ///
    /// Watches Gateways, routes and Services, makes tunnels and DNS records at Cloudflare, and runs the proxies of each
    /// Gateway as a Deployment. Several may run; one leads.
    #[command(after_help = OF_CONTROLLER)]
    Controller(InCluster),
    /// Carries the traffic of one Gateway; run by the controller.
    ///
    /// Holds the tunnel's connections and routes each request to an endpoint. Its routes come from the controller; it
    /// needs no permission in the cluster.
    #[command(after_help = OF_PROXY)]
    Proxy(InCluster),
    /// Serves a folder of manifests, without Kubernetes.
    ///
    /// Does in one process what controller and proxies do in a cluster, and writes statuses into the state folder.
    #[command(after_help = OF_STANDALONE)]
    Standalone(Standalone),
    /// Looks at settings without running anything.
    #[command(subcommand)]
    Config(Config),
    /// Holds Cloudflare credentials and serves the clusters that have none.
    ///
    /// A cluster says which hostnames its Gateways need; the broker makes them at Cloudflare, and no API token is in
    /// the cluster.
    #[command(after_help = broker::OF_BROKER)]
    Broker(Broker),
    /// Asks a server of cfgw whether it is ready, and succeeds if it is; run by `helm test`.
    #[command(after_help = "Example:\n  cfgw probe cfgw.cfgw-system.svc:8081 --within 60")]
    Probe(Probe),
}

/// `cfgw probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// Host and port of the server's own HTTP server, such as cfgw.cfgw-system.svc:8081.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// For how many seconds it is asked again.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub within: u16,
}

/// What is done with settings.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Reads the settings of a program as it would, and names each fault with its remedy.
    ///
    /// The settings are those of the file and of the environment (CFGW_…). Exit codes: 0 they can be used, 1 they cannot.
    #[command(after_help = OF_CONFIG_CHECK)]
    Check(ConfigCheck),
}

const OF_CONFIG_CHECK: &str = "\
Examples:
  cfgw config check standalone --config /etc/cfgw/standalone.yaml
  cfgw config check broker --config /etc/cfgw/broker.yaml
  CFGW_INSTALLATION=laptop cfgw config check standalone";

/// `cfgw config check`.
#[derive(Debug, Args)]
pub struct ConfigCheck {
    /// Whose settings.
    #[arg(value_enum, value_name = "PROGRAM")]
    pub program: Configured,
    /// Settings file (YAML). Environment (CFGW_…) wins over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Programs that have settings.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Configured {
    Controller,
    Proxy,
    Standalone,
    Broker,
}

/// `cfgw controller` and `cfgw proxy`, whose settings come from a file and the environment of their pods.
#[derive(Debug, Args)]
pub struct InCluster {
    /// Settings file (YAML). Environment (CFGW_…) wins over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `cfgw standalone`.
#[derive(Debug, Args)]
pub struct Standalone {
    /// Instead of serving.
    #[command(subcommand)]
    pub action: Option<StandaloneAction>,
    /// Settings file (YAML). Environment (CFGW_…) and flags win over it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings given as flags.
    #[command(flatten)]
    pub flags: StandaloneFlags,
}

/// What `cfgw standalone` does instead of serving.
#[derive(Debug, Subcommand)]
pub enum StandaloneAction {
    /// Shows the conditions of every object, from the state folder.
    #[command(after_help = "Example:\n  cfgw standalone status --state ./state")]
    Status,
}

/// Flags that stand for settings; those not given are not serialised, so that lower layers stay.
#[derive(Debug, Default, Args, Serialize)]
pub struct StandaloneFlags {
    /// Folder of manifests.
    #[arg(long, global = true, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<PathBuf>,
    /// Folder in which statuses are written.
    #[arg(long = "state", global = true, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Name of this installation, unique in the Cloudflare account.
    #[arg(long, global = true, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation: Option<String>,
    /// Settings of the program's own HTTP server.
    #[command(flatten)]
    pub admin: AdminFlags,
}

/// Flags of the program's own HTTP server.
#[derive(Debug, Default, Args, Serialize)]
pub struct AdminFlags {
    /// Address for health, readiness and metrics, such as 127.0.0.1:8081.
    #[arg(id = "admin", long = "admin", global = true, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Looks at the settings of a program.
///
/// # Errors
/// They cannot be used.
pub fn config_check(asked: &ConfigCheck) -> anyhow::Result<()> {
    let (file, env) = (asked.config.as_deref(), environment()?);
    let faults = match asked.program {
        Configured::Controller => ControllerSettings::faults(file, env, ()),
        Configured::Proxy => ProxySettings::faults(file, env, ()),
        Configured::Standalone => {
            let mut faults = StandaloneSettings::faults(file, environment()?, ());
            let settings = StandaloneSettings::load(file, env, ());
            faults.extend(settings.ok().and_then(|it| it.installation_name().err()));
            faults
        }
        Configured::Broker => BrokerSettings::faults(file, env, ()),
    };
    if faults.is_empty() {
        println!("The settings can be used");
        return Ok(());
    }
    for fault in &faults {
        println!("{fault}");
    }
    anyhow::bail!(
        "{} faults in the settings; see the lines above",
        faults.len()
    )
}

/// Runs `cfgw standalone` until SIGTERM or Ctrl-C, or shows what it last reported.
pub async fn standalone(arguments: Standalone, ordered: OrderToStop) -> anyhow::Result<()> {
    let settings = StandaloneSettings::load(
        arguments.config.as_deref(),
        environment()?,
        &arguments.flags,
    )?;
    if let Some(StandaloneAction::Status) = arguments.action {
        let statuses = adapter_manifests::read_statuses(&settings.state_dir)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        print!("{}", adapter_manifests::render(&statuses));
        return Ok(());
    }
    telemetry::install(settings.log.filter.as_str(), settings.log.format)?;
    check_proxy(|name| std::env::var(name).ok())?;
    let running = crate::standalone::Standalone::start(&settings).await?;
    ordered.given().await?;
    running.shutdown().await;
    Ok(())
}

/// Runs `cfgw probe`.
pub async fn probe(arguments: Probe) -> anyhow::Result<()> {
    let within = Duration::from_secs(arguments.within.into());
    crate::probe::ready(&arguments.address, within).await
}

/// Runs `cfgw controller` until SIGTERM or Ctrl-C.
pub async fn controller(arguments: InCluster, ordered: OrderToStop) -> anyhow::Result<()> {
    let file = arguments.config.as_deref();
    let settings = ControllerSettings::load(file, environment()?, ())?;
    telemetry::install(settings.log.filter.as_str(), settings.log.format)?;
    check_proxy(|name| std::env::var(name).ok())?;
    let running = crate::controller::Controller::start(&settings).await?;
    ordered.given().await?;
    running.shutdown().await;
    Ok(())
}

/// Runs `cfgw proxy` until SIGTERM or Ctrl-C.
pub async fn proxy(arguments: InCluster, ordered: OrderToStop) -> anyhow::Result<()> {
    let file = arguments.config.as_deref();
    let settings = ProxySettings::load(file, environment()?, ())?;
    telemetry::install(settings.log.filter.as_str(), settings.log.format)?;
    let running = crate::proxy::Proxy::start(&settings).await?;
    ordered.given().await?;
    running.shutdown().await;
    Ok(())
}

/// SIGTERM or Ctrl-C, listened for from the start: the first process of a container loses a signal for which it has no
/// handler yet, and a pod that is deleted while it starts would go on until its grace period is over.
#[derive(Debug)]
pub struct OrderToStop(Signal);

impl OrderToStop {
    /// Listens from now on.
    ///
    /// # Errors
    /// The process can have no handler of the signal.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self(signal(SignalKind::terminate())?))
    }

    /// Returns when the order is given, or was given since.
    async fn given(mut self) -> anyhow::Result<()> {
        tokio::select! {
            _ = self.0.recv() => {}
            ended = tokio::signal::ctrl_c() => ended?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    #[test]
    fn no_argument_is_in_the_way_of_another() {
        super::Cli::command().debug_assert();
    }

    fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
        if command.get_subcommands().next().is_none() {
            found.push(command.clone());
        }
        for deeper in command.get_subcommands() {
            leaves(deeper, found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_it_can_read() {
        let mut found = Vec::new();
        leaves(&super::Cli::command(), &mut found);
        assert!(found.len() >= 5, "{}", found.len());
        for command in found {
            let name = command.get_name();
            let help = command.get_after_help();
            let help = help.unwrap_or_else(|| panic!("{name} has no example"));
            let help = help.to_string().replace("\\\n", "");
            let examples: Vec<_> = help
                .lines()
                .filter_map(|line| Some(&line[line.find("cfgw ")?..]))
                .filter(|line| line.split_whitespace().any(|word| word == name))
                .collect();
            assert!(!examples.is_empty(), "{name} has no example: {help}");
            for example in examples {
                let read = super::Cli::try_parse_from(example.split_whitespace());
                assert!(read.is_ok(), "{example}: {read:?}");
            }
        }
    }
}
