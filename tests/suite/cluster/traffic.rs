//! Pods come and go under load.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use tests::cluster::{Namespace, eventually};
use tests::grpc::Caller;
use tests::installation::{self, Installation, PATIENCE};
use tests::load::Load;

use super::user::{gateway, manifests};

/// A Gateway and a route to so many echo pods, served; the hostname.
pub(super) async fn echo_behind(
    product: &Installation,
    namespace: &Namespace,
    pods: u32,
) -> String {
    let hostname = format!("{}.example.com", namespace.name());
    let wanted = format!("replicas: {pods}");
    namespace
        .apply(&manifests(&hostname).replace("replicas: 2", &wanted))
        .await;
    namespace
        .wait("condition=Available", "deployment/echo", PATIENCE)
        .await;
    namespace
        .condition("gateway/my-gateway", "Programmed", "True")
        .await;
    product.served(&format!("https://{hostname}/")).await;
    hostname
}

/// Requests that fail unless they are answered 200 by an echo pod.
pub(super) fn requests_to(
    product: &Installation,
    hostname: &str,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>
+ Send
+ Sync
+ 'static {
    requests_at(product, &format!("https://{hostname}/load"))
}

/// The same of one address.
pub(super) fn requests_at(
    product: &Installation,
    url: &str,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>
+ Send
+ Sync
+ 'static
+ use<> {
    let (client, url) = (product.client.clone(), url.to_owned());
    move || {
        let (client, url) = (client.clone(), url.clone());
        Box::pin(async move {
            let answer = client.get(&url).await?;
            match answer.status {
                200 => Ok(()),
                other => Err(format!("{other}: {}", answer.body)),
            }
        })
    }
}

async fn scaled(namespace: &Namespace, pods: u32) {
    namespace
        .kubectl(&["scale", "deployment/echo", &format!("--replicas={pods}")])
        .await;
    namespace
        .kubectl(&["rollout", "status", "deployment/echo", "--timeout=240s"])
        .await;
}

/// How often each pod answered.
async fn shares(
    product: &Installation,
    hostname: &str,
    requests: usize,
) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let answer = product.client.get(&format!("https://{hostname}/")).await;
        let pod = answer.expect("an answer").told("pod");
        *shares.entry(pod).or_default() += 1;
    }
    shares
}

/// Ten pods, all of them replaced, and one again.
async fn ten_pods_and_back(product: &Installation, namespace: &Namespace, hostname: &str) {
    scaled(namespace, 10).await;
    eventually("each of ten pods gets traffic", PATIENCE, || async {
        let shares = shares(product, hostname, 100).await;
        match shares.len() {
            10 => Ok(()),
            _ => Err(format!("{shares:?}")),
        }
    })
    .await;
    namespace
        .kubectl(&["rollout", "restart", "deployment/echo"])
        .await;
    namespace
        .kubectl(&["rollout", "status", "deployment/echo", "--timeout=240s"])
        .await;
    scaled(namespace, 1).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_rollout_and_scaling_fail_no_request() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("rollout").await;
    let hostname = echo_behind(&product, &namespace, 1).await;
    let load = Load::start(
        4,
        Duration::from_millis(20),
        requests_to(&product, &hostname),
    );

    let rounds = std::env::var("ROLLOUTS").map_or(1, |it| it.parse().expect("a number"));
    for _ in 0..rounds {
        ten_pods_and_back(&product, &namespace, &hostname).await;
    }

    let report = load.stop().await;
    println!("{} requests while pods came and went", report.requests);
    assert_eq!(
        report.failures,
        Vec::<String>::new(),
        "of {} requests",
        report.requests
    );
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_killed_pod_fails_at_most_what_it_was_answering() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("killed").await;
    let hostname = echo_behind(&product, &namespace, 3).await;
    let tasks = 4;
    let load = Load::start(
        tasks,
        Duration::from_millis(20),
        requests_to(&product, &hostname),
    );

    let pods = namespace
        .get(&["pods", "--selector=app=echo"])
        .await
        .unwrap();
    let pod = pods["items"][0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    product.kill_container(&pod).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let report = load.stop().await;
    println!(
        "{} requests, {} failed",
        report.requests,
        report.failures.len()
    );
    assert!(report.failures.len() <= tasks, "{:?}", report.failures);
}

/// Ten pods that speak gRPC, a Gateway and a GRPCRoute to them.
fn grpc_behind(hostname: &str) -> String {
    let echo = include_str!("echo.yaml")
        .replace("replicas: 2", "replicas: 10")
        .replace(
            "          env:\n",
            "          env:\n            - {name: GRPC_ECHO_SERVER, value: \"1\"}\n",
        )
        .replace("httpGet: {path: /, port: 3000}", "tcpSocket: {port: 3000}");
    format!(
        "{echo}---
{}---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: my-route}}
spec:
  parentRefs: [{{name: my-gateway}}]
  hostnames: [{hostname}]
  rules:
    - backendRefs: [{{name: echo, port: 8080}}]
",
        gateway()
    )
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn unary_grpc_calls_on_one_client_connection_reach_each_of_ten_pods() {
    const METHOD: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo";
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("grpc").await;
    let hostname = format!("{}.example.com", namespace.name());
    namespace.apply(&grpc_behind(&hostname)).await;
    namespace
        .kubectl(&["rollout", "status", "deployment/echo", "--timeout=240s"])
        .await;
    let connect = || Caller::connect(&product.client, &hostname);
    let mut caller = eventually("a connection", PATIENCE, connect).await;
    // EchoRequest has no field, so it is an empty message.
    caller.served(METHOD, &[], PATIENCE).await;

    let pods = namespace.get(&["pods", "--selector=app=echo"]).await;
    let pods = pods.unwrap()["items"].as_array().unwrap().clone();
    let pods: Vec<_> = pods
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(pods.len(), 10);
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut shares = BTreeMap::new();
    // The last endpoints may arrive a moment after the first.
    while shares.len() < pods.len() {
        assert!(std::time::Instant::now() < deadline, "{shares:?}");
        shares.clear();
        for _ in 0..200 {
            let answer = caller.call(METHOD, &[], &[]).await.expect("status 0");
            let answer = String::from_utf8_lossy(&answer);
            let pod = pods.iter().find(|pod| answer.contains(**pod));
            *shares.entry(*pod.expect("a pod's name")).or_insert(0) += 1;
        }
    }
    println!("200 calls on one connection: {shares:?}");
    assert!(shares.values().all(|share| *share >= 5), "{shares:?}");
}
