//! A route pass while an edge pass is under way.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::sync::Notify;

use super::*;
use crate::ports::DataPlane;

/// Stops in its first withdrawal, before or after it is done.
struct Stopping {
    data_plane: Arc<FakeDataPlane>,
    before: bool,
    first: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

#[async_trait::async_trait]
impl DataPlane for Stopping {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        self.data_plane.publish(table).await
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        if !self.first.swap(false, SeqCst) {
            return self.data_plane.withdraw(gateway).await;
        }
        if !self.before {
            self.data_plane.withdraw(gateway).await?;
        }
        self.reached.notify_one();
        self.go_on.notified().await;
        match self.before {
            true => self.data_plane.withdraw(gateway).await,
            false => Ok(()),
        }
    }
}

impl Stopping {
    fn new(data_plane: &Arc<FakeDataPlane>, before: bool) -> Arc<Self> {
        Arc::new(Self {
            data_plane: data_plane.clone(),
            before,
            first: AtomicBool::new(true),
            reached: Notify::new(),
            go_on: Notify::new(),
        })
    }
}

#[tokio::test]
async fn a_gateway_that_returns_before_its_removal_is_not_removed() {
    let there = |names: &[&str]| {
        let gateways = names.iter().map(|name| gateway(name)).collect();
        snapshot(gateways, vec![])
    };
    let mut bench = bench(there(&["first", "second"]));
    let stopping = Stopping::new(&bench.data_plane, true);
    bench.reconciler.ports.data_plane = stopping.clone();
    bench.pass().await;
    bench.cluster.show(there(&[]));
    bench.reconciler.route_pass().await;
    let comes_back = async {
        stopping.reached.notified().await;
        bench.cluster.show(there(&["second"]));
        bench.reconciler.route_pass().await;
        stopping.go_on.notify_one();
    };
    let (done, ()) = futures_util::join!(bench.reconciler.edge_pass(false), comes_back);
    assert_eq!(done.removed, [key("first")]);
    assert!(bench.workloads.proxy(&key("second")).is_some());
}

#[tokio::test]
async fn a_gateway_that_returns_during_the_withdrawal_of_its_table_has_a_table() {
    for before in [true, false] {
        let mut bench = bench(quickstart());
        let stopping = Stopping::new(&bench.data_plane, before);
        bench.reconciler.ports.data_plane = stopping.clone();
        bench.pass().await;
        bench.cluster.show(snapshot(vec![], vec![]));
        bench.reconciler.route_pass().await;
        let comes_back = async {
            stopping.reached.notified().await;
            bench.cluster.show(quickstart());
            bench.reconciler.route_pass().await;
            stopping.go_on.notify_one();
        };
        futures_util::join!(bench.reconciler.edge_pass(false), comes_back);
        assert!(bench.pass().await.settled, "before: {before}");
        assert!(bench.data_plane.table(&key("gw")).is_some(), "{before}");

        bench.cluster.show(snapshot(vec![], vec![]));
        bench.pass().await;
        bench.pass().await;
        assert!(bench.data_plane.table(&key("gw")).is_none(), "{before}");
    }
}
