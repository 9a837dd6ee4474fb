//! The demo: a stand-in Cloudflare, an app in two versions and `cfgw standalone` in one program, with `--edge broker`
//! a broker between them.
//!
//! The stand-in is linked here and in tests, never in what ships.

mod app;
mod broker;
mod check;
mod stage;

use std::process::ExitCode;

use clap::Parser;

/// Manifests in, a request through a tunnel out, on this machine only.
#[derive(Debug, Parser)]
#[command(name = "cfgw-demo")]
struct Arguments {
    /// Make the requests, print each with its result, and exit.
    #[arg(long)]
    check: bool,
    /// Who makes tunnel and records.
    #[arg(long, value_enum, default_value_t = Edge::Direct)]
    edge: Edge,
}

/// What stands between `cfgw standalone` and Cloudflare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Edge {
    /// Nothing: the folder has a Secret with the credentials.
    Direct,
    /// `cfgw broker`, which has them.
    Broker,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stage = stage::Stage::set(arguments.edge).await?;
    if arguments.check {
        let failed = check::run(&stage).await;
        stage.strike().await;
        anyhow::ensure!(failed == 0, "{failed} checks failed");
        return Ok(());
    }
    stage.introduce()?;
    tokio::signal::ctrl_c().await?;
    stage.strike().await;
    Ok(())
}
