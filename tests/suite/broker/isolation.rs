//! One cluster never sees, changes or finds another's Gateways.

use std::collections::BTreeSet;
use std::time::Duration;

use adapter_broker::identity::key::ClusterKey;
use adapter_broker_store::SqlStore;
use domain::broker::ClusterName;
use domain::broker::audit::Event;
use domain::broker::ports::{Audit, Clusters, Turn};
use domain::edge::{EdgeIntent, HostnameOutcome};
use domain::ports::{Edge, PortErrorKind};
use domain::{Hostname, InstanceId, ObjectKey};
use standin::cloud::ApiToken;
use tests::broker::{Broker, EAST, Enrolled, WEST, enrol};
use tests::world::{ACCOUNT, World, within};

fn gateway(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn intent(name: &str, hostname: &str) -> EdgeIntent {
    domain::testing::intent(gateway(name), &[hostname])
}

/// The key of one cluster more, and which one it is.
async fn enrolled(broker: &Broker) -> (ClusterKey, InstanceId) {
    let enrolled = Enrolled {
        tenant: "acme",
        cluster: ClusterName::parse("north").unwrap(),
        instance: InstanceId::from_bytes([3; 16]),
    };
    (enrol(&broker.store, &enrolled).await, enrolled.instance)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_gateway_is_as_if_it_were_not_there() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (east, west) = (broker.client(EAST).await, broker.client(WEST).await);
    let status = east
        .reconcile(&intent("one", "app.example.com"))
        .await
        .unwrap();
    let token = east.connector_token(&gateway("one")).await.unwrap();
    let (tunnels, records) = (world.tunnels(), world.records());

    assert_eq!(west.owned().await, Ok(BTreeSet::new()));
    for name in ["one", "nobody"] {
        let refused = west.connector_token(&gateway(name)).await.unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::NotFound);
        let told = refused.message.replace(name, "NAME");
        assert!(
            told.contains("Gateway default/NAME has no tunnel"),
            "{told}"
        );
        let refused = west
            .retire_token(&gateway(name), token.hash())
            .await
            .unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::NotFound);
        assert_eq!(refused.message.replace(name, "NAME"), told);
        assert_eq!(west.remove(&gateway(name)).await, Ok(()));
    }
    assert_eq!(west.sweep(&BTreeSet::new()).await, Ok(BTreeSet::new()));

    assert_eq!(format!("{:?}", world.tunnels()), format!("{tunnels:?}"));
    assert_eq!(world.records(), records);
    assert!(token.is_same(&east.connector_token(&gateway("one")).await.unwrap()));
    assert_eq!(east.owned().await, Ok(BTreeSet::from([gateway("one")])));
    assert_eq!(status.tunnels.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_sweeps_its_own_lost_records_and_no_other_clusters() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (east, west) = (broker.client(EAST).await, broker.client(WEST).await);
    for (cluster, name) in [(&east, "app.example.com"), (&west, "shop.example.com")] {
        cluster.reconcile(&intent("one", name)).await.unwrap();
    }
    world.delete_tunnels();
    let names = |world: &World| -> BTreeSet<String> {
        world
            .records()
            .into_iter()
            .map(|record| record.name)
            .collect()
    };

    let live = BTreeSet::from([gateway("one")]);
    assert_eq!(west.sweep(&live).await, Ok(BTreeSet::new()), "it is there");
    let swept = west.sweep(&BTreeSet::new()).await;
    assert_eq!(swept, Ok(BTreeSet::from(["shop.example.com".to_owned()])));
    assert!(
        names(&world).contains("app.example.com"),
        "the other cluster's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_came_after_the_list_for_a_sweep_stays() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let east = broker.client(EAST).await;
    let app = intent("one", "app.example.com");
    let status = east.reconcile(&app).await.unwrap();
    let before_it_came = BTreeSet::new();
    assert_eq!(east.sweep(&before_it_came).await, Ok(BTreeSet::new()));
    let again = east.reconcile(&app).await.unwrap();
    assert_eq!((again.tunnels, world.records().len()), (status.tunnels, 1));
    assert_eq!(east.owned().await, Ok(BTreeSet::from([gateway("one")])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_cluster_has_is_refused_without_telling_whose() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (east, west) = (broker.client(EAST).await, broker.client(WEST).await);
    let app = intent("one", "app.example.com");
    let of_east = east.reconcile(&app).await.unwrap();
    let records = world.records();

    let of_west = west.reconcile(&app).await.unwrap();

    let outcome = &of_west.hostnames[&Hostname::parse("app.example.com").unwrap()];
    let HostnameOutcome::NotPermitted { message } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(message.contains("another cluster has it"), "{message}");
    assert!(!message.contains("east"), "{message}");
    assert_ne!(of_west.tunnels, of_east.tunnels, "a tunnel for each");
    assert_eq!(world.records(), records);
    assert_eq!(west.remove(&gateway("one")).await, Ok(()));
    assert_eq!(world.records(), records);
    assert_eq!(world.tunnels().len(), 1);
    let again = east.reconcile(&app).await.unwrap();
    assert_eq!(
        (again.tunnels, again.hostnames),
        (of_east.tunnels, of_east.hostnames)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_of_a_cluster_that_was_revoked_is_refused() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let east = broker.client(EAST).await;
    let app = intent("one", "app.example.com");
    east.reconcile(&app).await.unwrap();
    let (records, name) = (world.records(), ClusterName::parse("east").unwrap());
    let revoked = broker.store.turn(&name, Turn::Revoke, Event::default());
    revoked.await.unwrap();
    for refused in [
        east.owned().await.unwrap_err().error,
        east.reconcile(&app).await.unwrap_err(),
        east.remove(&gateway("one")).await.unwrap_err(),
        east.connector_token(&gateway("one")).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, PortErrorKind::Unauthenticated);
        let told = "does not serve this cluster any more";
        assert!(refused.message.contains(told), "{refused}");
    }
    assert_eq!(world.records(), records, "what it has stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replaced_counts_without_a_restart_and_a_bad_one_never_does() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let east = broker.client(EAST).await;
    let file = broker.files().join("cloudflare-token");
    let actions = |store: SqlStore| async move {
        let entries = store.after(0, 1000).await.unwrap().into_iter();
        let told = entries.map(|entry| (entry.event.action, entry.event.result));
        told.filter(|(action, _)| action == "token.verify")
            .collect::<Vec<_>>()
    };
    std::fs::write(&file, "not-a-token-of-anybody").unwrap();
    within(Duration::from_secs(60), "the bad one is tried", || async {
        let told = actions(broker.store.clone()).await;
        (told.len() == 2 && told[1].1 == "failed").then_some(())
    })
    .await;
    east.reconcile(&intent("one", "app.example.com"))
        .await
        .unwrap();
    let other = ApiToken::all_powerful(ACCOUNT, "canary-other");
    world.standin.cloud().add_token(other);
    std::fs::write(&file, "canary-other").unwrap();
    within(Duration::from_secs(60), "the good one is tried", || async {
        let told = actions(broker.store.clone()).await;
        (told.len() == 3 && told[2].1 == "done").then_some(())
    })
    .await;
    east.reconcile(&intent("two", "shop.example.com"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_was_deposed_writes_nothing() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (key, instance) = enrolled(&broker).await;
    let [first, second] = [0, 1].map(|_| broker.client_with(key.clone(), instance));
    let app = intent("one", "app.example.com");
    first.reconcile(&app).await.unwrap();
    second.reconcile(&app).await.unwrap();
    let records = world.records();
    for _ in 0..2 {
        let refused = first.remove(&gateway("one")).await.unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::Conflict);
        assert!(refused.message.contains("another controller"), "{refused}");
    }
    assert_eq!(world.records(), records);
    second.remove(&gateway("one")).await.unwrap();
    assert!(world.records().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_cluster_is_seen_and_a_key_alone_is_not_enough() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (key, instance) = enrolled(&broker).await;
    let original = broker.client_with(key.clone(), instance);
    original.owned().await.unwrap();
    let copy = broker.client_with(key, InstanceId::from_bytes([4; 16]));
    let refused = copy.owned().await.unwrap_err().error;
    assert_eq!(refused.kind, PortErrorKind::Unauthenticated);
    assert!(
        refused.message.contains("one of the two is a copy"),
        "{refused}"
    );
    let stranger = broker.client_with(ClusterKey::generate(), instance);
    let refused = stranger.owned().await.unwrap_err().error;
    assert_eq!(refused.kind, PortErrorKind::Unauthenticated);
    assert_eq!(world.calls().iter().filter(|call| call.write).count(), 0);
}
