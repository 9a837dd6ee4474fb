//! The edge, driven from both sides: by a connector made for these tests alone and by plain visitors.

/// Each of these functions is a test over each transport.
macro_rules! over_both_transports {
    ($($rule:ident,)+) => {$(
        mod $rule {
            use super::super::World;
            use crate::edge::Transport;

            #[tokio::test]
            async fn over_http2() {
                super::$rule(World::over(Transport::Http2).await).await;
            }

            #[tokio::test]
            async fn over_quic() {
                super::$rule(World::over(Transport::Quic).await).await;
            }
        }
    )+};
}

mod connections;
mod connector;
mod origin;
mod quic_connector;
mod registration;
mod requests;
mod streams;
mod visitor;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use self::connector::{Credentials, FakeConnection};
use super::{ConnectionView, Edge, EdgeOptions, Phase, Transport};
use crate::ca::CertificateAuthority;
use crate::cloud::{
    Account, Cloud, ConfigSource, DnsRecord, Plan, RecordKind, Tunnel, TunnelConfiguration,
    TunnelSecret,
};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const HOST: &str = "app.example.com";

/// An edge, and a cloud with one account, one zone, one remotely configured tunnel and one record for
/// [`HOST`].
struct World {
    cloud: Arc<Cloud>,
    edge: Edge,
    tunnel: Uuid,
    zone: String,
    /// What connectors dial over.
    transport: Transport,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, whose connectors dial over this transport.
    async fn over(transport: Transport) -> Self {
        let mut world = Self::new().await;
        world.transport = transport;
        world
    }

    async fn with(adjust: impl FnOnce(&mut EdgeOptions)) -> Self {
        let cloud = Arc::new(Cloud::default());
        cloud.add_account(Account {
            id: ACCOUNT.to_owned(),
            name: "Example".to_owned(),
            plan: Plan::Free,
        });
        let zone = cloud.add_zone(ACCOUNT, "example.com");
        let tunnel = add_tunnel(&cloud, ACCOUNT, 0);
        let mut options = EdgeOptions::new(CertificateAuthority::generate().unwrap());
        adjust(&mut options);
        let edge = Edge::start(cloud.clone(), options).await.unwrap();
        let world = Self {
            cloud,
            edge,
            tunnel,
            zone,
            transport: Transport::Http2,
        };
        world.point(HOST, RecordKind::Cname, &tunnel_name(tunnel), true);
        world
    }

    /// Puts a record into the zone.
    fn point(&self, name: &str, kind: RecordKind, content: &str, proxied: bool) {
        let record = DnsRecord {
            id: Uuid::new_v4().simple().to_string(),
            zone: self.zone.clone(),
            kind,
            name: name.to_owned(),
            content: content.to_owned(),
            priority: None,
            proxied,
            ttl: 1,
            comment: None,
            comment_modified_on: None,
            tags: Vec::new(),
            tags_modified_on: None,
            created_on: Timestamp::now(),
            modified_on: Timestamp::now(),
        };
        self.cloud.change(|state| {
            let zone = state.zones.get_mut(&self.zone).unwrap();
            Arc::make_mut(&mut zone.records).put(record);
        });
    }

    /// Puts a version of the tunnel's configuration.
    fn configure(&self, version: i32) {
        let document = json!({"ingress": [{"service": "http_status:404"}]});
        self.cloud.change(|state| {
            let tunnel = state.tunnels.get_mut(&self.tunnel).unwrap();
            tunnel.configuration = Some(TunnelConfiguration { version, document });
        });
    }

    fn credentials(&self) -> Credentials {
        credentials(&self.cloud, self.tunnel)
    }

    /// A connection that has not registered.
    async fn dial(&self, address: SocketAddr) -> FakeConnection {
        FakeConnection::dial(&self.edge, address, self.transport).await
    }

    /// A new connector with one connection, ready to serve.
    async fn connect(&self) -> FakeConnection {
        self.connect_as(Uuid::new_v4(), 0).await
    }

    /// A connection of a connector, ready to serve.
    async fn connect_as(&self, connector: Uuid, index: u8) -> FakeConnection {
        let addresses = self.edge.tunnel_addresses();
        let address = addresses[usize::from(index) % addresses.len()];
        let connection = self.dial(address).await;
        let registered = connection
            .register(&self.credentials(), connector, index)
            .await;
        let id = registered.unwrap().connection;
        until("the connection serves", async || {
            self.find(id)
                .is_some_and(|view| view.phase == Phase::Serving)
        })
        .await;
        connection
    }

    fn find(&self, id: Uuid) -> Option<ConnectionView> {
        self.edge
            .connections()
            .into_iter()
            .find(|view| view.id == id)
    }
}

fn add_tunnel(cloud: &Cloud, account: &str, nth: u8) -> Uuid {
    let id = Uuid::new_v4();
    let tunnel = Tunnel {
        id,
        account: account.to_owned(),
        name: format!("tunnel-{nth}"),
        config_src: ConfigSource::Cloudflare,
        secret: TunnelSecret::generate(),
        created_at: Timestamp::now(),
        deleted_at: None,
        configuration: None,
        address: [127, 64, 0, 1 + nth].into(),
        address_v6: None,
        active_since: None,
        inactive_since: None,
    };
    cloud.change(|state| state.tunnels.insert(id, tunnel));
    id
}

fn credentials(cloud: &Cloud, tunnel: Uuid) -> Credentials {
    cloud.view(|state| {
        let found = &state.tunnels[&tunnel];
        Credentials {
            account: found.account.clone(),
            secret: found.secret.expose().to_vec(),
            tunnel,
        }
    })
}

fn tunnel_name(tunnel: Uuid) -> String {
    format!("{tunnel}.cfargotunnel.com")
}

/// Waits for something that must become true, far longer than it should take.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fails a test that hangs.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}
