//! What many routes cost, and that what does not change costs no write.

mod census;
mod thousand;

use std::collections::BTreeSet;
use std::time::Duration;

use tests::cluster::{AuditEvent, Namespace, eventually};
use tests::installation::{self, Installation, NAMESPACE, PATIENCE};

use super::traffic::echo_behind;

/// Long enough for passes and their writes; nothing can be awaited that must not come.
const SILENCE: Duration = Duration::from_secs(6);

/// Whether a request of the controller changed something. Its Lease it renews as long as it lives, and a TokenReview
/// is a question.
fn is_write(event: &AuditEvent) -> bool {
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    let account = format!("system:serviceaccount:{NAMESPACE}:");
    let about = event.object_ref.as_ref();
    event.stage == "ResponseComplete"
        && event.user.username.starts_with(&account)
        && writes.contains(&event.verb.as_str())
        && about.is_some_and(|about| !["leases", "tokenreviews"].contains(&about.resource.as_str()))
}

/// Everything that the controller wrote so far, to the API server and to Cloudflare.
fn written(product: &Installation) -> Vec<String> {
    let audit = product.cluster.audit().into_iter().filter(is_write);
    let kubernetes = audit.map(|event| format!("{} {:?}", event.verb, event.object_ref));
    let cloudflare = product.standin.cloud().writes().into_iter();
    let cloudflare = cloudflare.map(|call| format!("{} {}", call.method, call.path));
    kubernetes.chain(cloudflare).collect()
}

/// Waits until earlier tests have left nothing that still goes away.
async fn nothing_goes_away(product: &Installation) {
    eventually("no namespace goes away", PATIENCE, || async {
        let found = product.cluster.get(&["namespaces"]).await.ok_or("none")?;
        let all = found["items"].as_array().cloned().unwrap_or_default();
        let phases: BTreeSet<_> = all
            .iter()
            .map(|one| one["status"]["phase"].to_string())
            .collect();
        match phases.contains("\"Terminating\"") {
            false => Ok(()),
            true => Err(format!("{phases:?}")),
        }
    })
    .await;
}

/// Waits until the controller has been silent for a while.
async fn at_rest(product: &Installation) -> Vec<String> {
    let before = std::sync::Mutex::new(written(product));
    eventually("the controller is at rest", PATIENCE, || async {
        tokio::time::sleep(SILENCE).await;
        let now = written(product);
        let earlier = std::mem::replace(&mut *before.lock().unwrap(), now.clone());
        match now.len() == earlier.len() {
            true => Ok(now),
            false => Err(format!("{:?}", now.last())),
        }
    })
    .await
}

async fn annotate(namespace: &Namespace, value: &str) {
    let annotation = format!("example.com/touched={value}");
    let objects = ["gateway/my-gateway", "httproute/my-route", "service/echo"];
    for object in objects {
        namespace
            .kubectl(&["annotate", "--overwrite", object, &annotation])
            .await;
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn what_does_not_change_is_written_neither_to_the_cluster_nor_to_cloudflare() {
    let product = installation::alone().await;
    let namespace = product.cluster.namespace("unchanged").await;
    let hostname = echo_behind(&product, &namespace, 1).await;
    nothing_goes_away(&product).await;
    let before = at_rest(&product).await;

    annotate(&namespace, "once").await;
    let secret = ["annotate", "--overwrite", "secret/cloudflare"];
    let here = ["--namespace", NAMESPACE, "example.com/touched=once"];
    product
        .cluster
        .kubectl(&[&secret[..], &here].concat())
        .await;
    tokio::time::sleep(SILENCE).await;
    let after = written(&product);
    assert_eq!(
        after[before.len()..],
        [] as [String; 0],
        "after annotations"
    );

    // Another leader compares everything with Cloudflare and the cluster, as each resync does.
    let calls = product.standin.cloud().calls().len();
    let (leader, term) = product.leader().await;
    product
        .cluster
        .kubectl(&["delete", "pod", "--namespace", NAMESPACE, &leader])
        .await;
    eventually("another leader has read everything", PATIENCE, || async {
        let (_, now) = product.leader().await;
        let calls = product.standin.cloud().calls().split_off(calls);
        let records = calls.iter().any(|call| call.path.contains("dns_records"));
        match now > term && records {
            true => Ok(()),
            false => Err(format!("term {now}, {} calls", calls.len())),
        }
    })
    .await;
    tokio::time::sleep(SILENCE).await;
    let after = written(&product);
    let new: Vec<_> = after.iter().filter(|one| !before.contains(one)).collect();
    assert_eq!(after.len(), before.len(), "by another leader: {new:?}");
    product.served(&format!("https://{hostname}/")).await;
}
