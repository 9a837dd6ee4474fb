//! Runs the stand-in Cloudflare until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use standin::cloud::{Account, ApiToken, Plan};
use standin::{ACCOUNT_ID, Standin, StandinOptions};
use tracing_subscriber::EnvFilter;

/// A stand-in Cloudflare on this machine: API, DNS and edge.
#[derive(Debug, Parser)]
#[command(name = "cloudflare-standin", version)]
struct Arguments {
    /// Where the API listens: on loopback in plain HTTP, elsewhere over TLS.
    #[arg(long, env = "STANDIN_API", default_value = "127.0.0.1:8787")]
    api: SocketAddr,
    /// Where the name server listens, over UDP and TCP.
    #[arg(long, env = "STANDIN_DNS", default_value = "127.0.0.1:5353")]
    dns: SocketAddr,
    /// Id of the account: 32 hexadecimal digits.
    #[arg(long, env = "STANDIN_ACCOUNT", default_value = ACCOUNT_ID)]
    account: String,
    /// A domain of the account; can be given several times.
    #[arg(
        long = "zone",
        env = "STANDIN_ZONES",
        value_delimiter = ',',
        default_value = "example.com"
    )]
    zones: Vec<String>,
    /// An API token that may do everything. It opens nothing but this stand-in.
    #[arg(
        long,
        env = "STANDIN_TOKEN",
        default_value = "standin-token",
        hide_env_values = true
    )]
    token: String,
    /// Keeps the certificate authority; connectors and visitors trust its `ca.pem`.
    #[arg(long, env = "STANDIN_FOLDER", default_value = "standin")]
    folder: PathBuf,
    /// What the account pays for.
    #[arg(long, env = "STANDIN_PLAN", value_enum, default_value_t = PlanName::Free)]
    plan: PlanName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PlanName {
    Free,
    Paid,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let arguments = Arguments::parse();
    let standin = Standin::start(options(&arguments)).await?;
    println!("API            {}", standin.api_url());
    println!("account        {}", arguments.account);
    println!("zones          {}", arguments.zones.join(", "));
    let edge = standin.edge();
    let addresses: Vec<_> = edge
        .tunnel_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    println!("edge           {}", addresses.join(","));
    println!(
        "visitors       http {}, https {}",
        edge.public_http(),
        edge.public_https()
    );
    println!(
        "authority      {}",
        arguments.folder.join("ca.pem").display()
    );
    println!("name server    {}", standin.dns_addr());
    println!("records, calls {}", standin.operator_url());
    println!("Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    standin.shutdown().await;
    Ok(())
}

fn options(arguments: &Arguments) -> StandinOptions {
    StandinOptions {
        api: arguments.api,
        dns: arguments.dns,
        account: Account {
            id: arguments.account.clone(),
            name: "Stand-in".to_owned(),
            plan: match arguments.plan {
                PlanName::Free => Plan::Free,
                PlanName::Paid => Plan::Paid,
            },
        },
        tokens: vec![ApiToken::all_powerful(
            &arguments.account,
            arguments.token.as_str(),
        )],
        zones: arguments.zones.clone(),
        authority: Some(arguments.folder.clone()),
        ..StandinOptions::default()
    }
}
