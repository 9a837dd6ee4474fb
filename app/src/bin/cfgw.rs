//! `cfgw`: the one program of the product; its first argument says what it is.

use std::process::ExitCode;

use app::cli::{Cli, Config, Program};
use clap::Parser;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().program {
        Program::Controller(arguments) => app::cli::controller(arguments).await,
        Program::Proxy(arguments) => app::cli::proxy(arguments).await,
        Program::Standalone(arguments) => app::cli::standalone(arguments).await,
        Program::Broker(arguments) => app::cli::broker(arguments).await,
        Program::Config(Config::Check(asked)) => app::cli::config_check(&asked),
        Program::Probe(arguments) => app::cli::probe(arguments).await,
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
