//! `rotate gateway token` and `watch gateway token`.

use std::time::Duration;

use cfgwctl::cluster::Cluster;
use cfgwctl::rotation::{rotate, watch};
use cfgwctl::wait::Wait;
use domain::gateway::RECONCILE_ANNOTATION;
use domain::rotation::REQUEST_ANNOTATION;
use serde_json::{Value, json};

use crate::{PATIENCE, annotations, asked, cluster, gateway, seen, status, web};

const NOW: &str = "2026-01-02T03:04:05Z";

fn told(hash: &str, handled: &str, under_way: bool) -> Value {
    let mut rotation = json!({ "underWay": under_way });
    if !handled.is_empty() {
        rotation["lastHandledRotateAt"] = handled.into();
    }
    status(&json!({
        "tunnel": { "id": "t", "name": "n", "token": { "hash": hash, "rotation": rotation } },
        "readyReplicas": 1,
        "connectors": [{ "name": "gateway-web-0", "connections": { "http2": 4, "quic": 0 } }],
    }))
}

async fn rotated(cluster: &Cluster, wait: Option<Wait>) -> String {
    let told = seen(async |screen| rotate(cluster, &web(), NOW, wait, screen).await).await;
    without_times(&told)
}

async fn watched(cluster: &Cluster, wait: Wait) -> String {
    let told = seen(async |screen| watch(cluster, &web(), wait, screen).await).await;
    without_times(&told)
}

/// Lines of a rotation without the times that they begin with.
fn without_times(told: &str) -> String {
    let lines = told.lines().map(|line| match line.strip_prefix('[') {
        Some(timed) => {
            let mut words = timed.splitn(3, ' ');
            let (clock, elapsed) = (
                words.next().expect("a time"),
                words.next().expect("seconds"),
            );
            assert_eq!(
                (clock.len(), &elapsed[..1]),
                ("15:04:05]".len(), "+"),
                "{line}"
            );
            format!("[] {}\n", words.next().expect("a text"))
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[tokio::test]
async fn a_rotation_is_asked_for_and_followed_until_every_replica_has_the_token() {
    let (server, cluster) = cluster().await;
    server.put("gateways", gateway(&json!({})));
    server.put(
        "cloudflaregatewaystatuses",
        told("1111111111111111", "", false),
    );
    let writer = server.clone();
    tokio::spawn(async move {
        // Before the request.
        asked(&writer, "cloudflaregatewaystatuses").await;
        for status in [
            told("1111111111111111", "", true),
            told("2222222222222222", "", true),
            told("2222222222222222", NOW, false),
        ] {
            asked(&writer, "cloudflaregatewaystatuses").await;
            writer.put("cloudflaregatewaystatuses", status);
        }
    });
    assert_eq!(
        rotated(&cluster, Some(PATIENCE)).await,
        "Requested token rotation for Gateway default/web\n\
         [] token sha256=111111111111\n\
         [] replicas ready=1\n\
         [] Pod/gateway-web-0 connections=4\n\
         [] requested; it begins once every replica is ready\n\
         [] under way; the replicas take the new token one after another\n\
         [] token sha256=222222222222\n\
         [] done; every replica has the new token\n\
         Rotated the token of Gateway default/web\n"
    );
    assert_eq!(annotations(&server), json!({ REQUEST_ANNOTATION: NOW }));
}

#[tokio::test]
async fn a_rotation_that_cannot_begin_is_refused_with_the_remedy() {
    let suspended = gateway(&json!({ RECONCILE_ANNOTATION: "disabled" }));
    let without_tunnel = status(&json!({ "readyReplicas": 0 }));
    for (given, gateway, status, expected) in [
        (
            "suspended",
            suspended,
            told("1", "", false),
            "error: Gateway default/web: reconciliation is suspended; resume it: cfgwctl resume gateway web --namespace default (exit 1)\n",
        ),
        (
            "no tunnel yet",
            gateway(&json!({})),
            without_tunnel,
            "error: Gateway default/web: it has no tunnel, and so no token; see cfgwctl status (exit 1)\n",
        ),
    ] {
        let (server, cluster) = cluster().await;
        server.put("gateways", gateway);
        server.put("cloudflaregatewaystatuses", status);
        assert_eq!(rotated(&cluster, None).await, expected, "{given}");
        assert!(
            server
                .take_calls()
                .iter()
                .all(|call| call.starts_with("GET"))
        );
    }
}

#[tokio::test]
async fn a_rotation_under_way_is_followed_and_none_is_said_where_there_is_none() {
    let short = Wait {
        timeout: Duration::from_millis(30),
        ..PATIENCE
    };
    let (server, cluster) = cluster().await;
    server.put("gateways", gateway(&json!({ REQUEST_ANNOTATION: NOW })));
    server.put("cloudflaregatewaystatuses", told("1", NOW, false));
    let none = "No ongoing token rotation for Gateway default/web\n";
    assert_eq!(watched(&cluster, short).await, none);

    server.put("cloudflaregatewaystatuses", told("1", "", true));
    assert_eq!(
        watched(&cluster, short).await,
        "[] token sha256=1\n\
         [] replicas ready=1\n\
         [] Pod/gateway-web-0 connections=4\n\
         [] under way; the replicas take the new token one after another\n\
         error: timed out: Gateway default/web: rotation under way; the replicas take the new token one after another; \
         it goes on by itself: cfgwctl watch gateway token web --namespace default; see cfgwctl status for what is in the way (exit 3)\n"
    );
}
