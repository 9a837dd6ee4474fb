//! A stand-in Cloudflare: API, DNS and edge, for tests and the demo.
//!
//! One [`Cloud`] holds what Cloudflare would know. The API changes it, the name server answers from it
//! and the edge routes by it. Every tunnel has a loopback address of its own, from
//! [`cloud::FIRST_TUNNEL_ADDRESS`] upwards, which stands for the edge addresses of real Cloudflare.

pub mod api;
pub mod ca;
pub mod cloud;
pub mod dns;
pub mod edge;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use api::{ApiOptions, ApiServer};
use cloud::{Account, ApiToken, Cloud, FIRST_TUNNEL_ADDRESS, Plan};
use dns::{DnsOptions, EdgeRegion, NameServer};

/// The account that is there from the start, unless set otherwise.
pub const ACCOUNT_ID: &str = "5747a2d1f0c4e39b8d6a1c0e2f4b6d80";

/// Port on which Cloudflare's edge takes connectors.
const EDGE_PORT: u16 = 7844;

/// How to start a stand-in. The default suits tests: free ports on loopback, one account, no zones.
#[derive(Debug, Clone)]
pub struct StandinOptions {
    /// Where the API listens, in plain HTTP.
    pub api: SocketAddr,
    /// Where the name server listens, over UDP and TCP.
    pub dns: SocketAddr,
    /// The account that is there from the start.
    pub account: Account,
    /// API tokens.
    pub tokens: Vec<ApiToken>,
    /// Domains of the account.
    pub zones: Vec<String>,
    /// Address of the first tunnel.
    pub first_tunnel_address: Ipv4Addr,
    /// The two regions that connectors discover by SRV.
    pub regions: Vec<EdgeRegion>,
}

impl Default for StandinOptions {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let region = |last: [u8; 2]| EdgeRegion {
            addresses: last
                .map(|n| IpAddr::from(Ipv4Addr::new(127, 0, 0, n)))
                .to_vec(),
            port: EDGE_PORT,
        };
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
            first_tunnel_address: FIRST_TUNNEL_ADDRESS,
            regions: vec![region([1, 3]), region([2, 4])],
        }
    }
}

/// A running stand-in. Its parts stop when it is dropped.
pub struct Standin {
    cloud: Cloud,
    regions: Vec<EdgeRegion>,
    api: ApiServer,
    dns: NameServer,
}

impl Standin {
    /// Starts all parts; once it returns, they answer.
    pub async fn start(options: StandinOptions) -> io::Result<Self> {
        let cloud = Cloud::new(options.first_tunnel_address);
        for zone in &options.zones {
            cloud.add_zone(&options.account.id, zone);
        }
        for token in options.tokens {
            cloud.add_token(token);
        }
        cloud.add_account(options.account);
        let dns_options = DnsOptions {
            listen: options.dns,
            regions: options.regions.clone(),
        };
        let dns = NameServer::start(cloud.clone(), dns_options).await?;
        let api_options = ApiOptions {
            listen: options.api,
        };
        let api = ApiServer::start(cloud.clone(), api_options).await?;
        Ok(Self {
            cloud,
            regions: options.regions,
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

    /// Where connectors reach the edge, by region.
    pub fn regions(&self) -> &[EdgeRegion] {
        &self.regions
    }

    /// Stops all parts and waits until they are gone.
    pub async fn shutdown(self) {
        self.api.shutdown().await;
        self.dns.shutdown().await;
    }
}
