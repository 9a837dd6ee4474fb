//! Replicas take a new token one after another.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;

impl Stage {
    /// A pod of a replica, which is ready and holds its connections with this token.
    fn pod_holds(&self, replica: &str, token: &str) {
        let name = format!("gateway-web-{replica}-0");
        let labels = &self.object("deployments", &format!("gateway-web-{replica}"))["spec"]["template"]
            ["metadata"]["labels"];
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        self.server.put("pods", pod);
        let held = BTreeSet::from([ConnectorToken::new(token).hash()]);
        self.held.lock().expect("lock").insert(name, held);
    }

    /// The token that each replica is given.
    fn tokens(&self, replicas: &[&str]) -> Vec<String> {
        let secret = self.object("secrets", "gateway-web");
        let token = |replica: &&str| {
            let key = format!("tunnel-token.{replica}");
            let encoded = secret["data"][key].as_str().expect("a value");
            let decoded = BASE64_STANDARD.decode(encoded).expect("base64");
            String::from_utf8(decoded).expect("a text")
        };
        replicas.iter().map(token).collect()
    }

    /// Makes them run with a token until that many have been given it.
    async fn given(&self, spec: &WorkloadSpec, token: &str, expected: &[&str]) -> WorkloadStatus {
        let mut status = WorkloadStatus::default();
        let replicas = ["a", "b", "c"];
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.tokens(&replicas) != expected {
            assert!(Instant::now() < deadline, "{:?}", self.tokens(&replicas));
            let made = self.ensure_in(tunnel(1), token, spec).await;
            status = made.expect("proxies that run");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        status
    }
}

#[tokio::test]
async fn each_named_replica_takes_a_new_token_when_the_one_before_holds_it() {
    let stage = Stage::set().await;
    let spec = named(&["a", "b", "c"]);
    stage.ensure_in(tunnel(1), "old", &spec).await.unwrap();
    assert_eq!(stage.tokens(&["a", "b", "c"]), ["old"; 3], "they are new");
    for (replica, token) in [("a", "old"), ("b", "old"), ("c", "another")] {
        stage.pod_holds(replica, token);
    }
    until("the last pod is seen", async || {
        let status = stage.ensure_in(tunnel(1), "old", &spec).await.unwrap();
        !status.holds_token
    })
    .await;
    stage.pod_holds("c", "old");
    let status = stage.ensure_in(tunnel(1), "new", &spec).await.unwrap();
    assert_eq!(stage.tokens(&["a", "b", "c"]), ["new", "old", "old"]);
    assert!(status.unfinished && !status.holds_token);

    stage.pod_holds("a", "new");
    let status = stage.given(&spec, "new", &["new", "new", "old"]).await;
    assert!(status.unfinished && !status.holds_token);
    stage.pod_holds("b", "new");
    let status = stage.given(&spec, "new", &["new", "new", "new"]).await;
    assert!(!status.unfinished && !status.holds_token);
    stage.pod_holds("c", "new");
    let status = stage.ensure_in(tunnel(1), "new", &spec).await.unwrap();
    assert!(!status.unfinished && status.holds_token);
}

#[tokio::test]
async fn while_a_ready_pod_has_said_nothing_only_the_first_replica_takes_a_new_token() {
    let stage = Stage::set().await;
    let spec = named(&["a", "b", "c"]);
    stage.ensure_in(tunnel(1), "old", &spec).await.unwrap();
    for replica in ["a", "b", "c"] {
        stage.pod_holds(replica, "old");
    }
    // As after a restart of the controller.
    stage.held.lock().unwrap().clear();
    until("the pods are seen", async || {
        let status = stage.ensure_in(tunnel(1), "old", &spec).await.unwrap();
        !status.holds_token && !status.unfinished
    })
    .await;
    let status = stage.ensure_in(tunnel(1), "new", &spec).await.unwrap();
    assert_eq!(stage.tokens(&["a", "b", "c"]), ["new", "old", "old"]);
    assert!(status.unfinished && !status.holds_token);
}

#[tokio::test]
async fn each_pod_sees_the_token_of_its_own_replica_alone() {
    let stage = Stage::set().await;
    for (spec, deployment, key) in [
        (WorkloadSpec::default(), "gateway-web", "tunnel-token"),
        (named(&["a", "b"]), "gateway-web-b", "tunnel-token.b"),
    ] {
        stage.ensure(&spec).await.unwrap();
        let template = &stage.object("deployments", deployment)["spec"]["template"];
        let items = &template["spec"]["volumes"][0]["secret"]["items"];
        let token = json!({"key": key, "path": "tunnel-token"});
        assert_eq!(items[0], token, "{deployment}");
        let files: Vec<_> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["path"])
            .collect();
        assert_eq!(files, ["tunnel-token", "controller-ca.crt", "edge-ca.crt"]);
        let there = stage.object("secrets", "gateway-web");
        assert!(there["data"][key].is_string());
    }
}

#[tokio::test]
async fn replicas_that_are_to_go_have_a_token_until_they_are_gone() {
    let stage = Stage::set().await;
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
    let becomes = async |expected: &[&str]| {
        until(&format!("{expected:?}"), async || {
            stage.ensure(&named(&["a", "b"])).await.unwrap();
            let secret = stage.object("secrets", "gateway-web");
            let keys = secret["data"].as_object().unwrap().keys();
            keys.filter(|key| key.starts_with("tunnel-token"))
                .eq(expected)
        })
        .await;
    };
    becomes(&["tunnel-token", "tunnel-token.a", "tunnel-token.b"]).await;
    for deployment in ["gateway-web-a", "gateway-web-b"] {
        stage.becomes_ready(deployment);
    }
    becomes(&["tunnel-token.a", "tunnel-token.b"]).await;
}
