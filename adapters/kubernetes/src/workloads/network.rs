//! What the pods of a Gateway's proxies may reach, and who may reach them, as a NetworkPolicy: all else is denied.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use domain::endpoint_policy::{AddressRange, NOT_PUBLIC_IPV4, NOT_PUBLIC_IPV6, PUBLIC_IPV6};

use serde_json::{Value, json};

use super::pod::ADMIN_PORT;

const STREAM_PORT: u16 = 8443;
const NAME_SERVERS_PORT: u16 = 53;
/// Where Cloudflare's edge takes tunnels.
const EDGE_PORT: u16 = 7844;

/// Asked for the edge over TLS where the cluster's name servers cannot tell.
const PUBLIC_NAME_SERVER: (&str, u16) = ("1.1.1.1/32", 853);

/// What proxies reach beside the cluster's pods, name servers and the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkRules {
    /// Addresses of the edge; empty where it is looked for.
    pub edge: Vec<SocketAddr>,
    /// Where endpoints are that are no pods, as `address/prefix`.
    pub endpoint_ranges: Vec<String>,
    /// Addresses of the cluster that are addresses of the internet.
    pub cluster_ranges: Vec<AddressRange>,
}

impl NetworkRules {
    /// The policy of these pods, which reach hosts outside of the cluster on these ports. Endpoints are pods of any namespace and port: what a route may name is decided by
    /// whoever resolves it, and changes with each route.
    pub(super) fn policy(
        &self,
        pods: &Value,
        controller_namespace: &str,
        outside_ports: &BTreeSet<u16>,
    ) -> Value {
        let mut egress = vec![
            json!({"ports": [port(NAME_SERVERS_PORT, "UDP"), port(NAME_SERVERS_PORT, "TCP")]}),
            json!({
                "to": [{
                    "namespaceSelector": {"matchLabels": {
                        "kubernetes.io/metadata.name": controller_namespace,
                    }},
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "cfgw-controller"}},
                }],
                "ports": [port(STREAM_PORT, "TCP")],
            }),
            json!({"to": [{"namespaceSelector": {}}]}),
        ];
        egress.extend(self.to_edge());
        egress.extend(self.to_outside(outside_ports));
        if !self.endpoint_ranges.is_empty() {
            let ranges = self.endpoint_ranges.iter();
            let ranges: Vec<Value> = ranges.map(|range| block(range)).collect();
            egress.push(json!({"to": ranges}));
        }
        json!({"spec": {
            "podSelector": {"matchLabels": pods},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [port(ADMIN_PORT, "TCP")]}],
            "egress": egress,
        }})
    }

    /// Where hosts outside of the cluster are. A policy knows no names, so it is all of the internet: which host is reached is
    /// the proxy's to see to.
    fn to_outside(&self, ports: &BTreeSet<u16>) -> Option<Value> {
        if ports.is_empty() {
            return None;
        }
        let own = |is_ipv4: bool| {
            let ranges = self.cluster_ranges.iter();
            let ranges = ranges.filter(move |range| range.is_ipv4() == is_ipv4);
            ranges.map(ToString::to_string)
        };
        let without = |cidr: &str, is_ipv4: bool, except: &[&str]| {
            let whole = AddressRange::parse(cidr);
            let except = except.iter().map(|range| (*range).to_owned());
            let except = except.chain(own(is_ipv4)).filter(|range| {
                // Kubernetes refuses an exception that is no part of the range.
                let range = AddressRange::parse(range);
                range
                    .zip(whole)
                    .is_some_and(|(range, whole)| range.is_within(&whole))
            });
            json!({"ipBlock": {"cidr": cidr, "except": except.collect::<Vec<_>>()}})
        };
        let mut to = vec![without("0.0.0.0/0", true, &NOT_PUBLIC_IPV4)];
        to.extend(PUBLIC_IPV6.map(|range| without(range, false, &NOT_PUBLIC_IPV6)));
        let ports = ports.iter().map(|number| port(*number, "TCP"));
        Some(json!({"to": to, "ports": ports.collect::<Vec<_>>()}))
    }

    fn to_edge(&self) -> Vec<Value> {
        if self.edge.is_empty() {
            let (server, over_tls) = PUBLIC_NAME_SERVER;
            return vec![
                json!({
                    "to": [block("0.0.0.0/0"), block("::/0")],
                    "ports": [port(EDGE_PORT, "TCP"), port(EDGE_PORT, "UDP")],
                }),
                json!({"to": [block(server)], "ports": [port(over_tls, "TCP")]}),
            ];
        }
        let of_one = |address: &SocketAddr| {
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            let number = address.port();
            json!({
                "to": [block(&format!("{}/{prefix}", address.ip()))],
                "ports": [port(number, "TCP"), port(number, "UDP")],
            })
        };
        self.edge.iter().map(of_one).collect()
    }
}

fn port(number: u16, protocol: &str) -> Value {
    json!({"port": number, "protocol": protocol})
}

fn block(range: &str) -> Value {
    json!({"ipBlock": {"cidr": range}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_reach_the_internet_on_the_ports_of_permitted_hosts_and_nothing_private() {
        let rules = NetworkRules {
            cluster_ranges: ["8.8.0.0/16", "2600:1f00::/48", "fd00::/8"]
                .map(|range| AddressRange::parse(range).unwrap())
                .to_vec(),
            ..NetworkRules::default()
        };
        let policy = |ports: &[u16]| {
            let ports = ports.iter().copied().collect();
            rules.policy(&json!({}), "cfgw-system", &ports)["spec"]["egress"].clone()
        };
        let without = policy(&[]);
        let with = policy(&[443, 8443]);
        let (without, with) = (without.as_array().unwrap(), with.as_array().unwrap());
        assert_eq!(with.len(), without.len() + 1);
        let added = with.iter().find(|rule| !without.contains(rule)).unwrap();
        assert_eq!(added["ports"], json!([port(443, "TCP"), port(8443, "TCP")]));
        for (block, address, is_reached) in [
            (0, "1.1.1.1", true),
            (0, "10.96.0.1", false),
            (0, "169.254.169.254", false),
            (0, "192.168.1.1", false),
            (0, "8.8.8.8", false),
            (1, "2606:4700::1", true),
            (1, "2600:1f00::1", false),
            (1, "fd00::1", false),
            (2, "64:ff9b::101:101", true),
        ] {
            let block = &added["to"][block]["ipBlock"];
            let range = |text: &Value| AddressRange::parse(text.as_str().unwrap()).unwrap();
            let cidr = range(&block["cidr"]);
            let except: Vec<AddressRange> = block["except"]
                .as_array()
                .unwrap()
                .iter()
                .map(range)
                .collect();
            assert!(except.iter().all(|one| one.is_within(&cidr)), "{block}");
            let address = address.parse().unwrap();
            let found = cidr.contains(address) && !except.iter().any(|it| it.contains(address));
            assert_eq!(found, is_reached, "{address}");
        }
    }
}
