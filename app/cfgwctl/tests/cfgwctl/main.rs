//! What the verbs print and write, over an API server in memory.

mod checks;
mod diagnosing;
mod explaining;
mod exposing;
mod faults;
mod golden;
mod planning;
mod rotation;
/// The API server of `adapter-kubernetes`' own tests.
#[allow(dead_code)]
#[path = "../../../../adapters/kubernetes/tests/kubernetes/server.rs"]
mod server;
mod statuses;
mod suspending;
mod versions;

use std::time::Duration;

use cfgwctl::cluster::Cluster;
use cfgwctl::failure::Failure;
use cfgwctl::screen::Screen;
use cfgwctl::wait::Wait;
use domain::ObjectKey;
use serde_json::{Value, json};
use server::ApiServer;

/// Long for a test, so that one that waits in vain fails.
const PATIENCE: Wait = Wait {
    timeout: Duration::from_secs(20),
    every: Duration::from_millis(5),
};

/// The Gateway of all tests.
fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

/// A cluster with a GatewayClass of ours and one of others.
async fn cluster() -> (ApiServer, Cluster) {
    let server = ApiServer::start().await;
    for (name, controller) in [
        ("cloudflare", "cloudflare-gateway-controller.io/controller"),
        ("other", "example.com/other"),
    ] {
        let class = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": { "name": name }, "spec": { "controllerName": controller },
        });
        server.put("gatewayclasses", class);
    }
    let cluster = Cluster::new(server.client(), "default");
    (server, cluster)
}

/// The Gateway with these annotations.
fn gateway(annotations: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": { "namespace": "default", "name": "web", "annotations": annotations },
        "spec": {
            "gatewayClassName": "cloudflare",
            "listeners": [{ "name": "https", "port": 443, "protocol": "HTTPS" }],
        },
    })
}

/// What the controller tells of it.
fn status(status: &Value) -> Value {
    json!({
        "apiVersion": "cloudflare-gateway-controller.io/v1", "kind": "CloudflareGatewayStatus",
        "metadata": { "namespace": "default", "name": "web" },
        "status": status,
    })
}

/// Returns once a verb has asked for something at a path, from now on.
async fn asked(server: &ApiServer, path: &str) {
    server.take_calls();
    while !server.take_calls().iter().any(|call| call.contains(path)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Annotations of the Gateway as they are now.
fn annotations(server: &ApiServer) -> Value {
    let gateway = server.get("gateways", "default", "web").expect("a Gateway");
    gateway["metadata"]["annotations"].clone()
}

/// What a verb printed, and how it ended.
async fn printed(
    verb: impl AsyncFnOnce(&mut Screen<'_>) -> Result<(), Failure>,
) -> (String, Result<(), Failure>) {
    let mut out = Vec::new();
    let mut screen = Screen::new(&mut out, false);
    let ended = verb(&mut screen).await;
    screen.finish().expect("a buffer takes all");
    (String::from_utf8(out).expect("text"), ended)
}

/// The same as a person sees it: lines, and the error below them.
async fn seen(verb: impl AsyncFnOnce(&mut Screen<'_>) -> Result<(), Failure>) -> String {
    let (text, ended) = printed(verb).await;
    match ended {
        Ok(()) => text,
        Err(failure) => format!("{text}{failure} (exit {})\n", failure.exit as u8),
    }
}
