//! Addresses of tunnels: their names, their ports, and the addresses themselves.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use standin::cloud::{ApiToken, TunnelRanges};
use standin::edge::{PublicOptions, TunnelPorts};
use standin::{ACCOUNT_ID, Standin, StandinOptions};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::TOKEN;
use crate::names::look_up;

const TUNNELS: &str = "127.83.0.0/24";

async fn standin(tunnels: &str, tells_arrival: bool) -> Standin {
    let defaults = StandinOptions::default();
    let options = StandinOptions {
        tokens: vec![ApiToken::all_powerful(ACCOUNT_ID, TOKEN)],
        tunnel_ranges: TunnelRanges {
            ipv4: tunnels.parse().unwrap(),
            ipv6: Some("fd83::/64".parse().unwrap()),
        },
        public: PublicOptions {
            direct_addresses: true,
            tells_arrival,
            tunnel_ports: TunnelPorts::AsCloudflare,
            ..defaults.public
        },
        ..defaults
    };
    Standin::start(options).await.unwrap()
}

async fn make_tunnel(standin: &Standin, name: &str) -> String {
    let url = format!("{}/accounts/{ACCOUNT_ID}/cfd_tunnel", standin.api_url());
    let request = reqwest::Client::new().post(url).bearer_auth(TOKEN);
    let body = json!({ "name": name, "config_src": "cloudflare" });
    let answer: serde_json::Value = request
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["result"]["id"].as_str().unwrap().to_owned()
}

async fn opens(address: IpAddr, port: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if TcpStream::connect((address, port)).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn every_tunnel_has_addresses_of_its_own_with_the_ports_that_cloudflare_takes() {
    let standin = standin(TUNNELS, false).await;
    let mut seen = Vec::new();
    for name in ["one", "two"] {
        let tunnel = make_tunnel(&standin, name).await;
        let host = format!("{tunnel}.cfargotunnel.com");
        let ipv4 = look_up(standin.dns_addr(), &host, "A").await;
        let ipv6 = look_up(standin.dns_addr(), &host, "AAAA").await;
        assert_eq!((ipv4.len(), ipv6.len()), (1, 1), "{host}");
        let address: IpAddr = ipv4[0].parse().unwrap();
        assert!(ipv6[0].starts_with("fd83::"), "{}", ipv6[0]);
        // Ports below 1024 are for root.
        for port in [
            8080, 8880, 2052, 2082, 2086, 2095, 2053, 2083, 2087, 2096, 8443,
        ] {
            assert!(opens(address, port).await, "{address}:{port}");
        }
        assert!(TcpStream::connect((address, 8090)).await.is_err());
        seen.push(address);
    }
    assert_ne!(seen[0], seen[1]);
    standin.shutdown().await;
}

#[tokio::test]
async fn port_8090_is_open_where_connectors_are_told_of_arrivals() {
    let standin = standin("127.84.0.0/24", true).await;
    let tunnel = make_tunnel(&standin, "one").await;
    let host = format!("{tunnel}.cfargotunnel.com");
    let found = look_up(standin.dns_addr(), &host, "A").await;
    assert!(opens(found[0].parse().unwrap(), 8090).await);
    standin.shutdown().await;
}
