//! How proxies come, change shape and go.

use std::collections::BTreeSet;

use super::*;

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": name, "namespace": "shop", "labels": {
            "app.kubernetes.io/managed-by": "cloudflare-gateway-controller",
            "app.kubernetes.io/component": "proxy",
            "gateway.networking.k8s.io/gateway-name": "web",
        }}, "status": {"phase": "Running"}})
}

#[tokio::test]
async fn the_status_follows_the_cluster_and_its_changes_are_told() {
    let stage = Stage::set().await;
    let status = async || stage.workloads.status(&web()).await;
    assert_eq!(status().await, WorkloadStatus::default());
    stage.run().await;
    until("the Deployment is seen", async || {
        status().await.problems == ["0 of 2 pods are there and ready"]
    })
    .await;
    stage.server.put("pods", pod("web-1"));
    until("the pod is seen", async || {
        status().await.problems == ["pod web-1 is not ready yet"]
    })
    .await;
    // What was notified before this is no longer of interest.
    let _ = tokio::time::timeout(Duration::from_millis(50), stage.changed.notified()).await;
    stage.becomes_ready("gateway-web");
    stage.changed.notified().await;
    until("it is ready", async || status().await.ready == 2).await;
    let other = ObjectKey::new("shop", "other");
    assert_eq!(
        stage.workloads.status(&other).await,
        WorkloadStatus::default()
    );
}

#[tokio::test]
async fn the_first_status_of_a_process_waits_until_it_has_seen_what_runs() {
    let stage = Stage::set().await;
    let labels = pod("")["metadata"]["labels"].clone();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "gateway-web", "namespace": "shop", "labels": labels},
        "spec": {"replicas": 2, "selector": {}, "template": {}}});
    stage.server.put("deployments", deployment);
    let first = stage.workloads.status(&web()).await;
    assert_eq!(first.problems, ["0 of 2 pods are there and ready"]);
}

#[tokio::test]
async fn what_runs_is_found_by_owner_whatever_its_name() {
    let stage = Stage::set().await;
    assert_eq!(stage.workloads.running().await, Ok(BTreeSet::new()));
    let long = "g".repeat(200);
    stage.gateway(&long);
    let long = ObjectKey::new("shop", long);
    let token = ConnectorToken::new(TOKEN);
    let spec = WorkloadSpec::default();
    let made = stage.workloads.ensure(&long, &spec, tunnel(2), &token);
    made.await.unwrap();
    stage.run().await;
    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "theirs", "namespace": "shop"}});
    stage.server.put("deployments", theirs);
    let running = stage.workloads.running().await.unwrap();
    assert_eq!(running, BTreeSet::from([web(), long]));
}

#[tokio::test]
async fn another_set_of_replicas_replaces_the_first_once_it_serves() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.becomes_ready("gateway-web");
    let spec = named(&["a", "b"]);
    assert!(stage.ensure(&spec).await.unwrap().unfinished);
    stage.becomes_ready("gateway-web-a");
    assert!(
        stage.ensure(&spec).await.unwrap().unfinished,
        "b is not ready"
    );
    assert_eq!(stage.server.names("deployments").len(), 3);
    stage.becomes_ready("gateway-web-b");
    assert!(!stage.ensure(&spec).await.unwrap().unfinished);
    assert_eq!(
        stage.server.names("deployments"),
        ["gateway-web-a", "gateway-web-b"]
    );
    let none = named(&[]);
    assert!(!stage.ensure(&none).await.unwrap().unfinished);
    assert!(
        stage.server.names("deployments").is_empty(),
        "none is wanted"
    );
}

#[tokio::test]
async fn stopping_waits_for_pods_and_then_leaves_nothing() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.server.put("pods", pod("web-1"));
    let workloads = stage.workloads.clone();
    let stopping = tokio::spawn(async move { workloads.stop(&web()).await });
    until("the Deployment is gone", async || {
        stage.server.names("deployments").is_empty()
    })
    .await;
    assert!(!stopping.is_finished(), "the pod is still there");
    assert_eq!(stage.server.names("secrets").len(), 1, "and may need it");
    stage.server.remove("pods", "web-1");
    stopping.await.unwrap().unwrap();
    for resource in ["secrets", "serviceaccounts", "poddisruptionbudgets"] {
        assert!(stage.server.names(resource).is_empty(), "{resource}");
    }
    stage.workloads.stop(&web()).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_is_over_or_on_a_lost_node_is_not_waited_for() {
    let stage = Stage::set().await;
    let mut over = pod("over");
    over["status"]["phase"] = json!("Succeeded");
    let mut lost = pod("lost");
    lost["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    for pod in [over, lost] {
        stage.server.put("pods", pod);
    }
    stage.run().await;
    stage.workloads.stop(&web()).await.unwrap();
    assert!(stage.server.names("secrets").is_empty());
}

#[tokio::test]
async fn a_gateway_that_is_gone_can_still_be_stopped() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.server.remove("gateways", "web");
    stage.workloads.stop(&web()).await.unwrap();
    assert!(stage.server.names("deployments").is_empty());
}
