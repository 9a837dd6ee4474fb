//! Runs the stand-in Cloudflare until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use serde::Deserialize;
use standin::cloud::{Account, AddressRange, ApiToken, Plan, TunnelRanges};
use standin::edge::{PublicOptions, TunnelPorts};
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
    /// Where connectors dial, over TCP and UDP; can be given several times. Even places are the first
    /// region, odd ones the second.
    #[arg(
        long = "edge",
        env = "STANDIN_EDGE",
        value_delimiter = ',',
        default_value = "127.0.1.1:0,127.0.1.2:0,127.0.1.3:0,127.0.1.4:0"
    )]
    edge: Vec<SocketAddr>,
    /// Where visitors come in without TLS.
    #[arg(long, env = "STANDIN_HTTP", default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Where visitors come in with TLS.
    #[arg(long, env = "STANDIN_HTTPS", default_value = "127.0.0.1:0")]
    https: SocketAddr,
    /// IPv4 addresses that stand for tunnels; the machine must have them.
    #[arg(long, env = "STANDIN_TUNNEL_ADDRESSES", default_value_t = AddressRange::LOOPBACK)]
    tunnel_addresses: AddressRange,
    /// IPv6 addresses that stand for tunnels beside those.
    #[arg(long, env = "STANDIN_TUNNEL_ADDRESSES_V6")]
    tunnel_addresses_v6: Option<AddressRange>,
    /// A request to a tunnel's address goes to that tunnel whatever its Host, HTTP/2 with prior knowledge
    /// is taken, and Cloudflare's ports are open there, 80 and 443 if this user may have them. For
    /// conformance suites, which dial addresses.
    #[arg(long, env = "STANDIN_DIRECT_ADDRESSES")]
    direct_addresses: bool,
    /// With `--direct-addresses`: port 8090 is open there too, and connectors are told the port and the TLS server name of
    /// each request, in `Cf-Arrival-Port` and `Cf-Arrival-Server-Name`, and the certificate that a visitor showed, in
    /// `Client-Cert`; an answer with `Cf-Arrival-Refused` closes the visitor's connection. For features of listeners that
    /// Cloudflare's edge has no way for.
    #[arg(long, env = "STANDIN_TELL_ARRIVALS", requires = "direct_addresses")]
    tell_arrivals: bool,
    /// JSON with `account`, `token` and `zones`, which goes before the options of these names. It keeps
    /// the token off the command line.
    #[arg(long, env = "STANDIN_SETTINGS")]
    settings: Option<PathBuf>,
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

/// The settings file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    account: Option<String>,
    token: Option<String>,
    zones: Option<Vec<String>>,
}

impl Arguments {
    /// The arguments with what the settings file says.
    fn with_settings(mut self) -> anyhow::Result<Self> {
        let Some(path) = &self.settings else {
            return Ok(self);
        };
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{shown}"))?;
        let settings: Settings = serde_json::from_str(&text).with_context(|| format!("{shown}"))?;
        self.account = settings.account.unwrap_or(self.account);
        self.token = settings.token.unwrap_or(self.token);
        self.zones = settings.zones.unwrap_or(self.zones);
        Ok(self)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let arguments = Arguments::parse().with_settings()?;
    anyhow::ensure!(
        !arguments.tunnel_addresses.is_ipv6()
            && arguments
                .tunnel_addresses_v6
                .is_none_or(|range| range.is_ipv6()),
        "--tunnel-addresses takes an IPv4 range, --tunnel-addresses-v6 an IPv6 range"
    );
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
        tunnel_ranges: TunnelRanges {
            ipv4: arguments.tunnel_addresses,
            ipv6: arguments.tunnel_addresses_v6,
        },
        tunnel_addresses: arguments.edge.clone(),
        public: PublicOptions {
            http: arguments.http,
            https: arguments.https,
            direct_addresses: arguments.direct_addresses,
            tells_arrival: arguments.tell_arrivals,
            tunnel_ports: match arguments.direct_addresses {
                true => TunnelPorts::AsCloudflare,
                false => TunnelPorts::AsShared,
            },
        },
        authority: Some(arguments.folder.clone()),
    }
}
