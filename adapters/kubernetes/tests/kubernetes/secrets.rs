//! Secrets that somebody refers to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use adapter_kubernetes::SecretCredentials;
use domain::certificate::TrustBundle;
use domain::ports::{Certificates, ClusterSource};
use domain::snapshot::Reading;
use domain::{ObjectKey, ObjectRef};
use serde_json::{Value, json};

use crate::server::{ApiServer, nested};
use crate::{gateway, until, watched, watched_in};

/// Connections that the controller may have to the API server, whatever users write.
const CONNECTIONS: usize = 64;

fn secret_in(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": namespace },
        "data": data,
    })
}

fn secret(name: &str, data: &Value) -> Value {
    let mut secret = secret_in("default", name, data);
    secret["metadata"]["managedFields"] = json!([{ "fieldsV1": nested(9_000) }]);
    secret
}

fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: ObjectKey::new(namespace, name),
    }
}

fn secret_ref(name: &str) -> ObjectRef {
    reference("default", name)
}

/// Names of the Secrets that were read, in their order.
fn values_read(calls: &[String]) -> Vec<&str> {
    let reads = calls.iter().filter_map(|call| call.split_once("/secrets/"));
    reads.map(|(_, name)| name).collect()
}

#[tokio::test]
async fn only_secrets_that_are_followed_are_read_and_only_those_that_are_there() {
    let server = ApiServer::start().await;
    server.put("secrets", secret("tls", &json!({ "tls.crt": "YQ==" })));
    server.put("secrets", secret("other", &json!({})));
    let cluster = watched(&server);
    assert!(cluster.snapshot().await.secrets.is_empty());
    let [tls, gone, wild] = ["tls", "gone", "../../pods"].map(secret_ref);
    cluster.follow([tls.clone(), gone.clone(), wild.clone()].into());
    until("all are known", async || {
        cluster.snapshot().await.secrets.len() == 3
    })
    .await;
    let seen = cluster.snapshot().await;
    let keys = &seen.secrets[&tls].known().expect("it is there").keys;
    assert_eq!(*keys, ["tls.crt"]);
    assert_eq!(seen.secrets[&gone], Reading::Absent);
    assert_eq!(seen.secrets[&wild], Reading::Absent);
    server.put("secrets", secret("tls", &json!({ "tls.crt": "Yg==" })));
    until("its values are others", async || {
        let now = cluster.snapshot().await;
        now.secrets[&tls].known().is_some() && now.secrets[&tls] != seen.secrets[&tls]
    })
    .await;
    server.put("secrets", secret("gone", &json!({ "key": "" })));
    until("it came", async || {
        cluster.snapshot().await.secrets[&gone].known().is_some()
    })
    .await;
    server.delete("secrets", "default", "gone");
    until("it went", async || {
        cluster.snapshot().await.secrets[&gone] == Reading::Absent
    })
    .await;
    cluster.follow([tls.clone()].into());
    until("only one is left", async || {
        cluster.snapshot().await.secrets.len() == 1
    })
    .await;
    assert_eq!(values_read(&server.take_calls()), ["tls", "tls", "gone"]);
}

#[tokio::test]
async fn thousands_of_references_cost_few_connections_and_delay_nobody() {
    for exist in [false, true] {
        let server = ApiServer::start().await;
        let names: Vec<String> = (0..4096).map(|number| format!("s{number}")).collect();
        for name in names.iter().filter(|_| exist) {
            server.put("secrets", secret_in("evil", name, &json!({})));
        }
        server.put("secrets", secret_in("shop", "tls", &json!({})));
        let cluster = watched(&server);
        cluster.snapshot().await;
        let theirs = names.iter().map(|name| reference("evil", name));
        let shops = reference("shop", "tls");
        cluster.follow(theirs.chain([shops.clone()]).collect());
        until("all are known", async || {
            cluster.snapshot().await.secrets.len() == 4097
        })
        .await;
        let calls = server.take_calls();
        let read = values_read(&calls);
        let turn = read.iter().position(|name| *name == "tls");
        let turn = turn.expect("it was read");
        assert!(turn < 16, "the other namespace's turn came after {turn}");
        assert_eq!(read.len(), if exist { 4097 } else { 1 });
        let connections = server.connections();
        assert!(connections < CONNECTIONS, "{connections} connections");
    }
}

#[tokio::test]
async fn secrets_are_read_in_the_namespaces_that_are_listed() {
    let server = ApiServer::start().await;
    for namespace in ["apps", "shop", "vault"] {
        server.put("secrets", secret_in(namespace, "tls", &json!({})));
    }
    let cluster = watched_in(&server, Some(&["apps", "shop"]));
    let expected = BTreeSet::from(["apps".to_owned(), "shop".to_owned()]);
    assert_eq!(cluster.snapshot().await.secret_namespaces, Some(expected));
    let [apps, shop, vault] = ["apps", "shop", "vault"].map(|name| reference(name, "tls"));
    cluster.follow([apps.clone(), shop.clone(), vault].into());
    until("those are read", async || {
        let secrets = &cluster.snapshot().await.secrets;
        secrets.keys().eq([&apps, &shop]) && secrets.values().all(|read| read.known().is_some())
    })
    .await;
    let calls = server.take_calls();
    let of_secrets: BTreeSet<&str> = calls
        .iter()
        .filter(|call| call.contains("secrets"))
        .map(String::as_str)
        .collect();
    let expected = [
        "GET /api/v1/namespaces/apps/secrets",
        "GET /api/v1/namespaces/apps/secrets/tls",
        "GET /api/v1/namespaces/shop/secrets",
        "GET /api/v1/namespaces/shop/secrets/tls",
    ];
    assert_eq!(of_secrets, BTreeSet::from(expected));
}

#[tokio::test]
async fn secrets_are_unknown_while_they_cannot_be_read() {
    let server = ApiServer::start().await;
    server.put("secrets", secret("tls", &json!({})));
    let cluster = watched(&server);
    let tls = secret_ref("tls");
    cluster.follow([tls.clone()].into());
    let is_known = async || {
        let secrets = &cluster.snapshot().await.secrets;
        secrets.get(&tls).is_some_and(|read| read.known().is_some())
    };
    until("it is read", &is_known).await;
    server.refuse("secrets", 403);
    until("it is unknown", async || {
        let secrets = &cluster.snapshot().await.secrets;
        secrets.get(&tls).is_some_and(Reading::is_unknown)
    })
    .await;
    server.mend();
    until("it is read again", &is_known).await;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_neither_logged_nor_told() {
    let log = Log::default();
    let writer = log.clone();
    let everything = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, a place in the code that another test's thread comes to first is never logged.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(everything);
    let server = ApiServer::start().await;
    server.put("gateways", gateway("web"));
    let canary = "CANARY";
    let unreadable = [
        json!({ "tls.crt": canary, "tls.key": nested(200) }),
        json!({ "tls.crt": { canary: canary }, "tls.key": canary }),
        json!(canary),
    ];
    for (number, data) in unreadable.iter().enumerate() {
        server.put("secrets", secret(&format!("s{number}"), data));
    }
    let cluster = watched(&server);
    let names = ["s0", "s1", "s2"].map(secret_ref);
    cluster.follow(names.clone().into());
    until("all were tried", async || {
        cluster.snapshot().await.secrets.len() == names.len()
    })
    .await;
    let certificates = SecretCredentials::new(server.client(), cluster.clone());
    let mut told = format!("{:?}", cluster.snapshot().await.secrets);
    for name in names {
        let refused = certificates.pair(&name.key).await;
        told.push_str(&refused.expect_err("unreadable").to_string());
    }
    assert!(!told.contains(canary), "{told}");
    let log = String::from_utf8(log.0.lock().expect("lock").clone()).expect("text");
    assert!(!log.is_empty() && !log.contains(canary), "{log}");
}

/// A ConfigMap with this under `ca.crt`.
fn config_map(name: &str, ca: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "default" },
        "data": { "ca.crt": ca },
    })
}

#[tokio::test]
async fn config_maps_that_are_followed_are_read_again_after_an_edit_and_no_others() {
    let server = ApiServer::start().await;
    server.put("configmaps", config_map("ca", "hunter2"));
    server.put("configmaps", config_map("other", ""));
    let cluster = watched(&server);
    assert!(cluster.snapshot().await.trust.is_empty());
    let [ca, gone] = ["ca", "gone"].map(|name| ObjectRef {
        kind: "ConfigMap".to_owned(),
        ..secret_ref(name)
    });
    cluster.follow([ca.clone(), gone.clone()].into());
    until("both are known", async || {
        cluster.snapshot().await.trust.len() == 2
    })
    .await;
    let trust = async || cluster.snapshot().await.trust[&ca].clone();
    assert_eq!(cluster.snapshot().await.trust[&gone], Reading::Absent);
    let Reading::Known(TrustBundle::Malformed(before)) = trust().await else {
        panic!("{:?}", trust().await);
    };
    server.put(
        "configmaps",
        config_map("ca", "-----BEGIN CERTIFICATE-----\n"),
    );
    until("it is another problem", async || match trust().await {
        Reading::Known(TrustBundle::Malformed(now)) => now != before,
        _ => false,
    })
    .await;
    server.delete("configmaps", "default", "ca");
    until("it went", async || trust().await == Reading::Absent).await;
    let calls = server.take_calls();
    let reads = calls
        .iter()
        .filter_map(|call| call.split_once("/configmaps/"));
    assert_eq!(
        reads.map(|(_, name)| name).collect::<Vec<_>>(),
        ["ca", "ca"]
    );
}

#[tokio::test]
async fn a_cluster_trust_bundle_that_was_read_counts_while_the_kind_cannot_be_read() {
    let server = ApiServer::start().await;
    let bundle = |name: &str| {
        let spec = json!({ "signerName": "example.com/ca", "trustBundle": "none" });
        json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
            "metadata": { "name": name }, "spec": spec,
        })
    };
    server.put("clustertrustbundles", bundle("corp"));
    let cluster = watched(&server);
    let names = async || {
        let snapshot = cluster.snapshot().await;
        let bundles = snapshot.trust_bundles.items().iter();
        bundles.map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["corp"]);
    server.refuse("clustertrustbundles", 500);
    server.compact();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(names().await, ["corp"]);
    server.mend();
    server.put("clustertrustbundles", bundle("other"));
    until("the other is read", async || names().await.len() == 2).await;
    server.delete("clustertrustbundles", "", "corp");
    until("it is gone", async || names().await == ["other"]).await;
}
