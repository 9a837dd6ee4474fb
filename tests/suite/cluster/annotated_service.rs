//! A Service with one annotation is served, tells where, and leaves nothing.

use serde_json::{Value, json};
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, PATIENCE};

use super::user::gateway;

/// A class of the test's own whose default Gateway is `my-gateway` of the namespace, and that Gateway.
fn exposing(namespace: &str) -> String {
    let class = format!("of-{namespace}");
    let gateway = gateway().replace(
        &format!("gatewayClassName: {}", installation::CLASS),
        &format!("gatewayClassName: {class}"),
    );
    format!(
        "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: of-class}}
spec:
  secretRef: {{name: my-account}}
  services: {{gateway: {{name: my-gateway}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {class}}}
spec:
  controllerName: cloudflare-gateway-controller.io/controller
  parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: of-class, namespace: {namespace}}}
---
{gateway}"
    )
}

/// A Service in front of the echo pods.
fn service(name: &str, hostname: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, annotations: {{cloudflare-gateway-controller.io/hostname: \"{hostname}\"}}}}
spec:
  selector: {{app: echo}}
  ports: [{{port: 80, targetPort: 3000}}]
{spec}"
    )
}

const OURS: &str =
    "  type: LoadBalancer\n  loadBalancerClass: cloudflare-gateway-controller.io/tunnel\n";
const OTHERS: &str = "  type: LoadBalancer\n  loadBalancerClass: example.com/lb\n";

async fn told(namespace: &Namespace, service: &str) -> Value {
    let found = namespace.get(&[&format!("service/{service}")]).await;
    found.unwrap_or_default()["status"]["loadBalancer"].clone()
}

/// Waits for an Event of this type about a Service whose note says this.
async fn event(namespace: &Namespace, service: &str, kind: &str, note: &str) {
    eventually(&format!("{service}: {kind} {note}"), PATIENCE, || async {
        let events = namespace
            .get(&["events.events.k8s.io"])
            .await
            .ok_or("none")?;
        let mut items = events["items"].as_array().into_iter().flatten();
        let found = items.any(|it| {
            it["regarding"]["kind"] == "Service"
                && it["regarding"]["name"] == service
                && it["type"] == kind
                && it["note"].as_str().is_some_and(|text| text.contains(note))
        });
        found
            .then_some(())
            .ok_or_else(|| events["items"].to_string())
    })
    .await;
}

async fn gone(product: &Installation, hostname: &str) {
    eventually("its record is gone", PATIENCE, || async {
        let left = product.records_of(hostname);
        (left == 0).then_some(()).ok_or(left.to_string())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn an_annotated_service_is_served_and_leaves_nothing() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("services").await;
    let host = |name: &str| format!("{name}-{}.example.com", namespace.name());
    let echo = include_str!("echo.yaml").replace("replicas: 2", "replicas: 1");
    let secret = product.secret("my-account", namespace.name());
    namespace
        .apply(&format!(
            "{secret}---\n{echo}---\n{}",
            exposing(namespace.name())
        ))
        .await;
    namespace.apply(&service("plain", &host("plain"), "")).await;
    namespace
        .apply(&service("balancer", &host("balancer"), OURS))
        .await;
    namespace
        .apply(&service("others", &host("others"), OTHERS))
        .await;
    for name in ["plain", "balancer", "others"] {
        product.served(&format!("https://{}/", host(name))).await;
        event(&namespace, name, "Normal", "Accepted=True").await;
    }
    eventually("the balancer tells its hostname", PATIENCE, || async {
        let found = told(&namespace, "balancer").await;
        let wanted = json!({ "ingress": [{ "hostname": host("balancer") }] });
        (found == wanted).then_some(()).ok_or(found.to_string())
    })
    .await;
    for name in ["plain", "others"] {
        assert_eq!(
            told(&namespace, name).await,
            json!({}),
            "{name} is not ours to write"
        );
    }

    let elsewhere = product.cluster.namespace("strangers").await;
    elsewhere.apply(&service("app", &host("app"), OURS)).await;
    event(
        &elsewhere,
        "app",
        "Warning",
        "metadata.namespace: Forbidden",
    )
    .await;
    assert_eq!(product.records_of(&host("app")), 0);

    let annotation = "cloudflare-gateway-controller.io/hostname-";
    namespace
        .kubectl(&["annotate", "service", "balancer", annotation])
        .await;
    event(&namespace, "balancer", "Warning", "Required value").await;
    gone(&product, &host("balancer")).await;
    eventually("the balancer tells nothing", PATIENCE, || async {
        let found = told(&namespace, "balancer").await;
        (found == json!({})).then_some(()).ok_or(found.to_string())
    })
    .await;
    namespace
        .kubectl(&["annotate", "service", "plain", annotation])
        .await;
    gone(&product, &host("plain")).await;
    namespace
        .kubectl(&["delete", "service", "others", "balancer"])
        .await;
    gone(&product, &host("others")).await;
    assert_eq!(product.tunnels_of(namespace.name()), 1, "the Gateway stays");

    namespace
        .kubectl(&["delete", "gateway", "my-gateway"])
        .await;
    let class = format!("of-{}", namespace.name());
    namespace.kubectl(&["delete", "gatewayclass", &class]).await;
    eventually("the tunnel is gone", PATIENCE, || async {
        let left = product.tunnels_of(namespace.name());
        (left == 0).then_some(()).ok_or(left.to_string())
    })
    .await;
}
