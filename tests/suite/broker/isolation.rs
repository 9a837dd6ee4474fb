//! One cluster never sees, changes or finds another's Gateways.

use std::collections::BTreeSet;

use domain::edge::{EdgeIntent, HostnameOutcome};
use domain::ports::{Edge, PortErrorKind};
use domain::{Hostname, ObjectKey};
use tests::broker::{Broker, EAST, GONE, WEST};
use tests::world::World;

fn gateway(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn intent(name: &str, hostname: &str) -> EdgeIntent {
    domain::testing::intent(gateway(name), &[hostname])
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_gateway_is_as_if_it_were_not_there() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (east, west) = (broker.client(EAST), broker.client(WEST));
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
    let (east, west) = (broker.client(EAST), broker.client(WEST));
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
async fn a_name_that_another_cluster_has_is_a_conflict_that_does_not_tell_whose() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (east, west) = (broker.client(EAST), broker.client(WEST));
    let app = intent("one", "app.example.com");
    let of_east = east.reconcile(&app).await.unwrap();
    let records = world.records();

    let of_west = west.reconcile(&app).await.unwrap();

    let outcome = &of_west.hostnames[&Hostname::parse("app.example.com").unwrap()];
    let found = "CNAME record".to_owned();
    assert_eq!(*outcome, HostnameOutcome::Conflict { found });
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
async fn a_cluster_whose_token_has_expired_is_told_so() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let gone = broker.client(GONE);
    let refused = gone.owned().await.unwrap_err().error;
    assert_eq!(refused.kind, PortErrorKind::Unauthenticated);
    assert!(refused.message.contains("expired"), "{refused}");
    let refused = gone.reconcile(&intent("one", "app.example.com")).await;
    assert_eq!(refused.unwrap_err().kind, PortErrorKind::Unauthenticated);
    assert_eq!(world.calls().len(), 0);
}
