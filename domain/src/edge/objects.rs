//! Cloudflare's objects, as far as we use them. Field meanings: developers.cloudflare.com/api.

use crate::names::{CertificateId, Hostname, RecordId, TunnelId, ZoneId};

/// A tunnel as `GET …/cfd_tunnel` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    pub id: TunnelId,
    /// Its name, unique among the account's tunnels that are not deleted.
    pub name: String,
    /// Whether its ingress document is kept at Cloudflare (`config_src: cloudflare`).
    pub remotely_configured: bool,
    /// Whether connectors are connected to it, as its `status` says.
    pub health: TunnelHealth,
}

/// `status` of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TunnelHealth {
    /// No connector was ever connected: it is being made, or was never used.
    Inactive,
    /// Connected, with fewer connections than a connector should have.
    Degraded,
    Healthy,
    /// Connectors were connected, and none is any more.
    Down,
    /// A word that we do not know. It proves nothing.
    Unknown,
}

impl Tunnel {
    /// Whether it was used and is not any more.
    pub fn is_down(&self) -> bool {
        self.health == TunnelHealth::Down
    }
}

/// Connections of one connector, as `GET …/cfd_tunnel/{id}/connections` lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// The connector's own id.
    pub id: String,
    /// How many connections it holds.
    pub connections: usize,
}

/// Ingress rules of a remotely configured tunnel, in order, without the final catch-all rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IngressDocument {
    /// One for each hostname, or for each of its paths; for people reading the dashboard, not for routing.
    pub rules: Vec<IngressRule>,
    /// Service of the last rule, which takes what no other took.
    pub catch_all: String,
}

impl IngressDocument {
    /// Hostnames that it shows. What stands below a reserved name is none ([`Hostname::reserved`]).
    pub fn hostnames(&self) -> impl Iterator<Item = &Hostname> {
        let names = self.rules.iter().map(|rule| &rule.hostname);
        names.filter(|name| name.reserved().is_none())
    }
}

/// One ingress rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressRule {
    pub hostname: Hostname,
    /// A regular expression; `None` for every path.
    pub path: Option<String>,
    /// Where it leads, e.g. `http://my-gateway.default`.
    pub service: String,
}

/// A DNS zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Zone {
    pub id: ZoneId,
    /// Its apex, in lower case and in the form of DNS (`xn--…`).
    pub name: String,
    pub state: ZoneState,
}

impl Zone {
    /// A zone that Cloudflare serves.
    pub fn active(id: ZoneId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            state: ZoneState::Active,
        }
    }
}

/// Whether names of a zone lead to Cloudflare (`status`, `paused` and `type` of a zone).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ZoneState {
    #[default]
    Active,
    /// Its name servers are not those of Cloudflare, not yet or not any more.
    Pending,
    /// Cloudflare answers for its names and proxies none.
    Paused,
    /// Another provider serves its DNS (CNAME set-up); each name needs a CNAME there.
    Partial,
    /// Known by its id alone, as the token may not look at it.
    Unseen,
}

/// A custom certificate of a zone. It has no field for an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomCertificate {
    pub id: CertificateId,
    /// Names that it is for.
    pub hosts: Vec<String>,
}

/// A DNS record, of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    pub id: RecordId,
    /// Type and content, as for writing.
    pub data: RecordData,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordData {
    /// Full name in lower case, `*.` included. A name that is no hostname of ours to be, e.g.
    /// `_dmarc.example.com`, stands as it is.
    pub name: String,
    /// `CNAME`, `A`, `TXT` …
    pub kind: String,
    /// Content as the API gives it.
    pub content: String,
    /// Whether Cloudflare's edge answers for it.
    pub proxied: bool,
    /// Seconds; 1 means automatic.
    pub ttl: u32,
    /// Comment; empty where there is none.
    pub comment: String,
}

/// One batch of changes to a zone. The API carries it out in this order, as one transaction
/// (`POST /zones/{id}/dns_records/batch`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordBatch {
    pub deletes: Vec<RecordId>,
    pub puts: Vec<(RecordId, RecordData)>,
    pub posts: Vec<RecordData>,
}

impl RecordBatch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.deletes.len() + self.puts.len() + self.posts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_every_operation() {
        let data = RecordData {
            name: "a.example.com".to_owned(),
            kind: "CNAME".to_owned(),
            content: "b.example.com".to_owned(),
            proxied: true,
            ttl: 1,
            comment: String::new(),
        };
        let id = || RecordId::new("r");
        for (deletes, puts, posts) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 3, 5)] {
            let batch = RecordBatch {
                deletes: vec![id(); deletes],
                puts: vec![(id(), data.clone()); puts],
                posts: vec![data.clone(); posts],
            };
            let operations = deletes + puts + posts;
            assert_eq!(batch.len(), operations);
            assert_eq!(batch.is_empty(), operations == 0);
        }
    }
}
