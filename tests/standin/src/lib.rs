//! A stand-in Cloudflare: API, DNS and edge, for tests and the demo.
//!
//! One [`Cloud`] holds what Cloudflare would know. The API changes it, the name server answers from it
//! and the edge routes by it. Every tunnel has an address of its own out of [`cloud::TunnelRanges`], on
//! loopback unless set otherwise, which stands for the edge addresses of real Cloudflare.

pub mod api;
pub mod ca;
pub mod cloud;
pub mod dns;
pub mod edge;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use api::{ApiOptions, ApiServer};
use ca::CertificateAuthority;
use cloud::{Account, ApiToken, Cloud, Plan, TunnelRanges};
use dns::{DnsOptions, EdgeRegion, NameServer};
use edge::{Edge, EdgeOptions, PublicOptions, TunnelPorts};

/// The account that is there from the start, unless set otherwise.
pub const ACCOUNT_ID: &str = "5747a2d1f0c4e39b8d6a1c0e2f4b6d80";

/// How to start a stand-in. The default suits tests: free ports on loopback, one account, no zones.
#[derive(Debug, Clone)]
pub struct StandinOptions {
    /// Where the API listens: on loopback in plain HTTP, elsewhere over TLS with a certificate of the
    /// stand-in's authority for that address, because clients send their tokens there.
    pub api: SocketAddr,
    /// Where the name server listens, over UDP and TCP.
    pub dns: SocketAddr,
    /// The account that is there from the start.
    pub account: Account,
    /// API tokens.
    pub tokens: Vec<ApiToken>,
    /// Domains of the account.
    pub zones: Vec<String>,
    /// Where the tunnels' own addresses come from.
    pub tunnel_ranges: TunnelRanges,
    /// Where connectors dial: even places are the first region, odd ones the second. All have one port;
    /// port 0 takes a free one.
    pub tunnel_addresses: Vec<SocketAddr>,
    /// Where visitors come in.
    pub public: PublicOptions,
    /// Folder that keeps the certificate authority from one start to the next; `None` makes a new one.
    pub authority: Option<PathBuf>,
}

impl Default for StandinOptions {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            api: any_port,
            dns: any_port,
            account: Account {
                id: ACCOUNT_ID.to_owned(),
                name: "Stand-in".to_owned(),
                plan: Plan::Free,
            },
            tokens: Vec::new(),
            zones: Vec::new(),
            tunnel_ranges: TunnelRanges::default(),
            tunnel_addresses: (1..=4)
                .map(|host| SocketAddr::from(([127, 0, 1, host], 0)))
                .collect(),
            public: PublicOptions {
                http: any_port,
                https: any_port,
                direct_addresses: false,
                tells_arrival: false,
                tunnel_ports: TunnelPorts::AsShared,
            },
            authority: None,
        }
    }
}

/// A running stand-in. Its parts stop when it is dropped.
pub struct Standin {
    cloud: Cloud,
    edge: Edge,
    ca_pem: String,
    api: ApiServer,
    dns: NameServer,
}

impl Standin {
    /// Starts all parts; once it returns, they answer.
    pub async fn start(options: StandinOptions) -> anyhow::Result<Self> {
        let cloud = Cloud::new(options.tunnel_ranges);
        for zone in &options.zones {
            cloud.add_zone(&options.account.id, zone);
        }
        for token in options.tokens {
            cloud.add_token(token);
        }
        cloud.add_account(options.account);
        let authority = match &options.authority {
            Some(folder) => CertificateAuthority::open_or_create(folder)?,
            None => CertificateAuthority::generate()?,
        };
        let api_options = ApiOptions {
            listen: options.api,
            tls: match options.api.ip() {
                ip if ip.is_loopback() => None,
                ip => Some(authority.acceptor(&[&ip.to_string()])?),
            },
        };
        let edge_options = EdgeOptions {
            tunnel_addresses: options.tunnel_addresses,
            public: options.public,
            ..EdgeOptions::new(authority)
        };
        let edge = Edge::start(Arc::new(cloud.clone()), edge_options)
            .await
            .context("edge")?;
        let dns_options = DnsOptions {
            listen: options.dns,
            regions: regions(&edge),
        };
        let dns = NameServer::start(cloud.clone(), dns_options)
            .await
            .context("name server")?;
        let api = ApiServer::start(cloud.clone(), api_options)
            .await
            .context("API")?;
        Ok(Self {
            cloud,
            ca_pem: edge.ca_pem(),
            edge,
            api,
            dns,
        })
    }

    /// What Cloudflare knows, to look at and to change from outside.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// What a client takes for `https://api.cloudflare.com/client/v4`.
    pub fn api_url(&self) -> String {
        self.api.url()
    }

    /// The page for people; `state` and `calls` below it are JSON.
    pub fn operator_url(&self) -> String {
        self.api.operator_url()
    }

    /// Where the name server answers, over UDP and TCP.
    pub fn dns_addr(&self) -> SocketAddr {
        self.dns.address()
    }

    /// The edge, to look at and to disturb.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The authority that connectors and visitors must trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Stops all parts and waits until they are gone.
    pub async fn shutdown(self) {
        self.api.shutdown().await;
        self.dns.shutdown().await;
        self.edge.leave().await;
    }
}

/// The edge's addresses as connectors discover them by SRV.
fn regions(edge: &Edge) -> Vec<EdgeRegion> {
    let regions = edge
        .regions()
        .into_iter()
        .filter(|addresses| !addresses.is_empty());
    regions
        .map(|addresses| EdgeRegion {
            port: addresses[0].port(),
            addresses: addresses.iter().map(SocketAddr::ip).collect(),
        })
        .collect()
}
