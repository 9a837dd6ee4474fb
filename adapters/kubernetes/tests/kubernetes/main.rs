//! The adapter against an API server of the tests.

mod cluster;
mod instance;
mod leadership;
mod ports;
mod secrets;
mod server;
mod statuses;
mod unreadable;

use std::time::Duration;

use adapter_kubernetes::{Cluster, ClusterOptions, WatchTimes};
use serde_json::{Value, json};
use server::ApiServer;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 20 s: {what}");
}

pub(crate) fn watched(server: &ApiServer) -> Arc<Cluster> {
    watched_in(server, None)
}

/// Reads Secrets in these namespaces only.
pub(crate) fn watched_in(server: &ApiServer, secret_namespaces: Option<&[&str]>) -> Arc<Cluster> {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let options = ClusterOptions {
        secret_namespaces: secret_namespaces.map(named),
        ..options()
    };
    Cluster::start(server.client(), options, CancellationToken::new())
}

/// Looks at objects of these namespaces only.
pub(crate) fn watched_only_in(server: &ApiServer, namespaces: &[&str]) -> Arc<Cluster> {
    let names = namespaces.iter().map(|name| (*name).to_owned());
    let options = ClusterOptions {
        namespaces: Some(names.collect()),
        ..options()
    };
    Cluster::start(server.client(), options, CancellationToken::new())
}

fn options() -> ClusterOptions {
    let times = WatchTimes {
        debounce: Duration::from_millis(5),
        unknown_after: Duration::from_millis(100),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
        look_again: Duration::from_millis(50),
        works_after: Duration::from_millis(50),
    };
    ClusterOptions {
        times,
        ..ClusterOptions::default()
    }
}

pub(crate) fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name, "namespace": "default", "generation": 1,
            "managedFields": [{ "manager": "kubectl" }],
        },
        "spec": spec,
    })
}

pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

pub(crate) fn gateway(name: &str) -> Value {
    let listener = json!({ "name": "http", "port": 80, "protocol": "HTTP" });
    let spec = json!({ "gatewayClassName": "cloudflare", "listeners": [listener] });
    object(GATEWAY_API, "Gateway", name, &spec)
}

pub(crate) fn route(name: &str) -> Value {
    let spec = json!({ "parentRefs": [{ "name": "web" }] });
    object(GATEWAY_API, "HTTPRoute", name, &spec)
}

pub(crate) fn class() -> Value {
    let mut class = object(
        GATEWAY_API,
        "GatewayClass",
        "cloudflare",
        &json!({
            "controllerName": "cloudflare-gateway-controller.io/controller",
            "parametersRef": {
                "group": "", "kind": "Secret", "name": "credentials", "namespace": "default",
            },
        }),
    );
    class["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("namespace");
    class
}
