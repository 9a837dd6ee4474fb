use std::time::Duration;

use adapter_table_stream::Leader;
use domain::ports::Delivery;

use crate::rig::{Cluster, Wire, eventually, table};

#[tokio::test]
async fn a_slow_replica_gets_the_newest_table_not_every_one() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let wire = Wire::to(controller.address).await;
    let first = table(1, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("a", wire.address);
    proxy.client.set_ready(true);
    proxy.will_serve(&first).await;
    eventually("it is delivered", || {
        controller.replica("a").is_some_and(|replica| replica.ready)
            && controller.delivery() == Delivery::Served
    })
    .await;

    wire.hold();
    for count in 2..40 {
        controller.publish(&table(count * 100, "next")).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = table(7, "last");
    controller.publish(&last).await;
    assert_eq!(controller.delivery(), Delivery::Pending);
    let late = Delivery::Late(vec!["a".to_owned()]);
    eventually("it is late", || controller.delivery() == late).await;
    wire.release();
    proxy.will_serve(&last).await;
    let published = proxy.sink.published();
    assert!(published <= 3, "{published} tables were sent");
    eventually("it is delivered", || {
        controller.delivery() == Delivery::Served
    })
    .await;
}

#[tokio::test]
async fn a_broken_stream_is_opened_again() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let wire = Wire::to(controller.address).await;
    let proxy = cluster.proxy("a", wire.address);
    for count in 1..4 {
        let next = table(count, "next");
        controller.publish(&next).await;
        proxy.will_serve(&next).await;
        wire.cut();
    }
}

#[tokio::test]
async fn a_stream_that_says_nothing_is_given_up_by_both_sides() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let wire = Wire::to(controller.address).await;
    let first = table(1, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("a", wire.address);
    proxy.will_serve(&first).await;
    eventually("it is connected", || proxy.client.connected()).await;
    wire.hold();
    eventually("both notice", || {
        controller.replica("a").is_none() && !proxy.client.connected()
    })
    .await;
    assert!(proxy.serves(&first), "what is served stays served");
    wire.cut();
    wire.release();
    eventually("it is connected again", || proxy.client.connected()).await;
}
