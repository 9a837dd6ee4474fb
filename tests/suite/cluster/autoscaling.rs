//! Autoscalers act on the proxies: requests in flight decide how many there are, or CPU where a user asks for that, and no
//! request fails meanwhile. A VerticalPodAutoscaler gets its recommendation.

mod parts;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, Namespace, eventually};
use tests::installation::{self, Installation, PATIENCE};
use tests::load::Load;

use super::traffic::{requests_at, requests_to};
use super::user::manifests;

const DEPLOYMENT: &str = "deployment/gateway-my-gateway";
const PROXIES: &str = "--selector=gateway.networking.k8s.io/gateway-name=my-gateway";
const PARAMETERS: &str = "cloudflare-gateway-controller.io/Parameters";

/// Until an autoscaler has acted: metrics of CPU and memory are 10 s apart, and pods have to start.
const ACTED: Duration = Duration::from_secs(240);

/// A Gateway with these `spec.tunnel` of its parameters and a route to a pod, served; the hostname.
async fn served_with(product: &Installation, namespace: &Namespace, tunnel: &str) -> String {
    let hostname = format!("{}.example.com", namespace.name());
    let parameters = format!(
        "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: scaled}}
spec: {{tunnel: {tunnel}}}
"
    );
    let reference = "  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: scaled}
  listeners:";
    let text = manifests(&hostname).replace("  listeners:", reference);
    namespace.apply(&format!("{parameters}---\n{text}")).await;
    product.served(&format!("https://{hostname}/")).await;
    namespace
        .condition("gateway/my-gateway", PARAMETERS, "True")
        .await;
    hostname
}

/// The pods of the proxies.
async fn pods(namespace: &Namespace) -> Vec<Value> {
    let found = namespace.get(&["pods", PROXIES]).await.unwrap_or_default();
    found["items"].as_array().cloned().unwrap_or_default()
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Waits until there are so many proxies and all are ready: each has its routes and a connection to the edge.
async fn proxies(namespace: &Namespace, count: usize) -> Vec<Value> {
    eventually(&format!("{count} proxies"), ACTED, || async {
        let pods = pods(namespace).await;
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        if pods.len() == count && pods.iter().filter(is_ready).count() == count {
            return Ok(pods);
        }
        let scalers = ["describe", "horizontalpodautoscalers"];
        let scalers = namespace.try_kubectl(&scalers).await;
        let names: Vec<_> = pods.iter().map(name).collect();
        Err(format!("{names:?}\n{}", scalers.unwrap_or_else(|why| why)))
    })
    .await
}

/// How many requests each proxy has answered, as its own metrics tell.
async fn answered(namespace: &Namespace) -> BTreeMap<String, u64> {
    let mut answered = BTreeMap::new();
    for pod in pods(namespace).await {
        let (name, namespace_name) = (name(&pod), namespace.name());
        let path = format!("/api/v1/namespaces/{namespace_name}/pods/{name}:8081/proxy/metrics");
        let metrics = namespace.try_kubectl(&["get", "--raw", &path]).await;
        let metrics = metrics.unwrap_or_default();
        let lines = metrics.lines();
        let lines = lines.filter(|line| line.starts_with("cfgw_proxy_requests_total{"));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        answered.insert(name, counts.sum());
    }
    answered
}

/// Every proxy that is there answers requests.
async fn each_serves(namespace: &Namespace) {
    let answered = eventually("each proxy serves", PATIENCE, || async {
        let answered = answered(namespace).await;
        let all = !answered.is_empty() && answered.values().all(|count| *count > 0);
        all.then(|| answered.clone()).ok_or(format!("{answered:?}"))
    })
    .await;
    println!("requests that each proxy answered: {answered:?}");
}

/// Ends a load, of which no request may have failed.
async fn without_failure(load: Load, what: &str) {
    let report = load.stop().await;
    println!("{} requests {what}", report.requests);
    assert_eq!(report.failures, Vec::<String>::new(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn replicas_follow_the_requests_in_flight_and_no_request_fails() {
    let product = installation::alone().await;
    let metrics = parts::custom_metrics(&product.cluster).await;
    let namespace = product.cluster.namespace("in-flight").await;
    let scaling = "{minReplicas: 1, maxReplicas: 3, targetInFlightRequests: 4}";
    let tunnel = format!("{{autoscaling: {{horizontal: {scaling}}}}}");
    let hostname = served_with(&product, &namespace, &tunnel).await;
    proxies(&namespace, 1).await;

    let slow = format!("https://{hostname}/?delay=1s");
    let load = Load::start(12, Duration::ZERO, requests_at(&product, &slow));
    proxies(&namespace, 3).await;
    each_serves(&namespace).await;
    without_failure(load, "while there came to be three proxies").await;

    let few = requests_to(&product, &hostname);
    let load = Load::start(1, Duration::from_millis(50), few);
    proxies(&namespace, 1).await;
    without_failure(load, "while two of three proxies went").await;
    drop(namespace);
    metrics.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn what_metrics_server_tells_makes_more_proxies_and_recommends_sizes() {
    let product = installation::alone().await;
    let cluster = &product.cluster;
    let (server, vertical) = tokio::join!(
        parts::metrics_server(cluster),
        parts::vertical_autoscaler(cluster)
    );
    sizes_are_recommended(&product).await;
    more_by_cpu(&product).await;
    vertical.remove().await;
    server.remove().await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn the_example_of_a_scaled_object_is_one_that_keda_takes() {
    let cluster = Cluster::inside();
    let kind = parts::scaled_objects(&cluster).await;
    let namespace = cluster.namespace("keda").await;
    let example = include_str!("../../../docs/examples/autoscaling/keda.yaml");
    let here = format!("namespace: {}", namespace.name());
    let example = example.replace("namespace: infra", &here);
    // The API server refuses a field that the kind does not have.
    namespace.apply(&example).await;
    drop(namespace);
    kind.remove().await;
}

/// The VerticalPodAutoscaler of a Gateway is accepted, and gets a recommendation out of what the pods use.
async fn sizes_are_recommended(product: &Installation) {
    let namespace = product.cluster.namespace("vertical").await;
    let policy = "maxAllowed: {memory: 96Mi}, controlledValues: RequestsOnly";
    let tunnel = format!("{{autoscaling: {{enabled: true, {policy}}}}}");
    served_with(product, &namespace, &tunnel).await;
    let recommended = eventually("a recommendation", ACTED, || async {
        // What the recommender has kept says whether it has seen the pods.
        let seen = ["verticalpodautoscalercheckpoints"];
        let seen = namespace.get(&seen).await.unwrap_or_default();
        let scaler = ["verticalpodautoscaler", "gateway-my-gateway"];
        let scaler = namespace.get(&scaler).await.unwrap_or_default();
        let all = &scaler["status"]["recommendation"]["containerRecommendations"];
        let samples = seen["items"][0]["status"]["totalSamplesCount"].as_u64();
        match (samples, all.as_array()) {
            (Some(1..), Some(all)) => Ok(all.clone()),
            _ => Err(format!("{seen}\n{scaler}")),
        }
    })
    .await;
    println!("recommended: {recommended:?}");
    assert_eq!(recommended.len(), 1, "for one container");
    assert_eq!(recommended[0]["containerName"], "proxy");
    let target = &recommended[0]["target"];
    assert_eq!(target["memory"], "96Mi", "no more than is allowed");
    assert!(target["cpu"].is_string(), "{target}");
}

/// A user scales by CPU, with an autoscaler of their own: the controller leaves the number of replicas to it.
async fn more_by_cpu(product: &Installation) {
    let namespace = product.cluster.namespace("cpu").await;
    let tunnel = "{patches: [{op: remove, path: /spec/replicas}]}";
    let hostname = served_with(product, &namespace, tunnel).await;
    proxies(&namespace, 1).await;
    let scaler = include_str!("../../../docs/examples/autoscaling/cpu.yaml");
    namespace.apply(scaler).await;
    let requests = requests_to(product, &hostname);
    let load = Load::start(8, Duration::ZERO, requests);
    proxies(&namespace, 3).await;
    // A pass of the controller sets everything that it applies.
    let label = r#"--patch={"spec":{"tunnel":{"podLabels":{"team":"shop"}}}}"#;
    let patch = ["patch", "cloudflaregatewayparameters", "scaled"];
    namespace
        .kubectl(&[&patch[..], &["--type=merge", label]].concat())
        .await;
    eventually("the controller has applied it", PATIENCE, || async {
        let found = namespace.get(&[DEPLOYMENT]).await.unwrap_or_default();
        let labels = &found["spec"]["template"]["metadata"]["labels"];
        assert_eq!(found["spec"]["replicas"], 3, "{found}");
        (labels["team"] == "shop")
            .then_some(())
            .ok_or(labels.to_string())
    })
    .await;
    proxies(&namespace, 3).await;
    each_serves(&namespace).await;
    without_failure(load, "while there came to be three proxies by CPU").await;
}
