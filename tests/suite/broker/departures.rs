//! A cluster goes: by order of whoever runs the broker, or because it is not heard of any more.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use adapter_broker::BrokerEdge;
use adapter_broker::identity::key::ClusterKey;
use adapter_broker::identity::{proof, unpredictable};
use app::system::{SystemClock, SystemEntropy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::broker::ClusterName;
use domain::broker::audit::Event;
use domain::broker::cluster::WhenExpired;
use domain::broker::contact::Contact;
use domain::broker::ports::{Audit, Clusters, Intents, Turn};
use domain::edge::{EdgeIntent, HostnameOutcome};
use domain::ports::{Clock, Edge, PortErrorKind};
use domain::{Hostname, ObjectKey};
use secrecy::ExposeSecret;
use serde_json::json;
use standin::cloud::{CallMatch, ConnectionRecord, Effect, Failure, Fault, Stage};
use tests::broker::{Broker, EAST, Enrolled, Member, WEST, enrol};
use tests::world::{ACCOUNT, World, within};
use uuid::Uuid;

const NORTH: Member = Member("north");

const SOUTH: Member = Member("south");

/// Longer than a broker that tries again after 1 s, 2 s and 4 s needs.
const SOON: Duration = Duration::from_secs(40);

fn gateway() -> ObjectKey {
    ObjectKey::new("default", "one")
}

fn intent(hostnames: &[&str]) -> EdgeIntent {
    domain::testing::intent(gateway(), hostnames)
}

fn name(member: Member) -> ClusterName {
    ClusterName::parse(member.0).unwrap()
}

async fn publish(edge: &BrokerEdge, hostnames: &[&str]) {
    let status = edge.reconcile(&intent(hostnames)).await.unwrap();
    for hostname in hostnames {
        let outcome = &status.hostnames[&Hostname::parse(hostname).unwrap()];
        assert_eq!(*outcome, HostnameOutcome::Applied, "{hostname}");
    }
}

/// What Cloudflare shows of one cluster and of all others.
trait Shown {
    fn tunnel_of(&self, member: Member) -> Option<Uuid>;
    fn names(&self) -> BTreeSet<String>;
    fn connect(&self, tunnel: Uuid);
    fn is_connected(&self, tunnel: Uuid) -> bool;
    fn joins(&self, token: &str) -> bool;
    fn fail(&self, on: CallMatch, stage: Stage);
    fn wrote(&self, method: &str, path: &str) -> Vec<u64>;
}

impl Shown for World {
    fn tunnel_of(&self, member: Member) -> Option<Uuid> {
        let part = format!("/clusters/{}/", member.0);
        let mut tunnels = self.tunnels().into_iter();
        let found = tunnels.find(|tunnel| tunnel.name.contains(&part));
        found.map(|tunnel| tunnel.id)
    }

    fn names(&self) -> BTreeSet<String> {
        let records = self.records().into_iter();
        records.map(|record| record.name).collect()
    }

    /// A connector holds a connection, and does nothing when it is closed.
    fn connect(&self, tunnel: Uuid) {
        self.standin.cloud().connected(ConnectionRecord {
            connection: Uuid::new_v4(),
            tunnel,
            connector: Uuid::new_v4(),
            index: 0,
            colo: "sim01".to_owned(),
            client_version: "test".to_owned(),
            arch: "linux_amd64".to_owned(),
            features: Vec::new(),
            origin_ip: IpAddr::from([127, 0, 0, 1]),
            opened_at: jiff::Timestamp::now(),
        });
    }

    fn is_connected(&self, tunnel: Uuid) -> bool {
        !self.standin.cloud().connections(tunnel).is_empty()
    }

    /// Whether a connector with this token is let in.
    fn joins(&self, token: &str) -> bool {
        let json = STANDARD.decode(token).expect("base64");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        let text = |field: &str| json[field].as_str().expect("a text").to_owned();
        let secret = STANDARD.decode(text("s")).expect("base64");
        let tunnel = text("t").parse().expect("an id");
        let cloud = self.standin.cloud();
        cloud.authenticate(&text("a"), tunnel, &secret).is_ok()
    }

    fn fail(&self, on: CallMatch, stage: Stage) {
        let failure = Failure::CutConnection;
        let effect = Effect::Fail { stage, failure };
        self.standin.cloud().inject(Fault { on, effect });
    }

    /// Numbers of the calls of this kind.
    fn wrote(&self, method: &str, path: &str) -> Vec<u64> {
        let calls = self.calls().into_iter();
        let fits = calls.filter(|call| call.method == method && call.path.contains(path));
        fits.map(|call| call.n).collect()
    }
}

/// Every call of this kind from now on.
fn every(method: &str, path: &str) -> CallMatch {
    CallMatch {
        times: u64::MAX,
        ..CallMatch::next(method, path)
    }
}

async fn is_refused(edge: &BrokerEdge, told: &str) {
    for refused in [
        edge.owned().await.unwrap_err().error,
        edge.reconcile(&intent(&["app.example.com"]))
            .await
            .unwrap_err(),
        edge.connector_token(&gateway()).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, PortErrorKind::Unauthenticated, "{refused}");
        assert!(refused.message.contains(told), "{refused}");
    }
}

/// Actions of the audit with this beginning, and who did them.
async fn audited(broker: &Broker, action: &str) -> Vec<String> {
    let entries = broker.store.after(0, 1000).await.unwrap().into_iter();
    let events = entries.map(|entry| entry.event);
    events
        .filter(|event| event.action.starts_with(action))
        .map(|event| format!("{} {} {}", event.actor, event.action, event.result))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_lost_is_cleaned_up_whatever_fails_on_the_way() {
    let world = World::start().await;
    let mut broker = Broker::start(&world).await;
    world.foreign_record("A", "foreign.example.com", "192.0.2.1");
    let enrolled = Enrolled::of(EAST);
    let key = enrol(&broker.store, &enrolled).await;
    let east = broker.client_with(key.clone(), enrolled.instance);
    let west = broker.client(WEST).await;
    publish(&east, &["app.example.com", "api.example.com"]).await;
    publish(&west, &["shop.example.com"]).await;
    let token = east.connector_token(&gateway()).await.unwrap();
    let tunnel = world.tunnel_of(EAST).unwrap();
    world.connect(tunnel);
    let foreign = ["foreign.example.com", "shop.example.com"].map(|name| world.raw_record(name));

    let plan = broker.command(&["give-up", "east"]).await;
    for part in [
        "default/one",
        "main",
        "api.example.com,app.example.com",
        "--confirm east",
    ] {
        assert!(plan.contains(part), "{part} {plan}");
    }
    is_served(&east).await;

    // Nothing can be removed in the zone; then the broker dies; then the answer of Cloudflare is lost.
    world.fail(every("POST", "dns_records/batch"), Stage::BeforeCommit);
    broker
        .command(&["give-up", "east", "--confirm", "east"])
        .await;
    within(SOON, "a removal that fails", || async {
        (!world.wrote("POST", "dns_records/batch")[2..].is_empty()).then_some(())
    })
    .await;
    assert_eq!(world.tunnel_of(EAST), Some(tunnel), "records go first");
    broker.kill().await;
    world.standin.cloud().clear_faults();
    // Connections are closed twice; the third call of the kind deletes the tunnel.
    let path = format!("cfd_tunnel/{tunnel}");
    let third = CallMatch {
        nth: 3,
        ..CallMatch::next("DELETE", &path)
    };
    world.fail(third, Stage::AfterCommit);
    broker.restart().await;

    within(SOON, "nothing is left", || async {
        let held = broker.store.held(&name(EAST), &gateway()).await.unwrap();
        (world.tunnel_of(EAST).is_none() && held.is_none()).then_some(())
    })
    .await;
    let left = ["foreign.example.com", "shop.example.com"];
    assert_eq!(world.names(), left.map(str::to_owned).into());
    assert_eq!(left.map(|name| world.raw_record(name)), foreign);
    let last_records = world.wrote("POST", "dns_records/batch").pop();
    let deleted = world.standin.cloud().calls().into_iter();
    let mut deleted = deleted.filter(|call| call.method == "DELETE" && call.path.ends_with(&path));
    assert!(deleted.next().unwrap().n > last_records.unwrap());

    assert!(!world.joins(token.expose()), "the old connector token");
    is_refused(&east, "was given up").await;
    assert_eq!(session(&broker, &key).await, 410);
    assert_eq!(session(&broker, &ClusterKey::generate()).await, 403);
    publish(&west, &["shop.example.com", "app.example.com"]).await;
}

/// The status of the answer to whoever asks for a session with this key.
async fn session(broker: &Broker, key: &ClusterKey) -> u16 {
    let url = format!("{}/v1/sessions", broker.url());
    let request = proof::Request {
        method: "POST",
        url: &url,
        token: None,
    };
    let id = unpredictable(&SystemEntropy::default());
    let proof = key.prove(request, id.expose_secret().to_owned(), SystemClock.now());
    let body = json!({ "instance": Enrolled::of(EAST).instance.to_string() });
    let asked = reqwest::Client::new().post(&url).header("dpop", proof);
    asked.json(&body).send().await.unwrap().status().as_u16()
}

async fn is_served(edge: &BrokerEdge) {
    assert_eq!(edge.owned().await, Ok(BTreeSet::from([gateway()])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_replaces_the_token_once_and_keeps_what_is_there() {
    let world = World::start().await;
    let often = [("CFGW_RESYNC_INTERVAL", "1s".to_owned())];
    let mut broker = Broker::start_with(&world, &often).await;
    let east = broker.client(EAST).await;
    publish(&east, &["app.example.com"]).await;
    let token = east.connector_token(&gateway()).await.unwrap();
    let tunnel = world.tunnel_of(EAST).unwrap();
    let records = world.records();
    world.connect(tunnel);
    assert!(world.joins(token.expose()));

    // The answer of the replacement is lost, and connections cannot be closed; then the broker dies.
    let connections = format!("cfd_tunnel/{tunnel}/connections");
    world.fail(CallMatch::next("PATCH", "cfd_tunnel/"), Stage::AfterCommit);
    world.fail(every("DELETE", &connections), Stage::BeforeCommit);
    broker.command(&["quarantine", "east"]).await;
    is_refused(&east, "does not serve this cluster any more").await;
    within(SOON, "a close that fails", || async {
        (!world.wrote("DELETE", &connections).is_empty()).then_some(())
    })
    .await;
    broker.kill().await;
    world.standin.cloud().clear_faults();
    broker.restart().await;

    within(SOON, "the connections are closed", || async {
        (!world.is_connected(tunnel)).then_some(())
    })
    .await;
    assert!(!world.joins(token.expose()), "the old connector token");
    // It is compared with Cloudflare several times.
    let passes = || async {
        let held = broker.store.held(&name(EAST), &gateway()).await.unwrap();
        held.unwrap().passes
    };
    let before = passes().await;
    within(SOON, "more passes", || async {
        (passes().await > before + 3).then_some(())
    })
    .await;
    broker.command(&["quarantine", "east"]).await;
    world.settled().await;
    assert_eq!(world.wrote("PATCH", "cfd_tunnel/").len(), 1);
    assert_eq!(world.records(), records);
    assert_eq!(world.tunnel_of(EAST), Some(tunnel));
    let told = audited(&broker, "gateway.shut-out").await;
    assert_eq!(told.last().unwrap(), "broker gateway.shut-out done");

    // With a new code it is back, with the tunnel that it had.
    let back = broker.client(EAST).await;
    publish(&back, &["app.example.com"]).await;
    let other = back.connector_token(&gateway()).await.unwrap();
    assert!(world.joins(other.expose()));
    assert_eq!(world.tunnel_of(EAST), Some(tunnel));
}

async fn contact(broker: &Broker, member: Member) -> Contact {
    broker.store.cluster(&name(member)).await.unwrap().contact
}

async fn until_expired(broker: &Broker, members: &[Member]) {
    within(SOON, "the clusters have expired", || async {
        for member in members {
            if contact(broker, *member).await != Contact::Expired {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_has_stays_or_goes_in_its_policys_way_when_it_expires() {
    let world = World::start().await;
    let mut broker = Broker::start(&world).await;
    let many: Vec<String> = (0..9).map(|n| format!("n{n}.example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let members = [
        (EAST, "keep", vec!["east.example.com"]),
        (WEST, "unpublish", many.clone()),
        (NORTH, "delete", vec!["north.example.com"]),
    ];
    let mut clients = Vec::new();
    for (member, then, hostnames) in &members {
        let client = broker.client(*member).await;
        publish(&client, hostnames).await;
        broker.command(&["when-expired", member.0, then]).await;
        clients.push(client);
    }
    let tunnels = members
        .each_ref()
        .map(|(member, ..)| world.tunnel_of(*member));
    let shown = broker.command(&["clusters"]).await;
    assert_eq!(shown.matches("admitted     live").count(), 3, "{shown}");

    let running = broker.run_here("2s", "4s").await;
    until_expired(&broker, &[EAST, WEST, NORTH]).await;
    within(SOON, "the records go", || async {
        (world.names().len() == 1).then_some(())
    })
    .await;
    within(SOON, "the tunnel goes", || async {
        world.tunnel_of(NORTH).is_none().then_some(())
    })
    .await;
    assert_eq!(world.names(), ["east.example.com".to_owned()].into());
    assert_eq!(world.tunnel_of(EAST), tunnels[0]);
    assert_eq!(world.tunnel_of(WEST), tunnels[1]);
    let told = audited(&broker, "cluster.expire").await;
    assert_eq!(told, vec!["broker cluster.expire done"; 3]);

    is_refused(&clients[2], "was given up").await;
    publish(&clients[1], &many).await;
    assert_eq!(world.tunnel_of(WEST), tunnels[1], "as it was");
    let shown = broker.command(&["clusters"]).await;
    assert!(shown.contains("given up     -"), "{shown}");
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_connectors_are_connected_or_not_counted_does_not_expire() {
    let world = World::start().await;
    let mut broker = Broker::start(&world).await;
    let east = broker.client(EAST).await;
    publish(&east, &["app.example.com"]).await;
    broker.command(&["when-expired", "east", "delete"]).await;
    let tunnel = world.tunnel_of(EAST).unwrap();
    world.connect(tunnel);
    let running = broker.run_here("1s", "2s").await;
    let stays_stale = || async {
        within(SOON, "it is stale", || async {
            (contact(&broker, EAST).await == Contact::Stale).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(contact(&broker, EAST).await, Contact::Stale);
    };
    stays_stale().await;
    let tunnels = format!("/accounts/{ACCOUNT}/cfd_tunnel");
    world.fail(every("GET", &tunnels), Stage::BeforeCommit);
    let cloud = world.standin.cloud();
    for connection in cloud.connections(tunnel) {
        cloud.disconnected(connection.connection);
    }
    stays_stale().await;
    assert_eq!(world.tunnel_of(EAST), Some(tunnel));
    cloud.clear_faults();
    until_expired(&broker, &[EAST]).await;
    within(SOON, "the tunnel goes", || async {
        world.tunnel_of(EAST).is_none().then_some(())
    })
    .await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_would_let_most_clusters_expire_at_once_lets_none() {
    let world = World::start().await;
    let mut broker = Broker::start(&world).await;
    for member in [EAST, WEST, NORTH, SOUTH] {
        let client = broker.client(member).await;
        let hostname = format!("{}.example.com", member.0);
        publish(&client, &[&hostname]).await;
        let then = Turn::WhenExpired {
            seen: WhenExpired::Keep,
            then: WhenExpired::Delete,
        };
        let member = name(member);
        let turned = broker.store.turn(&member, then, Event::default());
        turned.await.unwrap();
    }
    // All of them are silent for long enough when it first looks.
    broker.kill().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let running = broker.run_here("1s", "2s").await;
    within(SOON, "it is held back", || async {
        let told = audited(&broker, "cluster.expire").await;
        (!told.is_empty()).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let told = audited(&broker, "cluster.expire").await;
    assert_eq!(told, ["broker cluster.expire held-back"], "it is told once");
    assert_eq!(world.tunnels().len(), 4);
    assert_eq!(world.names().len(), 4);
    running.shutdown().await;
}
