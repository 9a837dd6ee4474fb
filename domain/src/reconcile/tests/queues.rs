//! Gateways of different owners beside each other at the edge.

use futures_util::FutureExt as _;

use super::*;
use crate::edge::{EdgeIntent, EdgeStatus, Partial};
use crate::secret::{ConnectorToken, TokenHash};

/// An edge that never answers for one Gateway.
struct Stuck {
    edge: FakeEdge,
    gateway: ObjectKey,
}

#[async_trait::async_trait]
impl Edge for Stuck {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        if intent.gateway == self.gateway {
            std::future::pending::<()>().await;
        }
        self.edge.reconcile(intent).await
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        self.edge.owned().await
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        self.edge.connector_token(gateway).await
    }

    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError> {
        self.edge.retire_token(gateway, retired).await
    }

    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.edge.close_connections(gateway).await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.edge.remove(gateway).await
    }

    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        self.edge.sweep(live).await
    }
}

/// A Gateway whose credentials are in a Secret of this namespace.
fn with_secret_in(name: &str, namespace: &str) -> Gateway {
    let mut gateway = gateway(name);
    let annotations = &mut gateway.annotations;
    annotations.insert("credentials-in".to_owned(), namespace.to_owned());
    gateway
}

fn two_owners() -> ClusterSnapshot {
    snapshot(
        vec![
            with_secret_in("a", "slow"),
            with_secret_in("b", "slow"),
            with_secret_in("c", "fast"),
        ],
        vec![
            route("ra", "a", 1, &["a.example.com"]),
            route("rb", "b", 1, &["b.example.com"]),
            route("rc", "c", 1, &["c.example.com"]),
        ],
    )
}

fn of(namespace: &str) -> Queue {
    Queue::Secrets(namespace.to_owned())
}

fn nobody() -> BTreeSet<ObjectKey> {
    BTreeSet::new()
}

#[tokio::test]
async fn an_account_that_does_not_answer_holds_up_its_own_queue_alone() {
    let edge = Stuck {
        edge: FakeEdge::default(),
        gateway: key("a"),
    };
    let bench = over(two_owners(), Arc::new(edge));
    bench.reconciler.route_pass().await;
    let nobody = nobody();
    let queues = bench.reconciler.edge_queues(&nobody);
    assert_eq!(
        queues,
        BTreeSet::from([Queue::Leftovers, of("slow"), of("fast")])
    );
    let slow = of("slow");
    let mut blocked = Box::pin(bench.reconciler.edge_pass_of(&slow, &nobody));
    assert!(blocked.as_mut().now_or_never().is_none());

    let done = bench.reconciler.edge_pass_of(&of("fast"), &nobody).await;
    assert_eq!((done.stated, done.settled), (vec![key("c")], true));
    bench.cluster.change(|snapshot| {
        gateways(snapshot)[2].deleting = true;
    });
    bench.reconciler.route_pass().await;
    let done = bench.reconciler.edge_pass_of(&of("fast"), &nobody).await;
    assert_eq!(done.removed, [key("c")]);
    assert!(blocked.as_mut().now_or_never().is_none());
}

#[tokio::test]
async fn a_gateway_that_rests_is_left_alone_until_something_of_it_changes() {
    let bench = bench(two_owners());
    bench.edge.fail(Some(key("a")), Some(away()));
    let again = bench.pass().await.again;
    let resting: BTreeSet<_> = again.into_keys().collect();
    assert_eq!(resting, BTreeSet::from([key("a")]));

    assert!(bench.reconciler.edge_queues(&resting).is_empty());
    let queues = bench.reconciler.edge_queues(&nobody());
    assert_eq!(queues, BTreeSet::from([of("slow")]), "its rest is over");
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("more", "a", 2, &["more.example.com"]));
        routes(snapshot).push(route("else", "c", 2, &["else.example.com"]));
    });
    bench.reconciler.route_pass().await;
    let queues = bench.reconciler.edge_queues(&resting);
    assert_eq!(queues, BTreeSet::from([of("slow"), of("fast")]));
    let done = bench.reconciler.edge_pass_of(&of("slow"), &resting).await;
    assert_eq!(done.stated, [key("a")]);
    bench.reconciler.edge_pass_of(&of("fast"), &resting).await;
    assert!(
        bench.reconciler.edge_queues(&resting).is_empty(),
        "it failed again"
    );
}

#[tokio::test]
async fn a_resync_and_a_new_term_make_every_queue_due() {
    let bench = bench(two_owners());
    assert!(bench.pass().await.settled);
    assert!(bench.reconciler.edge_queues(&nobody()).is_empty());
    let all = BTreeSet::from([Queue::Leftovers, of("slow"), of("fast")]);
    bench.reconciler.begin_resync();
    assert_eq!(bench.reconciler.edge_queues(&nobody()), all);
    for queue in &all {
        bench.reconciler.edge_pass_of(queue, &nobody()).await;
    }
    assert!(bench.reconciler.edge_queues(&nobody()).is_empty());
    bench.leadership.set(Some(2));
    assert_eq!(bench.reconciler.edge_queues(&nobody()), all);
    bench.leadership.set(None);
    assert!(bench.reconciler.edge_queues(&nobody()).is_empty());
}

#[tokio::test]
async fn a_name_that_moves_between_queues_waits_for_its_new_holder() {
    let bench = bench(two_owners());
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        gateways(snapshot)[0].deleting = true;
        routes(snapshot)[0] = route("ra", "c", 1, &["a.example.com"]);
    });
    bench.reconciler.route_pass().await;
    let removal = bench.reconciler.edge_pass_of(&of("slow"), &nobody()).await;
    assert!(removal.removed.is_empty() && !removal.settled);
    bench.reconciler.edge_pass_of(&of("fast"), &nobody()).await;
    let queues = bench.reconciler.edge_queues(&nobody());
    assert_eq!(queues, BTreeSet::from([of("slow")]));
    let removal = bench.reconciler.edge_pass_of(&of("slow"), &nobody()).await;
    assert_eq!(removal.removed, [key("a")]);
}
