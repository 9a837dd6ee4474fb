//! Another Gateway that a test must not touch: its route, its proxies and what it has at Cloudflare.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::cluster::Namespace;
use tests::installation::{Installation, PATIENCE};
use tokio::sync::OnceCell;

use super::traffic::echo_behind;

/// Its namespace: one for all tests, and none of them edits it.
static OTHER_GATEWAY: OnceCell<Namespace> = OnceCell::const_new();

/// Without a change for so long it is at rest: the proxies of a new Gateway become ready one by one.
const REST: Duration = Duration::from_secs(4);

/// The other Gateway, and all that there was of it before the test.
pub(super) struct OtherGateway {
    namespace: &'static Namespace,
    before: Vec<String>,
}

/// The other Gateway, once nothing of it changes any more.
pub(super) async fn other_gateway(product: &Installation) -> OtherGateway {
    let make = || async {
        let namespace = product.cluster.namespace("other-gateway").await;
        echo_behind(product, &namespace, 1).await;
        namespace
    };
    let namespace = OTHER_GATEWAY.get_or_init(make).await;
    let deadline = Instant::now() + PATIENCE;
    let mut before = everything(product, namespace).await;
    let mut since = Instant::now();
    while since.elapsed() < REST {
        assert!(Instant::now() < deadline, "no rest: {before:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = everything(product, namespace).await;
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    OtherGateway { namespace, before }
}

impl OtherGateway {
    /// Nothing of it was written meanwhile: neither its objects and their statuses, nor those made for it, nor
    /// what it has at Cloudflare.
    pub(super) async fn was_not_touched(&self, product: &Installation) {
        let after = everything(product, self.namespace).await;
        assert_eq!(after, self.before, "the other Gateway was touched");
    }
}

/// Versions of the Gateway and its route, and [`made_for`] it.
async fn everything(product: &Installation, namespace: &Namespace) -> Vec<String> {
    let found = namespace.get(&["gateways,httproutes"]).await;
    let mut all = versions(&found.unwrap_or_default(), "resourceVersion");
    all.extend(made_for(product, namespace).await);
    all
}

/// What was made for the Gateways of a namespace: objects with their generations, tunnels, records with the time of
/// their last change.
pub(super) async fn made_for(product: &Installation, namespace: &Namespace) -> Vec<String> {
    let kinds = "deployments,serviceaccounts,poddisruptionbudgets";
    let label = "--selector=gateway.networking.k8s.io/gateway-name";
    let found = namespace.get(&[kinds, label]).await.unwrap_or_default();
    let mut all = versions(&found, "generation");
    let cloud = product.standin.cloud();
    let part = format!("/namespaces/{}/", namespace.name());
    let tunnels = cloud.tunnels().into_iter();
    let tunnels = tunnels.filter(|tunnel| tunnel.deleted_at.is_none());
    let tunnels = tunnels.filter(|tunnel| tunnel.name.contains(&part));
    all.extend(tunnels.map(|tunnel| format!("tunnel {}", tunnel.id)));
    for zone in cloud.zones() {
        let records = cloud.records(&zone.id).into_iter();
        let records = records.filter(|record| record.name.contains(namespace.name()));
        all.extend(records.map(|record| {
            let (name, content, at) = (&record.name, &record.content, &record.modified_on);
            format!("record {} {name} {content} {at}", record.id)
        }));
    }
    all
}

fn versions(list: &Value, field: &str) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    let version = |item: &Value| {
        let metadata = &item["metadata"];
        let (name, uid) = (&metadata["name"], &metadata["uid"]);
        format!("{} {name} {uid} {}", item["kind"], metadata[field])
    };
    items.map(version).collect()
}
