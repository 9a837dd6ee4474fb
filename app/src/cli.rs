//! The command line of `cfgw`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

/// Serves Gateway API routes through Cloudflare Tunnels.
#[derive(Debug, Parser)]
#[command(name = "cfgw", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub program: Program,
}

/// Programs of the one binary.
#[derive(Debug, Subcommand)]
pub enum Program {
    /// Serves a folder of manifests, without Kubernetes.
    Standalone(Standalone),
}

/// `cfgw standalone`.
#[derive(Debug, Args)]
pub struct Standalone {
    /// Instead of serving.
    #[command(subcommand)]
    pub action: Option<StandaloneAction>,
    /// Settings file (YAML). Environment (CFGW_…) and flags win over it.
    #[arg(long, global = true)]
    pub config: Option<PathBuf>,
    /// Settings given as flags.
    #[command(flatten)]
    pub flags: StandaloneFlags,
}

/// What `cfgw standalone` does instead of serving.
#[derive(Debug, Subcommand)]
pub enum StandaloneAction {
    /// Shows the conditions of every object, from the state directory.
    Status,
}

/// Flags that stand for settings; those not given are not serialised, so that lower layers stay.
#[derive(Debug, Default, Args, Serialize)]
pub struct StandaloneFlags {
    /// Folder of manifests.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<PathBuf>,
    /// Where statuses go.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Name of this installation, unique in the Cloudflare account.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation: Option<String>,
    /// Address for health, readiness and metrics.
    #[arg(long, global = true, value_name = "ADDRESS")]
    #[serde(rename = "admin_listen", skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
}
