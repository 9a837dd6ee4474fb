//! The way of a user: manifests in, a request served through the edge, everything gone after.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, CLASS, Installation, PATIENCE};

/// Pods behind the Service `echo`, two unless said otherwise, a Gateway, and a route of this hostname to them.
pub(super) fn manifests(hostname: &str) -> String {
    format!(
        "{}---\n{}",
        include_str!("echo.yaml"),
        gateway_and_route(hostname)
    )
}

fn gateway_and_route(hostname: &str) -> String {
    format!("{}---\n{}", gateway(), route(hostname, ""))
}

/// A Gateway with one listener for every hostname.
pub(super) fn gateway() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: my-gateway}}
spec:
  gatewayClassName: {CLASS}
  listeners: [{{name: https, protocol: HTTPS, port: 443}}]
"
    )
}

/// A route of this hostname to Service `echo`; `elsewhere` is added to the reference to its Gateway.
pub(super) fn route(hostname: &str, elsewhere: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: my-route}}
spec:
  parentRefs: [{{name: my-gateway{elsewhere}}}]
  hostnames: [{hostname}]
  rules:
    - backendRefs: [{{name: echo, port: 8080}}]
"
    )
}

/// Everything that the namespace holds of a Gateway's proxies.
async fn children(namespace: &Namespace) -> Vec<String> {
    let kinds = "deployments,pods,serviceaccounts,secrets,poddisruptionbudgets,networkpolicies";
    let label = "--selector=gateway.networking.k8s.io/gateway-name=my-gateway";
    let found = namespace.get(&[kinds, label]).await.unwrap_or_default();
    let items = found["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| format!("{} {}", item["kind"], item["metadata"]["name"]);
    items.iter().map(name).collect()
}

pub(super) async fn gone(installation: &Installation, namespace: &Namespace, hostname: &str) {
    eventually("everything of the Gateway is gone", PATIENCE, || async {
        let left = (
            installation.tunnels_of(namespace.name()),
            installation.records_of(hostname),
            children(namespace).await,
        );
        match &left {
            (0, 0, children) if children.is_empty() => Ok(()),
            _ => Err(format!("{left:?}")),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn applied_manifests_are_served_and_deleted_ones_leave_nothing() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("user").await;
    let hostname = format!("{}.example.com", namespace.name());

    namespace.apply(&manifests(&hostname)).await;
    let url = format!("https://{hostname}/hello");
    let body = product.served(&url).await;
    assert!(body.contains(namespace.name()), "{body}");

    namespace
        .condition("gateway/my-gateway", "Accepted", "True")
        .await;
    namespace
        .condition("gateway/my-gateway", "Programmed", "True")
        .await;
    namespace
        .condition("httproute/my-route", "Accepted", "True")
        .await;
    namespace
        .condition("httproute/my-route", "ResolvedRefs", "True")
        .await;
    let gateway = namespace.get(&["gateway", "my-gateway"]).await.unwrap();
    let address = gateway["status"]["addresses"][0]["value"].as_str().unwrap();
    assert!(address.ends_with(".cfargotunnel.com"), "{address}");
    assert_eq!(gateway["status"]["listeners"][0]["attachedRoutes"], 1);
    assert_eq!(product.tunnels_of(namespace.name()), 1);
    assert_eq!(product.records_of(&hostname), 1);
    for object in ["gateway/my-gateway", "cloudflaregatewaystatus/my-gateway"] {
        let ready = "--for=condition=Ready";
        namespace
            .kubectl(&["wait", ready, object, "--timeout=60s"])
            .await;
    }
    namespace
        .condition("httproute/my-route", "Ready", "True")
        .await;
    shown_by_its_status_object(&namespace, address).await;

    namespace
        .kubectl(&["delete", "gateway", "my-gateway", "--timeout=240s"])
        .await;
    gone(&product, &namespace, &hostname).await;
    let route = namespace.get(&["httproute", "my-route"]).await.unwrap();
    let parents = route["status"]["parents"].as_array().cloned();
    assert!(parents.unwrap_or_default().is_empty(), "{route}");
}

/// What `kubectl get cgs` shows, also after somebody has deleted it.
async fn shown_by_its_status_object(namespace: &Namespace, address: &str) {
    let tunnel = address.trim_end_matches(".cfargotunnel.com");
    for _ in 0..2 {
        eventually("the status object is there", PATIENCE, || async {
            let shown = namespace.try_kubectl(&["get", "cgs", "my-gateway"]).await?;
            let words: Vec<&str> = shown.split_whitespace().collect();
            let expected = [
                "NAME",
                "TUNNEL",
                "ID",
                "DNS",
                "READY",
                "my-gateway",
                tunnel,
                "Enabled",
                "True",
            ];
            (words == expected).then_some(()).ok_or(shown.clone())
        })
        .await;
        let found = namespace.get(&["cgs", "my-gateway"]).await.unwrap();
        let status = &found["status"];
        assert_eq!(status["dns"]["applied"], 1, "{status}");
        assert_eq!(status["hostnames"][0]["reason"], "Applied", "{status}");
        let inventory = status["inventory"].as_array().unwrap();
        let kinds = inventory.iter().map(|it| it["kind"].as_str().unwrap());
        let kinds: BTreeSet<&str> = kinds.collect();
        assert!(kinds.contains("Deployment"), "{kinds:?}");
        assert!(status["tunnel"]["token"]["hash"].is_string(), "{status}");
        namespace.kubectl(&["delete", "cgs", "my-gateway"]).await;
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn parameters_decide_how_a_gateway_runs_and_say_what_has_no_effect() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("parameters").await;
    let hostname = format!("{}.example.com", namespace.name());
    let text = manifests(&hostname).replace(
        "  listeners:",
        "  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: my-params}
  listeners:",
    );
    let parameters = "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {name: my-params}
spec:
  tunnel:
    replicas:
    - name: first
    - name: second
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 1
            podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {team: shop}}}
    autoscaling: {enabled: true}
    minReadySeconds: 1
    podLabels: {team: shop}
    protocol: http2
    gracePeriod: 10s
    patches:
    - {op: add, path: /spec/template/spec/hostAliases, value: [{ip: 192.0.2.1, hostnames: [a.internal]}]}
    resources:
      requests: {cpu: 10m, memory: 32Mi}
      limits: {cpu: \"1\", memory: 256Mi}
  dns:
    zones: [{name: example.com}, {name: other.com}]
";
    namespace.apply(&format!("{parameters}---\n{text}")).await;
    product.served(&format!("https://{hostname}/")).await;
    namespace
        .condition("gateway/my-gateway", "Accepted", "True")
        .await;
    let own = "cloudflare-gateway-controller.io/Parameters";
    let condition = namespace
        .condition("gateway/my-gateway", own, "False")
        .await;
    let message = condition["message"].as_str().unwrap();
    let words = "spec.tunnel.autoscaling: the cluster does not serve VerticalPodAutoscaler";
    assert!(message.contains(words), "{message}");
    let label = "--selector=gateway.networking.k8s.io/gateway-name=my-gateway";
    let deployments = namespace.get(&["deployments", label]).await.unwrap();
    let deployments = deployments["items"].as_array().unwrap();
    assert_eq!(deployments.len(), 2, "one for each named replica");
    for deployment in deployments {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
        let template = &deployment["spec"]["template"];
        assert_eq!(template["metadata"]["labels"]["team"], "shop");
        assert_eq!(template["spec"]["hostAliases"][0]["ip"], "192.0.2.1");
    }
    let broken = parameters
        .replace("op: add", "op: replace")
        .replace("{enabled: true}", "{enabled: false}");
    namespace.apply(&broken).await;
    eventually("the operation is named", PATIENCE, || async {
        let gateway = namespace
            .get(&["gateway/my-gateway"])
            .await
            .ok_or("it is gone".to_owned())?;
        let conditions = gateway["status"]["conditions"].to_string();
        let is_named = conditions.contains("spec.tunnel.patches[0]: replace");
        is_named.then_some(()).ok_or(conditions)
    })
    .await;
    product.served(&format!("https://{hostname}/")).await;
    let healed = broken.replace("op: replace", "op: add");
    namespace.apply(&healed).await;
    namespace.condition("gateway/my-gateway", own, "True").await;
}
