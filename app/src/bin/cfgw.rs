//! `cfgw`: the one program of the product; its first argument says what it is.

use std::process::ExitCode;

use app::cli::{Cli, Config, OrderToStop, Program};
use clap::Parser;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // Before anything that takes time.
    let ended = match OrderToStop::listen() {
        Ok(ordered) => run(ordered).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line for a person; the place in the code does not help a user.
            eprintln!("cfgw: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(ordered: OrderToStop) -> anyhow::Result<()> {
    match Cli::parse().program {
        Program::Controller(arguments) => app::cli::controller(arguments, ordered).await,
        Program::Proxy(arguments) => app::cli::proxy(arguments, ordered).await,
        Program::Standalone(arguments) => app::cli::standalone(arguments, ordered).await,
        Program::Broker(arguments) => app::cli::broker(arguments, ordered).await,
        Program::Config(Config::Check(asked)) => app::cli::config_check(&asked),
        Program::Probe(arguments) => app::cli::probe(arguments).await,
    }
}
