use std::fs;
use std::sync::Arc;
use std::time::Duration;

use adapter_table_stream::{Authority, Leader};
use domain::names::ObjectKey;

use crate::rig::{Cluster, eventually, now, table, table_of, web};

#[tokio::test]
async fn a_token_is_good_for_the_table_of_its_own_gateway() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let other = ObjectKey::new("infra", "other");
    let tokens = &cluster.tokens;
    tokens
        .0
        .lock()
        .unwrap()
        .insert("other".to_owned(), other.clone());
    controller.publish(&table(1, "webs")).await;
    let foreign = cluster.proxy_with("a", controller.address, "other", Arc::default());
    eventually("it is connected", || foreign.client.connected()).await;
    assert_eq!(foreign.client.gateway(), Some(other.clone()));
    assert!(!foreign.client.has_table(), "its Gateway has none yet");
    let theirs = table_of(&other, 2, "others");
    controller.publish(&theirs).await;
    foreign.will_serve(&theirs).await;
    assert!(foreign.sink.table(&web()).is_none());
    assert!(controller.server.replicas(&web()).is_empty());
}

#[tokio::test]
async fn a_proxy_tells_of_its_own_gateway_that_the_edge_has_disowned_it() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let told = || controller.disowned.lock().unwrap().clone();
    let proxy = cluster.proxy("a", controller.address);
    // It may come before there is a stream, and more than once.
    proxy.client.tell_disowned();
    eventually("it is told", || told() == [web()]).await;
    proxy.client.tell_disowned();
    eventually("it is told again", || told() == [web(), web()]).await;
    assert!(proxy.client.connected());
}

#[tokio::test]
async fn a_token_that_is_no_proxys_gets_nothing_until_it_is_replaced() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let first = table(1, "first");
    controller.publish(&first).await;
    for (replica, token) in [("a", "another-audience"), ("b", "unanswered"), ("c", "")] {
        let proxy = cluster.proxy_with(replica, controller.address, token, Arc::default());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(
            !proxy.client.connected() && !proxy.client.has_table(),
            "{token}"
        );
        assert_eq!(proxy.client.gateway(), None);
        assert!(controller.server.replicas(&web()).is_empty());
        let file = cluster
            .options(replica, controller.address, token)
            .token_file;
        fs::write(file, "web\n").unwrap();
        proxy.will_serve(&first).await;
        proxy.client.shutdown().await;
        eventually("it is forgotten", || controller.replica(replica).is_none()).await;
    }
}

#[tokio::test]
async fn a_server_of_another_authority_never_sees_the_token() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let impostor = Authority::new(now());
    cluster
        .identity
        .send_replace(Arc::new(impostor.issue(now())));
    controller.publish(&table(1, "first")).await;
    let proxy = cluster.proxy("a", controller.address);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!proxy.client.connected() && !proxy.client.has_table());
    let own = cluster.authority.lock().unwrap().issue(now());
    cluster.identity.send_replace(Arc::new(own));
    eventually("it trusts its own authority", || proxy.client.has_table()).await;
}
