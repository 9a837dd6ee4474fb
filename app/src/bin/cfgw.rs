//! `cfgw`: every program of the product that is not the operator's command line.

use app::cli::{Cli, Program};
use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().program {
        Program::Standalone(arguments) => app::cli::standalone(arguments).await,
        Program::Broker(arguments) => app::cli::broker(arguments).await,
    }
}
