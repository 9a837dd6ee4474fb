//! The leader dies, the API server goes away: traffic flows on.

use std::time::{Duration, Instant};

use tests::cluster::{Component, Namespace, eventually};
use tests::installation::{self, Installation, NAMESPACE, PATIENCE, REPLICAS};
use tests::load::Load;

use super::traffic::{echo_behind, requests_to};

/// How long the API server is away in `make test`; `make soak` takes five minutes.
fn outage() -> Duration {
    let seconds = std::env::var("OUTAGE_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// `lease.duration` of the chart, and what a busy machine adds.
const TAKEOVER: Duration = Duration::from_secs(15 + 10);

async fn load_on(product: &Installation, hostname: &str) -> Load {
    Load::start(4, Duration::from_millis(20), requests_to(product, hostname))
}

/// A pod of the Gateway's proxies, and how often its container was restarted.
async fn proxy(namespace: &Namespace) -> (String, u64) {
    let label = "--selector=gateway.networking.k8s.io/gateway-name=my-gateway";
    let pods = namespace.get(&["pods", label]).await.unwrap();
    let pod = &pods["items"][0];
    let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
    let name = pod["metadata"]["name"].as_str().unwrap();
    (name.to_owned(), restarts.as_u64().unwrap_or(0))
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_killed_leader_is_replaced_and_no_request_fails() {
    let product = installation::alone().await;
    let namespace = product.cluster.namespace("leader").await;
    let hostname = echo_behind(&product, &namespace, 2).await;
    let load = load_on(&product, &hostname).await;
    let (leader, term) = product.leader().await;

    // As a crash does: nothing is given up, the Lease runs out.
    product.kill_container(&leader).await;
    let killed = Instant::now();
    eventually("another term", TAKEOVER, || async {
        let (leader, now) = product.leader().await;
        if now > term { Ok(()) } else { Err(leader) }
    })
    .await;
    println!(
        "a replica led again {:.1} s after the leader was killed",
        killed.elapsed().as_secs_f64()
    );

    // The new leader works: a change of the route is served.
    let changed = format!("new-{hostname}");
    let patch = format!(r#"{{"spec":{{"hostnames":["{hostname}","{changed}"]}}}}"#);
    namespace
        .kubectl(&[
            "patch",
            "httproute",
            "my-route",
            "--type=merge",
            "--patch",
            &patch,
        ])
        .await;
    product.served(&format!("https://{changed}/")).await;
    println!(
        "a change was served {:.1} s after the leader was killed",
        killed.elapsed().as_secs_f64()
    );

    let report = load.stop().await;
    assert_eq!(
        report.failures,
        Vec::<String>::new(),
        "of {} requests",
        report.requests
    );
    assert_eq!(product.tunnels_of(namespace.name()), 1);
    assert_eq!(product.records_of(&hostname), 1);
    println!("{} requests meanwhile, none failed", report.requests);
    wait_for_controllers(&product).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn traffic_flows_and_proxies_restart_while_the_api_server_is_away() {
    let product = installation::alone().await;
    let namespace = product.cluster.namespace("outage").await;
    let hostname = echo_behind(&product, &namespace, 2).await;
    let (pod, restarts) = proxy(&namespace).await;
    let load = load_on(&product, &hostname).await;

    product.cluster.stop(Component::Apiserver).await;
    let until = Instant::now() + outage();
    // Ends the container as a crash does; the kubelet starts it again in place.
    product.kill_container(&pod).await;
    tokio::time::sleep_until(until.into()).await;
    let before = load.requests();
    product.cluster.start(Component::Apiserver);

    eventually("the restarted proxy is ready again", PATIENCE, || async {
        let now = namespace
            .try_kubectl(&["get", "pod", &pod, "--output=json"])
            .await?;
        let now: serde_json::Value = serde_json::from_str(&now).map_err(|e| e.to_string())?;
        let container = &now["status"]["containerStatuses"][0];
        match container["ready"] == true && container["restartCount"].as_u64() > Some(restarts) {
            true => Ok(()),
            false => Err(container.to_string()),
        }
    })
    .await;
    let changed = format!("new-{hostname}");
    let patch = format!(r#"{{"spec":{{"hostnames":["{hostname}","{changed}"]}}}}"#);
    let patch = [
        "patch",
        "httproute",
        "my-route",
        "--type=merge",
        "--patch",
        &patch,
    ];
    eventually("the change is taken", PATIENCE, || async {
        namespace.try_kubectl(&patch).await.map(|_| ())
    })
    .await;
    product.served(&format!("https://{changed}/")).await;
    let report = load.stop().await;
    println!(
        "{before} requests while the API server was away for {} s; {} failed: {:?}",
        outage().as_secs(),
        report.failures.len(),
        report.failures.first(),
    );
    // What was in flight on the killed container may fail: one request for each task.
    assert!(report.failures.len() <= 4, "{:?}", report.failures);
    assert_eq!(product.tunnels_of(namespace.name()), 1);
    wait_for_controllers(&product).await;
}

/// The next test finds all replicas.
async fn wait_for_controllers(product: &Installation) {
    eventually("all replicas of the controller", PATIENCE, || async {
        let deployments = ["deployments", "--namespace", NAMESPACE];
        let found = product.cluster.get(&deployments).await.ok_or("none")?;
        let ready = found["items"][0]["status"]["readyReplicas"].as_u64();
        match ready == Some(REPLICAS as u64) {
            true => Ok(()),
            false => Err(format!("{ready:?}")),
        }
    })
    .await;
}
