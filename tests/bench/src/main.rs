//! What a request costs: the whole way through the tunnel beside a genuine cloudflared, and the proxy
//! alone beside nginx and haproxy.
//!
//! All subjects of a table run at once and are loaded in turn, round after round; a ratio compares two
//! subjects of the same round, so that a busy machine troubles both alike. The load and the origin are in
//! this process, the stand-in edge is in its own, and neither is counted.

mod alone;
mod broker;
mod controller;
mod edge;
mod features;
mod http;
mod instructions;
mod load;
mod origin;
#[path = "../../../adapters/broker-store/tests/postgres/mod.rs"]
mod postgres;
mod process;
mod proxy;
mod report;
mod rounds;
mod router;
mod routes;
mod servers;
mod whole_way;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::features::Feature;
use crate::whole_way::Transport;

/// What a request costs, side by side with others.
#[derive(Debug, Parser)]
#[command(name = "cfgw-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures.
    Run(Plan),
    /// Measures a broker with many clusters.
    Broker(broker::Plan),
    /// Serves as the proxy alone until its standard input ends.
    #[command(hide = true)]
    Proxy {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        routes: usize,
        #[arg(long)]
        origin: SocketAddr,
        /// What each rule has.
        #[arg(long, value_enum, default_value_t = Feature::Plain)]
        with: Feature,
        /// The authority of the origin, where that speaks TLS.
        #[arg(long)]
        authority: Option<PathBuf>,
    },
    /// Routes requests in a loop, without any I/O.
    #[command(hide = true)]
    Router {
        #[arg(long)]
        routes: usize,
        #[arg(long)]
        requests: usize,
    },
}

/// What to measure, and with what.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Rounds of each table.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds for which each subject is loaded in a round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections of the load.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Routes of the large tables.
    #[arg(long, default_value_t = 10_000)]
    routes: usize,
    /// Tables to make; all unless given.
    #[arg(value_enum)]
    tables: Vec<Table>,
    /// The built `cfgw`.
    #[arg(long, env = "CFGW")]
    cfgw: PathBuf,
    /// The built `cloudflare-standin`.
    #[arg(long, env = "STANDIN")]
    standin: PathBuf,
    /// A genuine cloudflared.
    #[arg(long, env = "CLOUDFLARED", default_value = "cloudflared")]
    cloudflared: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Table {
    /// Edge, connector, router, origin, over HTTP/2.
    WholeWay,
    /// The same over QUIC.
    WholeWayQuic,
    /// The proxy without a tunnel.
    Alone,
    /// The proxy without a tunnel, and an origin that speaks TLS.
    AloneTls,
    /// Instructions per request, by callgrind.
    Instructions,
    /// Instructions per request by what its rule has, by callgrind.
    Features,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(plan) => run(&plan),
        Command::Broker(plan) => run_broker(&plan),
        Command::Proxy {
            listen,
            routes,
            origin,
            with,
            authority,
        } => proxy::serve(listen, routes, origin, with, authority.as_deref()),
        Command::Router { routes, requests } => router::run(routes, requests),
    }
}

#[tokio::main]
async fn run_broker(plan: &broker::Plan) -> anyhow::Result<()> {
    broker::measure(plan).await
}

#[tokio::main]
async fn run(plan: &Plan) -> anyhow::Result<()> {
    let wanted = |table| plan.tables.is_empty() || plan.tables.contains(&table);
    report::machine(plan)?;
    if wanted(Table::WholeWay) {
        whole_way::measure(plan, Transport::Http2).await?;
    }
    if wanted(Table::WholeWayQuic) {
        whole_way::measure(plan, Transport::Quic).await?;
    }
    if wanted(Table::Alone) {
        alone::measure(plan).await?;
    }
    if wanted(Table::AloneTls) {
        alone::measure_tls(plan).await?;
    }
    if wanted(Table::Instructions) {
        instructions::measure(plan).await?;
    }
    if wanted(Table::Features) {
        instructions::measure_features().await?;
    }
    report::load_average()
}
