//! `cfgw`: every program of the product that is not the operator's command line.

use std::process::ExitCode;

use app::cli::{Cli, Program};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().program {
        Program::Standalone(arguments) => app::cli::standalone(arguments).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line for a person; where in the code it arose tells a user nothing.
            eprintln!("cfgw: {error:#}");
            ExitCode::FAILURE
        }
    }
}
