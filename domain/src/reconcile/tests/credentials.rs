//! Gateways that go while their credentials are not there.

use std::sync::Mutex;

use super::*;
use crate::edge::{EdgeIntent, EdgeStatus, Partial};
use crate::ports::Finalizer;
use crate::secret::{ConnectorToken, TokenHash};

/// An edge that finds nothing of a Gateway that it does not let in.
#[derive(Default)]
struct Doorkeeper {
    edge: FakeEdge,
    refusal: Mutex<Option<PortErrorKind>>,
}

#[async_trait::async_trait]
impl Edge for Doorkeeper {
    async fn admit(&self, _: &ObjectKey) -> Result<(), PortError> {
        let refusal = *self.refusal.lock().unwrap();
        refusal.map_or(Ok(()), |kind| Err(PortError::new(kind, "not let in")))
    }

    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
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

fn deleting() -> ClusterSnapshot {
    let mut snapshot = quickstart();
    gateways(&mut snapshot)[0].deleting = true;
    snapshot
}

#[tokio::test]
async fn a_gateway_of_which_nothing_is_seen_stays_while_its_credentials_are_not_there() {
    let gone = || snapshot(vec![], vec![]);
    for (given, kind, shown, is_seen, goes) in [
        (
            "credentials that are not there",
            PortErrorKind::Credentials,
            deleting(),
            false,
            false,
        ),
        (
            "a tunnel that is seen",
            PortErrorKind::Credentials,
            deleting(),
            true,
            true,
        ),
        (
            "an object that is gone",
            PortErrorKind::Credentials,
            gone(),
            false,
            true,
        ),
        (
            "an edge that is away",
            PortErrorKind::Unavailable,
            deleting(),
            false,
            true,
        ),
    ] {
        let edge = Doorkeeper::default();
        *edge.refusal.lock().unwrap() = Some(kind);
        if is_seen {
            edge.edge.leave(&crate::testing::intent(key("gw"), &[]));
        }
        let bench = over(shown, Arc::new(edge));
        bench.finalizer.add(&key("gw")).await.unwrap();
        let done = bench.pass().await;
        assert_eq!(done.removed == [key("gw")], goes, "{given}: {done:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_was_served_goes_whatever_its_credentials_are_by_then() {
    let bench = over(quickstart(), Arc::new(Doorkeeper::default()));
    bench.pass().await;
    *bench.edge.refusal.lock().unwrap() = Some(PortErrorKind::Credentials);
    bench.cluster.show(deleting());
    assert_eq!(bench.pass().await.removed, [key("gw")]);
}
