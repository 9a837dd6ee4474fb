//! Commands that ask Cloudflare, and the one that collects a report.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::names::{is_dns_label, is_object_name};
use domain::{InstallationName, ObjectKey};

use super::{Named, object_name};
use crate::screen::Plain;

pub(super) const OF_PLAN: &str = "\
Examples:
  cfgwctl plan
  cfgwctl plan -f ./manifests
  cfgwctl plan -f route.yaml -o json
  cfgwctl plan -f ./manifests --state ./state --installation laptop

Exit codes: 0 the plan is whole, whether it has changes or not; 1 something could not be planned.";

pub(super) const OF_LIST: &str = "\
Examples:
  cfgwctl orphans list
  cfgwctl orphans list -o json";

pub(super) const OF_DIAGNOSE: &str = "\
Examples:
  cfgwctl diagnose
  cfgwctl diagnose ./report";

/// `cfgwctl diagnose`.
#[derive(Debug, Args)]
pub struct Diagnose {
    /// Folder, which must not be there yet.
    #[arg(value_name = "FOLDER", default_value = "cfgw-report")]
    pub folder: PathBuf,
}

/// `cfgwctl plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// File or folder of manifests that are not applied yet, over the objects of the cluster.
    #[arg(short, long, value_name = "PATH")]
    pub filename: Option<PathBuf>,
    /// State folder of cfgw standalone: the manifests are taken alone, and no cluster is asked.
    #[arg(long, value_name = "FOLDER", requires = "filename")]
    pub state: Option<PathBuf>,
    /// How a broker is reached, where there is one. With --state: cfgw standalone is behind it.
    #[command(flatten)]
    pub broker: BrokerFlags,
    /// How Cloudflare is reached.
    #[command(flatten)]
    pub access: AccessFlags,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Plain::Table, value_name = "FORMAT")]
    pub output: Plain,
}

/// How a broker is reached.
#[derive(Debug, Default, Args)]
pub struct BrokerFlags {
    /// Base URL of the broker; that of the controller unless given.
    #[arg(long, value_name = "URL")]
    pub broker_url: Option<String>,
    /// File with certificates (PEM) that are trusted there besides the system's.
    #[arg(long, value_name = "FILE")]
    pub broker_ca: Option<PathBuf>,
}

/// How Cloudflare is reached, and for which installation.
#[derive(Debug, Default, Args)]
pub struct AccessFlags {
    /// Name of the installation; that of the controller unless given.
    #[arg(long, value_name = "NAME", value_parser = installation)]
    pub installation: Option<InstallationName>,
    /// Deployment of the controller, where there are several.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = deployment)]
    pub controller: Option<ObjectKey>,
    /// Base URL of Cloudflare's API, where it is another one. The API token is sent there.
    #[arg(long, value_name = "URL")]
    pub cloudflare_url: Option<String>,
    /// File with certificates (PEM) that are trusted there besides the system's.
    #[arg(long, value_name = "FILE")]
    pub cloudflare_ca: Option<PathBuf>,
}

/// What Gateways left that are gone.
#[derive(Debug, Subcommand)]
pub enum Orphans {
    /// Lists what carries our mark at Cloudflare and belongs to no Gateway.
    #[command(after_help = OF_LIST)]
    List(ListOrphans),
    /// Makes the Gateway again, so that it takes up what it left.
    ///
    /// Shows what would change at Cloudflare, and asks. The controller does the rest. A manifest says more of the
    /// Gateway; without one it has a listener for HTTPS on port 443.
    #[command(after_help = "\
Examples:
  cfgwctl orphans adopt my-gateway
  cfgwctl orphans adopt my-gateway -f gateway.yaml --yes")]
    Adopt(AdoptOrphan),
    /// Has the controller remove what a Gateway left.
    ///
    /// Shows what would be removed at Cloudflare, and asks. The Gateway is made again with deletionPolicy Delete and
    /// deleted: the controller removes what carries its mark, and nothing else.
    #[command(after_help = "\
Examples:
  cfgwctl orphans delete my-gateway
  cfgwctl orphans delete my-gateway --namespace infra --yes")]
    Delete(DeleteOrphan),
}

/// `cfgwctl orphans list`.
#[derive(Debug, Args)]
pub struct ListOrphans {
    /// How Cloudflare is reached.
    #[command(flatten)]
    pub access: AccessFlags,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Plain::Table, value_name = "FORMAT")]
    pub output: Plain,
}

/// What both have in common that act on an orphan.
#[derive(Debug, Args)]
pub struct Orphan {
    /// Which Gateway left it.
    #[command(flatten)]
    pub gateway: Named,
    /// GatewayClass of ours; the only one unless given.
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    pub class: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// How Cloudflare is reached.
    #[command(flatten)]
    pub access: AccessFlags,
}

/// `cfgwctl orphans adopt`.
#[derive(Debug, Args)]
pub struct AdoptOrphan {
    /// Which.
    #[command(flatten)]
    pub orphan: Orphan,
    /// File with the manifest of the Gateway.
    #[arg(short, long, value_name = "FILE")]
    pub filename: Option<PathBuf>,
}

/// `cfgwctl orphans delete`.
#[derive(Debug, Args)]
pub struct DeleteOrphan {
    /// Which.
    #[command(flatten)]
    pub orphan: Orphan,
    /// How long to wait at most until all is removed.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = crate::wait::duration)]
    pub timeout: std::time::Duration,
}

fn installation(text: &str) -> Result<InstallationName, String> {
    InstallationName::parse(text).map_err(|error| error.to_string())
}

fn deployment(text: &str) -> Result<ObjectKey, String> {
    let named = text.split_once('/');
    let named = named.filter(|(namespace, name)| is_dns_label(namespace) && is_object_name(name));
    let key = named.map(|(namespace, name)| ObjectKey::new(namespace, name));
    key.ok_or_else(|| "must be namespace and name of a Deployment: cfgw-system/cfgw".to_owned())
}
