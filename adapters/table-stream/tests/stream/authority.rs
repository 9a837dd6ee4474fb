use std::sync::Arc;

use adapter_table_stream::{Authority, Leader};
use domain::names::Timestamp;

use crate::rig::{Cluster, eventually, now, table, web};

const DAY: i64 = 24 * 60 * 60;

/// Certificates are checked against the real clock, so the authority is made in the past.
#[tokio::test]
async fn the_authority_is_replaced_without_a_dropped_stream() {
    let cluster = Cluster::new();
    let made = Timestamp(now().0 - 240 * DAY);
    let first = Authority::new(made);
    *cluster.authority.lock().unwrap() = first.clone();
    cluster.identity.send_replace(Arc::new(first.issue(now())));
    cluster.mount_bundle();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let table = table(1, "first");
    controller.publish(&table).await;
    let proxy = cluster.proxy("a", controller.address);
    proxy.will_serve(&table).await;

    // The new authority is in the bundle and does not sign yet.
    let published = first.renewed(now()).expect("renewal is due");
    cluster
        .identity
        .send_replace(Arc::new(published.issue(now())));
    let old_bundle = cluster.proxy("b", controller.address);
    old_bundle.will_serve(&table).await;
    *cluster.authority.lock().unwrap() = published.clone();
    cluster.mount_bundle();

    // A day later it signs. Bundles of the overlap and later ones both fit.
    let later = Timestamp(now().0 + DAY);
    let signing = published.renewed(later).expect("the overlap is over");
    cluster
        .identity
        .send_replace(Arc::new(signing.issue(now())));
    let overlap_bundle = cluster.proxy("c", controller.address);
    overlap_bundle.will_serve(&table).await;
    *cluster.authority.lock().unwrap() = signing;
    cluster.mount_bundle();
    let new_bundle = cluster.proxy("d", controller.address);
    new_bundle.will_serve(&table).await;

    let streams = || controller.server.replicas(&web());
    eventually("four replicas", || streams().len() == 4).await;
    assert!(streams().iter().all(|replica| replica.connected));
    assert!(proxy.client.connected(), "the first stream is still open");
}
