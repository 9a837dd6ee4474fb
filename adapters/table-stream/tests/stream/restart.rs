use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use adapter_table_stream::Leader;
use domain::names::ObjectKey;

use crate::rig::{Cluster, eventually, table, table_of, web};

/// Where nobody listens.
fn away() -> SocketAddr {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    port.local_addr().unwrap()
}

#[tokio::test]
async fn a_proxy_restarted_in_place_serves_without_a_controller() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let first = table(3, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("a", controller.address);
    proxy.will_serve(&first).await;
    let file = cluster.state_of("a");
    eventually("it is kept", || file.exists()).await;
    let version = proxy.client.version();
    drop(proxy);

    let again = cluster.proxy("a", away());
    again.will_serve(&first).await;
    eventually("its Gateway is known", || {
        again.client.gateway() == Some(web())
    })
    .await;
    assert_eq!(again.client.version(), version);
    assert!(!again.client.connected());
    drop(again);

    // With the controller back, nothing has to be sent again.
    let again = cluster.proxy("a", controller.address);
    again.client.set_ready(true);
    eventually("it is current", || {
        let replica = controller.replica("a");
        replica.is_some_and(|replica| replica.ready && replica.held == version)
    })
    .await;
    assert_eq!(again.sink.published(), 1, "the kept table only");
    let second = table(4, "second");
    controller.publish(&second).await;
    again.will_serve(&second).await;
}

#[tokio::test]
async fn a_new_proxy_without_a_controller_has_no_table() {
    let cluster = Cluster::new();
    let proxy = cluster.proxy("a", away());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!proxy.client.has_table());
    assert_eq!(proxy.client.gateway(), None);
}

#[tokio::test]
async fn a_kept_file_that_cannot_be_used_is_passed_over() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let first = table(3, "first");
    controller.publish(&first).await;
    for (replica, content) in [
        ("a", r#"{"format":99,"table":{}}"#),
        ("b", "{\"format\":1,\"gat"),
        ("c", ""),
    ] {
        cluster.options(replica, controller.address, "web");
        fs::write(cluster.state_of(replica), content).unwrap();
        let proxy = cluster.proxy(replica, controller.address);
        proxy.will_serve(&first).await;
    }
}

#[tokio::test]
async fn a_proxy_keeps_to_the_gateway_that_it_serves() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let other = ObjectKey::new("infra", "other");
    let tokens = &cluster.tokens;
    tokens
        .0
        .lock()
        .unwrap()
        .insert("other".to_owned(), other.clone());
    let first = table(1, "first");
    controller.publish(&first).await;
    controller.publish(&table_of(&other, 1, "other")).await;
    let proxy = cluster.proxy("a", controller.address);
    proxy.will_serve(&first).await;
    eventually("it is kept", || cluster.state_of("a").exists()).await;
    proxy.client.shutdown().await;

    let again = cluster.proxy_with("a", controller.address, "other", std::sync::Arc::default());
    eventually("the refusal is known", || {
        let replicas = controller.server.replicas(&other);
        let refusals = replicas.into_iter().filter_map(|replica| replica.refusal);
        refusals
            .into_iter()
            .any(|why| why.contains("serves Gateway infra/web"))
    })
    .await;
    assert!(again.serves(&first));
    assert!(again.sink.table(&other).is_none());
}
