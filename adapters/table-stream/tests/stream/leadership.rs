use adapter_table_stream::Leader;
use domain::ports::Delivery;

use crate::rig::{Cluster, eventually, table, web};

#[tokio::test]
async fn a_follower_sends_proxies_to_the_leader() {
    let cluster = Cluster::new();
    let leader = cluster.instance(Leader::Here { term: 4 }).await;
    let at = Leader::At(leader.address.to_string());
    let follower = cluster.instance(at).await;
    let theirs = table(1, "leaders");
    leader.publish(&theirs).await;
    follower.publish(&table(1, "followers")).await;
    let proxy = cluster.proxy("a", follower.address);
    proxy.will_serve(&theirs).await;
    assert_eq!(follower.delivery(), Delivery::Served, "waits for nobody");
    assert!(follower.server.replicas(&web()).is_empty());
}

#[tokio::test]
async fn proxies_follow_when_the_leader_stops_or_steps_down() {
    let cluster = Cluster::new();
    let first = cluster.instance(Leader::Here { term: 1 }).await;
    let second = cluster
        .instance(Leader::At(first.address.to_string()))
        .await;
    let old = table(1, "old");
    first.publish(&old).await;
    let proxy = cluster.proxy("a", second.address);
    proxy.will_serve(&old).await;

    let new = table(2, "new");
    second.publish(&new).await;
    first.stop().await;
    assert!(proxy.serves(&old), "what is served stays served");
    second.lead(Leader::Here { term: 2 });
    proxy.will_serve(&new).await;

    let third = cluster.instance(Leader::Here { term: 3 }).await;
    let newest = table(3, "newest");
    third.publish(&newest).await;
    second.lead(Leader::At(third.address.to_string()));
    proxy.will_serve(&newest).await;
    assert_eq!(proxy.client.version().unwrap().term, 3);
}

#[tokio::test]
async fn an_older_table_is_refused() {
    let cluster = Cluster::new();
    let leader = cluster.instance(Leader::Here { term: 7 }).await;
    let new = table(1, "new");
    leader.publish(&new).await;
    let proxy = cluster.proxy("a", leader.address);
    proxy.will_serve(&new).await;
    proxy.client.shutdown().await;

    // An instance that was deposed and does not know it.
    let deposed = cluster.instance(Leader::Here { term: 6 }).await;
    deposed.publish(&table(1, "old")).await;
    let again = cluster.proxy("a", deposed.address);
    again.client.set_ready(true);
    eventually("the refusal is known", || {
        let replica = deposed.replica("a");
        let refusal = replica.and_then(|replica| replica.refusal);
        refusal.is_some_and(|refusal| refusal.contains("holds version 7."))
    })
    .await;
    assert!(again.serves(&new));
}

#[tokio::test]
async fn an_instance_that_restarts_within_its_term_is_not_taken_for_an_older_one() {
    let cluster = Cluster::new();
    let first = cluster.instance(Leader::Here { term: 1 }).await;
    let proxy = cluster.proxy("a", first.address);
    for count in 1..20 {
        let next = table(count, "first");
        first.publish(&next).await;
        proxy.will_serve(&next).await;
    }
    proxy.client.shutdown().await;
    let again = cluster.instance(Leader::Here { term: 1 }).await;
    let new = table(1, "new");
    again.publish(&new).await;
    let proxy = cluster.proxy("a", again.address);
    proxy.will_serve(&new).await;
}

#[tokio::test]
async fn without_a_leader_a_proxy_waits() {
    let cluster = Cluster::new();
    let instance = cluster.instance(Leader::Nobody).await;
    let first = table(1, "first");
    instance.publish(&first).await;
    let proxy = cluster.proxy("a", instance.address);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!proxy.client.has_table() && !proxy.client.connected());
    instance.lead(Leader::Here { term: 1 });
    proxy.will_serve(&first).await;
}
