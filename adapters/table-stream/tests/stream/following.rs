use std::sync::Arc;

use adapter_table_stream::Leader;
use domain::ports::{DataPlane, Delivery};

use crate::rig::{Cluster, eventually, table, web};

#[tokio::test]
async fn a_proxy_serves_each_table_and_the_controller_knows() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let first = table(3, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("a", controller.address);
    proxy.will_serve(&first).await;
    assert_eq!(proxy.client.gateway(), Some(web()));
    proxy.client.set_ready(true);
    eventually("the replica is known as ready", || {
        controller.replica("a").is_some_and(|replica| replica.ready)
    })
    .await;

    for (routes, mark) in [(4, "second"), (4, "third"), (2, "fourth")] {
        let next = table(routes, mark);
        controller.publish(&next).await;
        proxy.will_serve(&next).await;
        eventually("it is delivered", || {
            controller.delivery() == Delivery::Served
        })
        .await;
        let replica = controller.replica("a").unwrap();
        assert_eq!(replica.held, proxy.client.version());
    }

    controller.server.withdraw(&web()).await.unwrap();
    eventually("nothing is served any more", || {
        proxy.sink.table(&web()).is_none() && !proxy.client.has_table()
    })
    .await;
    controller.publish(&first).await;
    proxy.will_serve(&first).await;
}

#[tokio::test]
async fn a_table_of_ten_mebibytes_is_delivered_and_its_change_is_small() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let big = table(100_000, "first");
    let written = serde_json::to_vec(&*big).unwrap().len();
    assert!(written > 10 << 20, "{written}");
    let proxy = cluster.proxy("a", controller.address);
    eventually("it is connected", || proxy.client.connected()).await;
    controller.publish(&big).await;
    proxy.will_serve(&big).await;
    let mut changed = (*big).clone();
    changed.listeners[0].routes[35_000].hostnames.clear();
    let changed = Arc::new(changed);
    controller.publish(&changed).await;
    proxy.will_serve(&changed).await;
}

#[tokio::test]
async fn every_ready_replica_counts_and_one_that_says_goodbye_does_not() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let first = table(1, "first");
    controller.publish(&first).await;
    assert_eq!(
        controller.delivery(),
        Delivery::Pending,
        "replicas may come"
    );
    let a = cluster.proxy("a", controller.address);
    let b = cluster.proxy("b", controller.address);
    for proxy in [&a, &b] {
        proxy.client.set_ready(true);
        proxy.will_serve(&first).await;
    }
    eventually("both are ready and current", || {
        let replicas = controller.server.replicas(&web());
        let ready = replicas.iter().filter(|replica| replica.ready).count();
        ready == 2 && controller.delivery() == Delivery::Served
    })
    .await;
    b.client.shutdown().await;
    eventually("b is forgotten", || controller.replica("b").is_none()).await;
    let second = table(2, "second");
    controller.publish(&second).await;
    a.will_serve(&second).await;
    eventually("it is delivered without b", || {
        controller.delivery() == Delivery::Served
    })
    .await;
    assert!(b.serves(&first), "what was served stays served");
}

#[tokio::test]
async fn a_table_that_the_proxy_cannot_use_is_refused_with_its_words() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let first = table(1, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("a", controller.address);
    proxy.client.set_ready(true);
    proxy.will_serve(&first).await;
    eventually("it is delivered", || {
        controller.replica("a").is_some_and(|replica| replica.ready)
            && controller.delivery() == Delivery::Served
    })
    .await;
    let full = domain::ports::PortError::unavailable("no memory");
    proxy.sink.fail(Some(full));
    controller.publish(&table(2, "second")).await;
    let late = Delivery::Late(vec!["a (no memory)".to_owned()]);
    eventually("the refusal is told", || controller.delivery() == late).await;
    controller.changed.notified().await;
    proxy.sink.fail(None);
    let third = table(3, "third");
    controller.publish(&third).await;
    proxy.will_serve(&third).await;
}
