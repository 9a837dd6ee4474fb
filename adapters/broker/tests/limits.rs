//! What the broker's owner lets a cluster have, seen by the cluster: a client, the server, and an edge in memory.

#![allow(
    clippy::unwrap_used,
    reason = "what a test cannot go on without may panic"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::{
    BrokerEdge, ClientSettings, Cluster, ClusterLimits, ClusterTokenHash, LISTENER_LIMITS, router,
    serve,
};
use domain::edge::{EdgeIntent, HostnameOutcome};
use domain::ports::{Edge, PortError, PortErrorKind};
use domain::testing::{FakeEdge, FakeEdges, FixedClock, instance_of};
use domain::{AllowedHostnames, Hostname, InstallationName, ObjectKey};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "token of the one cluster";

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

fn intent(gateway: &str, hostnames: &[&str]) -> EdgeIntent {
    domain::testing::intent(key(gateway), hostnames)
}

/// A cluster's client of a broker with these limits, and the edge behind it.
async fn cluster(limits: ClusterLimits, edge: Arc<FakeEdge>) -> BrokerEdge {
    cluster_of(limits, Arc::new(FakeEdges::with_first(edge)), 1).await
}

/// One of the clusters that show the token, of a broker of its own over these edges.
async fn cluster_of(limits: ClusterLimits, edges: Arc<FakeEdges>, instance: u8) -> BrokerEdge {
    let cluster = Cluster {
        name: InstallationName::parse("east").unwrap(),
        token: ClusterTokenHash::of(TOKEN),
        expires: None,
        limits,
        edges,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let api = router(vec![cluster], Arc::new(FixedClock::default()));
    tokio::spawn(serve(
        listener,
        None,
        api,
        LISTENER_LIMITS,
        CancellationToken::new(),
    ));
    let settings = ClientSettings {
        base_url,
        token: SecretString::from(TOKEN),
        instance: instance_of("east", instance).instance,
        extra_roots: Vec::new(),
        request_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(10),
    };
    BrokerEdge::new(&settings).unwrap()
}

fn at_most(max_gateways: u32) -> ClusterLimits {
    ClusterLimits {
        max_gateways: Some(max_gateways),
        ..ClusterLimits::default()
    }
}

#[tokio::test]
async fn a_hostname_beyond_the_limits_of_the_cluster_is_refused_and_others_are_served() {
    let limits = ClusterLimits {
        hostnames: AllowedHostnames::listed([host("*.east.example.com")]),
        max_gateways: None,
    };
    let edge = Arc::new(FakeEdge::default());
    let east = cluster(limits, edge.clone()).await;
    let asked = [
        "shop.east.example.com",
        "*.east.example.com",
        "east.example.com",
        "login.example.com",
        "*.example.com",
    ];

    let status = east.reconcile(&intent("edge", &asked)).await.unwrap();

    for name in &asked[..2] {
        assert_eq!(status.hostnames[&host(name)], HostnameOutcome::Applied);
    }
    for name in &asked[2..] {
        let HostnameOutcome::NotPermitted { message } = &status.hostnames[&host(name)] else {
            panic!("{name}: {:?}", status.hostnames);
        };
        assert!(message.contains("permits *.east.example.com"), "{message}");
    }
    let made: BTreeSet<Hostname> = edge.records().into_keys().collect();
    assert_eq!(made, asked[..2].iter().map(|name| host(name)).collect());
}

#[tokio::test]
async fn a_cluster_without_limits_may_have_every_name() {
    let east = cluster(ClusterLimits::default(), Arc::new(FakeEdge::default())).await;
    let status = east
        .reconcile(&intent("edge", &["login.example.com"]))
        .await;
    let outcomes = status.unwrap().hostnames;
    assert_eq!(
        outcomes[&host("login.example.com")],
        HostnameOutcome::Applied
    );
}

#[tokio::test]
async fn gateways_over_the_limit_are_refused_and_those_that_are_there_go_on() {
    let edge = Arc::new(FakeEdge::default());
    edge.leave(&intent("old", &["old.example.com"]));
    let east = cluster(at_most(2), edge.clone()).await;
    let state = |name: &'static str| {
        let intent = intent(name, &["app.example.com"]);
        let east = &east;
        async move { east.reconcile(&intent).await.map(|_| ()) }
    };

    assert_eq!(state("second").await, Ok(()));
    for _ in 0..2 {
        let refused = state("third").await.unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::TooManyGateways);
        assert!(refused.message.contains("permits 2 Gateways"), "{refused}");
    }
    assert_eq!(edge.held(&key("third")), None);
    assert_eq!(state("old").await, Ok(()));
    assert_eq!(state("second").await, Ok(()));

    east.remove(&key("old")).await.unwrap();
    assert_eq!(state("third").await, Ok(()), "a place is free");
}

#[tokio::test]
async fn of_gateways_that_come_at_the_same_time_no_more_than_the_limit_get_a_place() {
    let edge = Arc::new(FakeEdge::default());
    let east = Arc::new(cluster(at_most(3), edge.clone()).await);
    let names = (0..12).map(|n| format!("gateway-{n}"));
    let asked: Vec<_> = names
        .map(|name| {
            let east = east.clone();
            tokio::spawn(async move { east.reconcile(&intent(&name, &[])).await })
        })
        .collect();
    let mut served = 0;
    for answer in asked {
        served += usize::from(answer.await.unwrap().is_ok());
    }
    assert_eq!(served, 3);
    assert_eq!(edge.owned().await.unwrap().len(), 3);
}

#[tokio::test]
async fn clusters_that_show_one_token_share_its_limit() {
    let edges = Arc::new(FakeEdges::default());
    let first = cluster_of(at_most(2), edges.clone(), 1).await;
    let second = cluster_of(at_most(2), edges.clone(), 2).await;
    let both = [intent("one", &[]), intent("two", &[])];
    assert!(first.reconcile(&both[0]).await.is_ok());
    assert!(second.reconcile(&both[0]).await.is_ok());
    for cluster in [&first, &second] {
        let refused = cluster.reconcile(&both[1]).await.unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::TooManyGateways);
        let owned = BTreeSet::from([key("one")]);
        assert_eq!(cluster.owned().await, Ok(owned), "and only its own");
        assert!(cluster.reconcile(&both[0]).await.is_ok());
    }
}

#[tokio::test]
async fn a_gateway_that_could_not_be_made_takes_no_place() {
    let edge = Arc::new(FakeEdge::default());
    let east = cluster(at_most(1), edge.clone()).await;
    let failure = PortError::unavailable("timeout");
    edge.fail(Some(key("first")), Some(failure));
    assert!(east.reconcile(&intent("first", &[])).await.is_err());
    assert!(east.reconcile(&intent("second", &[])).await.is_ok());
}
