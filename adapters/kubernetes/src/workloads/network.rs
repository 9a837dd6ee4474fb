//! What the pods of a Gateway's proxies may reach, and who may reach them, as a NetworkPolicy: all else is denied.

use std::net::SocketAddr;

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
}

impl NetworkRules {
    /// The policy of these pods. Endpoints are pods of any namespace and port: what a route may name is decided by
    /// whoever resolves it, and changes with each route.
    pub(super) fn policy(&self, pods: &Value, controller_namespace: &str) -> Value {
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
