//! What cluster and broker compare again and again.

use std::time::Duration;

use domain::ObjectKey;
use domain::broker::ClusterName;
use domain::broker::held::Wanted;
use domain::broker::ports::{Clusters, Intents};
use domain::ports::Edge;
use domain::testing::intent;
use reqwest::Method;
use serde_json::json;
use tests::broker::{Broker, EAST, Enrolled, RawCluster};
use tests::manifests::{class_without_parameters, gateway_named, route, service};
use tests::origin::Origin;
use tests::world::{World, within};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn east() -> ClusterName {
    Enrolled::of(EAST).cluster
}

/// The names that the broker was told of one Gateway.
async fn stated(broker: &Broker, gateway: &str) -> Vec<String> {
    let held = broker.store.held(&east(), &key(gateway)).await.unwrap();
    match held.map(|held| held.wanted) {
        Some(Wanted::Present(intent)) => intent.hostnames.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_an_older_store_is_told_again_and_forgets_nothing() {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    let mut broker = Broker::start(&world).await;
    world.write("class.yaml", &class_without_parameters());
    world.write("gateway.yaml", &gateway_named("my-gateway"));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("old.yaml", &route("old", "old.example.com", "app"));
    let code = broker.invite(EAST).await;
    let heartbeat = [("CFGW_EDGE__BROKER__HEARTBEAT", "1s".to_owned())];
    let mut cfgw = world
        .cfgw_behind_with(&broker.url(), &code, &heartbeat)
        .await;
    world.answers("https://old.example.com/").await;
    world.settled().await;
    // One copy of a time before the term, and one of within it.
    for (name, begins_anew) in [("within", false), ("before", true)] {
        let copy = broker.files().join(format!("{name}.db"));
        broker.store.back_up(&copy).await.unwrap();
        if begins_anew {
            drop(cfgw);
            cfgw = world
                .cfgw_behind_with(&broker.url(), &code, &heartbeat)
                .await;
        }
        let host = format!("{name}.example.com");
        world.write("new.yaml", &route("new", &host, "app"));
        world.answers(&format!("https://{host}/")).await;
        let made = world.records();
        broker.restore(&copy).await;
        assert!(!stated(&broker, "my-gateway").await.contains(&host));
        within(Duration::from_secs(30), "it is stated again", || async {
            let stated = stated(&broker, "my-gateway").await;
            stated.contains(&host).then_some(())
        })
        .await;
        world.settled().await;
        assert_eq!(world.records(), made, "nothing was taken away");
    }
    let cluster = broker.store.cluster(&east()).await.unwrap();
    assert_eq!(
        cluster.controller.as_deref(),
        Some(env!("CARGO_PKG_VERSION"))
    );
    drop(cfgw);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_is_told_what_the_broker_has_otherwise_and_nothing_is_removed_for_it() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let raw = RawCluster::open(&broker, &Enrolled::of(EAST)).await;
    let client = broker.client_with(raw.key.clone(), Enrolled::of(EAST).instance);
    for name in ["one", "two"] {
        let host = format!("{name}.example.com");
        client
            .reconcile(&intent(key(name), &[&host]))
            .await
            .unwrap();
    }
    let gateway = |name: &str, version: Option<u64>| json!({"namespace": "default", "name": name, "version": version});
    let name = |name: &str| json!({"namespace": "default", "name": name});
    for (listed, differing, unlisted) in [
        (
            vec![gateway("one", Some(1)), gateway("two", None)],
            vec![],
            vec![],
        ),
        (
            vec![gateway("one", Some(2))],
            vec![gateway("one", Some(1))],
            vec![name("two")],
        ),
        (
            vec![gateway("one", Some(1)), gateway("three", Some(1))],
            vec![gateway("three", None)],
            vec![name("two")],
        ),
        (vec![], vec![], vec![name("one"), name("two")]),
    ] {
        let body = json!({"term": 2, "controller": "1.2.3", "gateways": listed});
        let found = raw.ask(Method::PUT, "/v1/lease", &body).await;
        let expected = json!({"term": 2, "differing": differing, "unlisted": unlisted});
        assert_eq!(found, expected, "{body}");
    }
    assert_eq!(
        broker.store.placed(&east()).await.unwrap().gateways.len(),
        2
    );
    assert_eq!(world.tunnels().len(), 2);
    let cluster = broker.store.cluster(&east()).await.unwrap();
    assert_eq!(cluster.controller.as_deref(), Some("1.2.3"));
}
