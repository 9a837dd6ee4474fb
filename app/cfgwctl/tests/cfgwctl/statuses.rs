//! `status`.

use cfgwctl::run;
use cfgwctl::screen::{Format, Screen};
use cfgwctl::status::Overview;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::server::ApiServer;
use crate::{cluster, gateway, golden, status};

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": message })
}

/// A Gateway that is well, one that is suspended and new, and one of another controller.
fn fill(server: &ApiServer) {
    let mut web = gateway(&json!({}));
    web["status"] = json!({
        "conditions": [condition("Ready", "True", "ReconciliationSucceeded", "")],
        "listeners": [{
            "name": "old",
            "conditions": [condition("Conflicted", "True", "HostnameConflict", "another listener has the hostname")],
        }],
    });
    server.put("gateways", web);
    let mut new = gateway(&json!({ "cloudflare-gateway-controller.io/reconcile": "disabled" }));
    new["metadata"] = json!({
        "namespace": "shop", "name": "new", "annotations": new["metadata"]["annotations"],
    });
    server.put("gateways", new);
    let mut other = gateway(&json!({}));
    other["metadata"]["name"] = "other".into();
    other["spec"]["gatewayClassName"] = "other".into();
    server.put("gateways", other);
    server.put("cloudflaregatewaystatuses", status(&json!({
        "tunnel": {
            "id": "4f23cf4b-a04f-4810-a7e5-7c6825739ea9", "name": "cfgw/laptop/default/web",
            "token": { "hash": "ab", "rotation": { "nextRotation": "2026-01-08T02:00:00Z" } },
        },
        "readyReplicas": 2,
        "connectors": [
            { "name": "a", "connections": { "http2": 4, "quic": 0 } },
            { "name": "b", "connections": { "http2": 0, "quic": 4 } },
        ],
        "dns": { "hostnames": 2, "applied": 1 },
        "hostnames": [
            { "name": "b.example.com", "status": "False", "reason": "NoZone", "message": "no zone covers it" },
            {
                "name": "a.example.com", "status": "True", "reason": "Applied", "zone": "example.com",
                "record": "CNAME 4f23cf4b-a04f-4810-a7e5-7c6825739ea9.cfargotunnel.com",
            },
        ],
    })));
    server.put(
        "listenersets",
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ListenerSet",
            "metadata": { "namespace": "shop", "name": "own" },
            "spec": { "parentRef": { "namespace": "default", "name": "web" } },
            "status": {
                "conditions": [condition("Accepted", "True", "ListenersNotValid", "")],
                "listeners": [{
                    "name": "app",
                    "conditions": [condition("Accepted", "False", "HostnameConflict", "a listener with precedence has the hostname")],
                }],
            },
        }),
    );
    server.put(
        "httproutes",
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "namespace": "shop", "name": "of-set" },
            "status": { "parents": [{
                "parentRef": { "kind": "ListenerSet", "name": "own" },
                "conditions": [condition("Accepted", "False", "NoMatchingParent", "no listener has that name")],
            }] },
        }),
    );
    let parent =
        |conditions: Value| json!({ "parentRef": { "name": "web" }, "conditions": conditions });
    for (name, parent) in [
        (
            "pending",
            parent(json!([condition(
                "ResolvedRefs",
                "Unknown",
                "Pending",
                "Services could not be read"
            )])),
        ),
        (
            "refused",
            parent(json!([
                condition(
                    "Accepted",
                    "False",
                    "NoMatchingParent",
                    "no listener has that name"
                ),
                condition(
                    "Ready",
                    "False",
                    "ReconciliationFailed",
                    "the sum of the others"
                ),
            ])),
        ),
        (
            "well",
            parent(json!([condition("Accepted", "True", "Accepted", "")])),
        ),
    ] {
        server.put(
            "httproutes",
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": { "namespace": "default", "name": name },
                "status": { "parents": [parent] },
            }),
        );
    }
}

#[tokio::test]
async fn gateways_hostnames_and_problems_are_one_screen_in_every_format() {
    let (server, cluster) = cluster().await;
    fill(&server);
    let mut text = String::new();
    for format in Format::value_variants() {
        let name = format
            .to_possible_value()
            .expect("a name")
            .get_name()
            .to_owned();
        let overview = Overview::of(run::seen(&cluster, true).await.expect("all"));
        let mut out = Vec::new();
        let shown = overview.text(*format, &Screen::new(&mut out, false));
        text.push_str(&format!(
            "$ cfgwctl status --all-namespaces -o {name}\n{shown}\n"
        ));
    }
    server.refuse("grpcroutes", 403);
    let overview = Overview::of(run::seen(&cluster, false).await.expect("all"));
    let mut out = Vec::new();
    let shown = overview.text(Format::Table, &Screen::new(&mut out, false));
    text.push_str(&format!("$ cfgwctl status\n{shown}"));
    golden::check("status", &text);
}

#[tokio::test]
async fn an_empty_cluster_has_no_problems() {
    let (_server, cluster) = cluster().await;
    let overview = Overview::of(run::seen(&cluster, true).await.expect("all"));
    let mut out = Vec::new();
    let shown = overview.text(Format::Table, &Screen::new(&mut out, false));
    assert_eq!(shown, "No Gateways found\n\nNo problems\n");
}
