//! What a world has at Cloudflare, and what a test changes there.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use standin::cloud::{ApiToken, Call, Cloud, Permission, RecordBatch, RecordFields, RecordKind};
use uuid::Uuid;

use super::{ACCOUNT, World, within};

/// A tunnel that is not deleted.
#[derive(Debug)]
pub struct TunnelSeen {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Who keeps its document.
    pub config_src: &'static str,
    /// Its ingress rules.
    pub ingress: serde_json::Value,
    /// Where the edge answers for it.
    pub address: Ipv4Addr,
}

/// A record of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSeen {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Whether the edge answers for it.
    pub proxied: bool,
    /// Its comment.
    pub comment: String,
}

impl World {
    fn cloud(&self) -> &Cloud {
        self.standin.cloud()
    }

    /// The connector tokens of all tunnels that are not deleted.
    pub fn connector_tokens(&self) -> Vec<String> {
        let all = self.cloud().tunnels().into_iter();
        all.filter(|tunnel| tunnel.deleted_at.is_none())
            .map(|tunnel| tunnel.token())
            .collect()
    }

    /// Ids of the custom certificates of the zone.
    pub fn certificates(&self) -> Vec<String> {
        let all = self.cloud().certificates(&self.zone).into_iter();
        all.map(|certificate| certificate.id).collect()
    }

    /// Tunnels that are not deleted.
    pub fn tunnels(&self) -> Vec<TunnelSeen> {
        let all = self.cloud().tunnels().into_iter();
        all.filter(|tunnel| tunnel.deleted_at.is_none())
            .map(|tunnel| TunnelSeen {
                id: tunnel.id,
                name: tunnel.name,
                config_src: tunnel.config_src.as_str(),
                ingress: tunnel
                    .configuration
                    .map_or(serde_json::Value::Null, |c| c.document["ingress"].clone()),
                address: tunnel.address,
            })
            .collect()
    }

    /// All records of the zone.
    pub fn records(&self) -> Vec<RecordSeen> {
        let all = self.cloud().records(&self.zone);
        all.iter()
            .map(|record| RecordSeen {
                id: record.id.clone(),
                kind: record.kind.as_str().to_owned(),
                name: record.name.clone(),
                content: record.content.clone(),
                proxied: record.proxied,
                comment: record.comment.clone().unwrap_or_default(),
            })
            .collect()
    }

    /// A record with every field there is, times included.
    pub fn raw_record(&self, name: &str) -> String {
        let all = self.cloud().records(&self.zone);
        let found = all.iter().find(|record| record.name == name);
        format!(
            "{:?}",
            found.unwrap_or_else(|| panic!("{name} has no record"))
        )
    }

    /// Deletes every tunnel, as by hand; records stay.
    pub fn delete_tunnels(&self) {
        for tunnel in self.tunnels() {
            let deleted = self.cloud().delete_tunnel(ACCOUNT, tunnel.id);
            deleted.expect("no connection is in the way");
        }
    }

    /// API calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.cloud().calls()
    }

    /// Waits until no API call has been made for half a second.
    pub async fn settled(&self) {
        let mut before = self.calls().len();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.calls().len();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Adds a record that is not ours.
    pub fn foreign_record(&self, kind: &str, name: &str, content: &str) {
        let fields = RecordFields {
            kind: RecordKind::parse(kind).expect("a kind of record"),
            name: name.to_owned(),
            content: content.to_owned(),
            priority: None,
            proxied: true,
            ttl: 1,
            comment: Some("made by hand".to_owned()),
            tags: Vec::new(),
        };
        let batch = RecordBatch {
            posts: vec![fields],
            ..RecordBatch::default()
        };
        self.cloud()
            .change_records(&self.zone, batch)
            .expect("a valid record");
    }

    /// Another token, which may not write DNS.
    pub fn token_without_dns(&self) -> String {
        let value = format!("canary-{}", Uuid::new_v4().simple());
        let token = ApiToken::all_powerful(ACCOUNT, value.as_str());
        self.cloud().add_token(token.allowed([
            Permission::TunnelEdit,
            Permission::ZoneRead,
            Permission::DnsRead,
        ]));
        value
    }

    // Connections of connectors.

    /// Ids of the connections that are registered now.
    pub fn live_connections(&self) -> BTreeSet<Uuid> {
        let tunnels = self.tunnels();
        tunnels
            .iter()
            .flat_map(|t| self.cloud().connections(t.id))
            .map(|c| c.connection)
            .collect()
    }

    /// Waits until this many connections are registered.
    pub async fn connections(&self, number: usize) {
        within(
            Duration::from_secs(20),
            &format!("{number} connections"),
            || async { (self.live_connections().len() >= number).then_some(()) },
        )
        .await;
    }

    /// Cuts one connection and waits until the edge has noticed.
    pub async fn kill_connection(&self) {
        let victim = *self.live_connections().first().expect("a connection");
        self.standin.edge().kill(victim);
        within(
            Duration::from_secs(5),
            "the edge drops the connection",
            || async { (!self.live_connections().contains(&victim)).then_some(()) },
        )
        .await;
    }

    /// Makes one connection take and give nothing any more, without closing it.
    pub async fn wedge_connection(&self) -> Uuid {
        let victim = *self.live_connections().first().expect("a connection");
        self.standin.edge().wedge(victim);
        victim
    }

    /// The edge drops all connections and takes no new ones.
    pub async fn edge_away(&self) {
        self.standin.edge().leave().await;
    }

    /// The edge takes connections again.
    pub async fn edge_back(&self) {
        self.standin
            .edge()
            .come_back()
            .await
            .expect("the edge listens again");
    }
}
