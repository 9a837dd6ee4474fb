//! The cluster itself: what all other tests here stand on.

use std::time::Duration;

use tests::cluster::{Cluster, eventually};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn every_node_is_ready() {
    let cluster = Cluster::inside();
    let nodes = cluster.get(&["nodes"]).await.unwrap();
    let nodes = nodes["items"].as_array().unwrap();
    assert!(!nodes.is_empty());
    for node in nodes {
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions
            .iter()
            .find(|one| one["type"] == "Ready")
            .unwrap();
        assert_eq!(ready["status"], "True", "{node}");
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn pods_of_a_deployment_answer_at_the_address_of_their_service() {
    let cluster = Cluster::inside();
    let namespace = cluster.namespace("echo").await;
    namespace.apply(include_str!("echo.yaml")).await;
    namespace
        .wait("condition=Available", "deployment/echo", PATIENCE)
        .await;
    let service = namespace.get(&["service", "echo"]).await.unwrap();
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let url = format!("http://{address}:8080/hello");
    let body = eventually("an answer", PATIENCE, || async {
        let answer = reqwest::get(&url)
            .await
            .map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    })
    .await;
    assert!(body.contains(namespace.name()), "{body}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn nothing_leaves_the_cluster() {
    // TEST-NET-1 of RFC 5737: an address that no host has.
    let refused = tokio::net::TcpStream::connect("192.0.2.1:443").await;
    let error = refused.expect_err("no route leads out");
    assert_eq!(error.kind(), std::io::ErrorKind::NetworkUnreachable);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn an_image_that_was_not_loaded_fails_at_once() {
    let cluster = Cluster::inside();
    let namespace = cluster.namespace("absent").await;
    namespace
        .kubectl(&["run", "absent", "--image=registry.example.com/absent:1"])
        .await;
    eventually("a refusal", PATIENCE, || async {
        let pod = namespace.get(&["pod", "absent"]).await.unwrap();
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        match waiting["reason"].as_str() {
            Some("ErrImagePull" | "ImagePullBackOff") => Ok(()),
            _ => Err(waiting.to_string()),
        }
    })
    .await;
}
