//! Gateways are deleted after what they depend on, in every order: none stays, and what is left is meant to be.

use futures_util::future::join_all;
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, PATIENCE};

use super::user::route;

/// What a Gateway depends on, as kubectl names it; `{ns}` stands for the namespace.
const NEEDED: [&str; 3] = [
    "cloudflaregatewayparameters/my-params",
    "secret/my-account",
    "gatewayclass/{ns}",
];

/// What becomes of what a deleted Gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is removed.
    Removed,
    /// It stays, by the policy of the parameters.
    LeftByPolicy,
    /// It stays, because the Gateway is suspended.
    LeftWhileSuspended,
}

/// A class, an account and parameters of this namespace alone, and a Gateway that names them. It has no pod, so that
/// many can be made at a time.
fn manifests(product: &Installation, namespace: &str, way: Way) -> String {
    let policy = match way {
        Way::LeftByPolicy => "Orphan",
        _ => "Delete",
    };
    format!(
        "{}---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {namespace}}}
spec: {{controllerName: cloudflare-gateway-controller.io/controller}}
---
apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: my-params}}
spec:
  secretRef: {{name: my-account}}
  deletionPolicy: {policy}
  tunnel: {{replicas: []}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: my-gateway}}
spec:
  gatewayClassName: {namespace}
  infrastructure:
    parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: my-params}}
  listeners: [{{name: https, protocol: HTTPS, port: 443}}]
---
{}",
        product.secret("my-account", namespace),
        route(&format!("{namespace}.example.com"), "")
    )
}

fn left(product: &Installation, namespace: &Namespace) -> (usize, usize) {
    let hostname = format!("{}.example.com", namespace.name());
    (
        product.tunnels_of(namespace.name()),
        product.records_of(&hostname),
    )
}

async fn at_cloudflare(product: &Installation, namespace: &Namespace, expected: (usize, usize)) {
    let what = format!("tunnels and records of {}", namespace.name());
    eventually(&what, PATIENCE, || async {
        let found = left(product, namespace);
        (found == expected)
            .then_some(())
            .ok_or(format!("{found:?}, not {expected:?}"))
    })
    .await;
}

async fn delete(namespace: &Namespace, object: &str) {
    let object = object.replace("{ns}", namespace.name());
    namespace
        .kubectl(&["delete", "--wait=false", &object])
        .await;
}

/// Deletes these two, then the Gateway.
async fn deleted_after(product: &Installation, first: &str, second: &str, way: Way) {
    let namespace = product.cluster.namespace("deletion").await;
    namespace
        .apply(&manifests(product, namespace.name(), way))
        .await;
    at_cloudflare(product, &namespace, (1, 1)).await;
    if way == Way::LeftWhileSuspended {
        let annotation = "cloudflare-gateway-controller.io/reconcile=disabled";
        namespace
            .kubectl(&["annotate", "gateway/my-gateway", annotation])
            .await;
    }
    delete(&namespace, first).await;
    delete(&namespace, second).await;
    delete(&namespace, "gateway/my-gateway").await;
    let what = format!("{way:?}: the Gateway is gone after {first} and {second}");
    eventually(&what, PATIENCE, || async {
        match namespace.get(&["gateway/my-gateway"]).await {
            None => Ok(()),
            Some(gateway) => Err(gateway.to_string()),
        }
    })
    .await;
    let is_left = way != Way::Removed;
    at_cloudflare(product, &namespace, (is_left.into(), is_left.into())).await;
    if is_left {
        eventually("an Event says what was left", PATIENCE, || async {
            let events = namespace.get(&["events.events.k8s.io"]).await;
            let events = events.unwrap_or_default();
            let mut items = events["items"].as_array().into_iter().flatten();
            let told = items.find(|event| event["reason"] == "Orphaned");
            let note = told.and_then(|event| event["note"].as_str().map(str::to_owned));
            let note = note.filter(|note| note.contains(" and 1 DNS records"));
            note.ok_or(events.to_string())
        })
        .await;
    }
    let class = format!("gatewayclass/{}", namespace.name());
    let _ = namespace
        .try_kubectl(&["delete", "--ignore-not-found", &class])
        .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_gateway_goes_after_any_two_of_the_things_that_it_depends_on() {
    let product = installation::quiet().await;
    for way in [Way::Removed, Way::LeftByPolicy, Way::LeftWhileSuspended] {
        let pairs = NEEDED.iter().flat_map(|first| {
            let others = NEEDED.iter().filter(move |second| *second != first);
            others.map(move |second| (*first, *second))
        });
        let deletions = pairs.map(|(first, second)| deleted_after(&product, first, second, way));
        join_all(deletions).await;
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_namespace_goes_with_its_gateway_and_leaves_what_it_is_meant_to_leave() {
    let product = installation::quiet().await;
    for way in [Way::Removed, Way::LeftByPolicy] {
        let namespace = product.cluster.namespace("deletion").await;
        namespace
            .apply(&manifests(&product, namespace.name(), way))
            .await;
        at_cloudflare(&product, &namespace, (1, 1)).await;
        let name = format!("namespace/{}", namespace.name());
        namespace.kubectl(&["delete", "--wait=false", &name]).await;
        namespace.wait("delete", &name, PATIENCE).await;
        let is_left = way == Way::LeftByPolicy;
        at_cloudflare(&product, &namespace, (is_left.into(), is_left.into())).await;
        delete(&namespace, "gatewayclass/{ns}").await;
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_suspended_gateway_is_written_by_nobody_and_catches_up_when_it_is_resumed() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("suspended").await;
    let shown = manifests(&product, namespace.name(), Way::Removed);
    namespace.apply(&shown).await;
    at_cloudflare(&product, &namespace, (1, 1)).await;
    let annotate = async |value: &str| {
        let annotation = format!("cloudflare-gateway-controller.io/reconcile={value}");
        let arguments = ["annotate", "--overwrite", "gateway/my-gateway", &annotation];
        namespace.kubectl(&arguments).await;
    };
    annotate("disabled").await;
    let hostname = format!("{}.example.com", namespace.name());
    let other = format!("more.{hostname}");
    let more = shown.replace(
        &format!("hostnames: [{hostname}]"),
        &format!("hostnames: [{hostname}, {other}]"),
    );
    assert_ne!(more, shown);
    namespace.apply(&more).await;
    let version = || async {
        let gateway = namespace.get(&["gateway/my-gateway"]).await;
        gateway.expect("the Gateway")["metadata"]["resourceVersion"].clone()
    };
    let before = version().await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(product.records_of(&other), 0);
    assert_eq!(version().await, before);
    annotate("enabled").await;
    eventually("the record of the new hostname", PATIENCE, || async {
        match product.records_of(&other) {
            1 => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .await;
    delete(&namespace, "gatewayclass/{ns}").await;
}

/// A CRD as it can be made again.
async fn definition(product: &Installation, name: &str) -> String {
    let found = product.cluster.get(&["crd", name]).await;
    let mut found = found.expect("the CRD");
    let metadata = serde_json::json!({
        "name": name,
        "annotations": found["metadata"]["annotations"],
        "labels": found["metadata"]["labels"],
    });
    found["metadata"] = metadata;
    let fields = found.as_object_mut().expect("an object");
    fields.remove("status");
    found.to_string()
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_gateway_goes_with_or_after_the_crds_and_the_controller_works_once_they_are_back() {
    const PARAMETERS: &str = "cloudflaregatewayparameters.cloudflare-gateway-controller.io";
    const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
    let product = installation::alone().await;
    for gone in [PARAMETERS, GATEWAYS] {
        let namespace = product.cluster.namespace("deletion").await;
        let manifests = manifests(&product, namespace.name(), Way::Removed);
        namespace.apply(&manifests).await;
        at_cloudflare(&product, &namespace, (1, 1)).await;
        let crd = definition(&product, gone).await;
        let name = format!("crd/{gone}");
        product
            .cluster
            .kubectl(&["delete", "--wait=false", &name])
            .await;
        if gone == PARAMETERS {
            namespace.wait("delete", &name, PATIENCE).await;
            delete(&namespace, "gateway/my-gateway").await;
            namespace
                .wait("delete", "gateway/my-gateway", PATIENCE)
                .await;
        }
        namespace.wait("delete", &name, PATIENCE).await;
        // The account is named by parameters that are gone: what the Gateway had is found by its marks.
        at_cloudflare(&product, &namespace, (0, 0)).await;
        product.cluster.create(&crd).await;
        namespace
            .wait("condition=Established", &name, PATIENCE)
            .await;
        namespace.apply(&manifests).await;
        at_cloudflare(&product, &namespace, (1, 1)).await;
        delete(&namespace, "gateway/my-gateway").await;
        at_cloudflare(&product, &namespace, (0, 0)).await;
        delete(&namespace, "gatewayclass/{ns}").await;
    }
}
