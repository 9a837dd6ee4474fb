//! What the operator's `tenants` leave to a namespace that asks for more.

use serde_json::Value;
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, NAMESPACE, PATIENCE};

const CLASS: &str = "tenants";
const OWN: &str = "cloudflare-gateway-controller.io";

/// A GatewayClass that lets a namespace have names below one of its own, one Gateway and one annotation.
fn class(tenant: &Namespace) -> String {
    let name = tenant.name();
    format!(
        "apiVersion: {OWN}/v1
kind: CloudflareGatewayParameters
metadata: {{name: {CLASS}, namespace: {NAMESPACE}}}
spec:
  secretRef: {{name: cloudflare}}
  tenants:
    - namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
      hostnames: [{name}.example.com]
      maxGateways: 1
      infrastructure: {{labels: [], annotations: [example.com/team], nodeSelector: Denied}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {CLASS}}}
spec:
  controllerName: {OWN}/controller
  parametersRef: {{group: {OWN}, kind: CloudflareGatewayParameters, name: {CLASS}, namespace: {NAMESPACE}}}
"
    )
}

fn gateway(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: {CLASS}
  infrastructure:
    labels: {{sidecar.istio.io/inject: \"true\"}}
    annotations:
      eks.amazonaws.com/role-arn: evil
      sidecar.istio.io/proxyImage: evil
      example.com/team: evil
  listeners: [{{name: https, protocol: HTTPS, port: 443}}]
"
    )
}

fn route(name: &str, hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: first}}]
  hostnames: [\"{hostname}\"]
  rules: [{{backendRefs: [{{name: echo, port: 8080}}]}}]
"
    )
}

/// Why an object is not accepted.
async fn refused(namespace: &Namespace, object: &str) -> String {
    let condition = namespace.condition(object, "Accepted", "False").await;
    condition["reason"].as_str().unwrap_or_default().to_owned()
}

/// Annotations and labels that reached the pods and ServiceAccounts of a Gateway, as text.
async fn reached(namespace: &Namespace) -> (usize, String) {
    let label = "--selector=gateway.networking.k8s.io/gateway-name=first";
    let found = namespace.get(&["pods,serviceaccounts", label]).await;
    let items = found.unwrap_or_default()["items"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let metadata = |item: &Value| {
        let metadata = &item["metadata"];
        format!("{} {}\n", metadata["labels"], metadata["annotations"])
    };
    (items.len(), items.iter().map(metadata).collect())
}

async fn clean_up(product: &Installation, evil: &Namespace) {
    evil.kubectl(&["delete", "gateways,httproutes", "--all", "--timeout=240s"])
        .await;
    assert_eq!(product.tunnels_of(evil.name()), 0);
    product.cluster.delete(&class(evil)).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_namespace_has_no_more_than_its_entry_of_the_tenants_says() {
    let product = installation::quiet().await;
    let evil = product.cluster.namespace("tenant").await;
    product.cluster.apply(&class(&evil)).await;
    let own = format!("{}.example.com", evil.name());
    let asked = [
        ("login", "login-of-another.example.com"),
        ("wildcard", "*.example.com"),
    ];
    evil.apply(include_str!("../echo.yaml")).await;
    evil.apply(&gateway("first")).await;
    evil.apply(&route("own", &own)).await;
    product.served(&format!("https://{own}/")).await;
    evil.apply(&gateway("second")).await;
    for (name, hostname) in asked {
        evil.apply(&route(name, hostname)).await;
    }

    assert_eq!(refused(&evil, "gateway/second").await, "TooManyGateways");
    for (name, hostname) in asked {
        let route = format!("httproute/{name}");
        assert_eq!(
            refused(&evil, &route).await,
            "HostnameNotPermitted",
            "{name}"
        );
        assert_eq!(product.records_of(hostname), 0, "{hostname}");
    }
    assert_eq!(product.tunnels_of(evil.name()), 1);
    let condition = evil
        .condition("gateway/first", &format!("{OWN}/Parameters"), "False")
        .await;
    eventually("pods with what is permitted", PATIENCE, || async {
        match reached(&evil).await {
            (0, _) => Err("no pod".to_owned()),
            (_, text) if !text.contains("example.com/team") => Err(text),
            (_, text) => {
                assert!(!text.contains("istio") && !text.contains("eks"), "{text}");
                Ok(())
            }
        }
    })
    .await;
    for key in ["sidecar.istio.io/inject", "eks.amazonaws.com/role-arn"] {
        let message = condition["message"].as_str().unwrap_or_default();
        assert!(message.contains(key), "{key}: {message}");
    }
    clean_up(&product, &evil).await;
}
