//! The demo: a stand-in Cloudflare, an app in two versions and `cfgw standalone` in one program.
//!
//! The stand-in is linked here and in tests, never in what ships.

mod app;
mod check;
mod stage;

use clap::Parser;

/// Manifests in, a request through a tunnel out, on this machine only.
#[derive(Debug, Parser)]
#[command(name = "cfgw-demo")]
struct Arguments {
    /// Make the requests, print each with its result, and exit.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let stage = stage::Stage::set().await?;
    if arguments.check {
        let failed = check::run(&stage).await;
        stage.strike().await;
        anyhow::ensure!(failed == 0, "{failed} checks failed");
        return Ok(());
    }
    stage.introduce();
    tokio::signal::ctrl_c().await?;
    stage.strike().await;
    Ok(())
}
