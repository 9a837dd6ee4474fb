//! `check`.

use cfgwctl::check::{of_cluster, text, verdict};
use cfgwctl::screen::Screen;
use serde_json::json;

use crate::{cluster, golden};

#[tokio::test]
async fn a_cluster_is_looked_at_before_and_after_the_controller_is_installed() {
    let (server, cluster) = cluster().await;
    let mut shown = String::new();
    for given in ["before", "after", "without a permission"] {
        if given == "after" {
            for plural in [
                "gateways",
                "listenersets",
                "backendtlspolicies",
                "httproutes",
                "grpcroutes",
                "referencegrants",
                "cloudflaregatewaystatuses",
            ] {
                server.put(plural, json!({ "metadata": { "name": "any" } }));
            }
            let class = json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
                "metadata": { "name": "cloudflare" },
                "spec": { "controllerName": "cloudflare-gateway-controller.io/controller" },
                "status": { "conditions": [{
                    "type": "Accepted", "status": "False", "reason": "InvalidParameters",
                    "message": "GatewayClass cloudflare: spec.parametersRef: Secret cfgw/credentials does not exist; create it",
                }]},
            });
            server.put("gatewayclasses", class);
            server.put(
                "deployments",
                json!({
                    "metadata": { "namespace": "cfgw-system", "name": "cfgw" },
                    "spec": { "replicas": 2 }, "status": { "readyReplicas": 1 },
                }),
            );
            server.put(
                "leases",
                json!({
                    "metadata": { "namespace": "cfgw-system", "name": "cfgw" },
                    "spec": {
                        "holderIdentity": "cfgw-7d9c", "renewTime": "2999-01-01T00:00:00.000000Z",
                        "leaseDurationSeconds": 15,
                    },
                }),
            );
            server.put(
                "customresourcedefinitions",
                json!({ "metadata": {
                    "name": "gateways.gateway.networking.k8s.io",
                    "annotations": { "gateway.networking.k8s.io/bundle-version": "v1.6.1" },
                }}),
            );
        }
        if given == "without a permission" {
            server.refuse("deployments", 403);
            server.refuse("gatewayclasses", 403);
            server.review(json!({ "authenticated": false }));
        }
        let now = jiff::Timestamp::now().as_second();
        let findings = of_cluster(&cluster, now).await.expect("an answer");
        let mut out = Vec::new();
        let screen = Screen::new(&mut out, false);
        shown.push_str(&format!(
            "# {given}\n$ cfgwctl check\n{}",
            text(&findings, &screen)
        ));
        let ended = verdict(&findings).expect_err("something is missing");
        shown.push_str(&format!("{ended} (exit {})\n\n", ended.exit as u8));
    }
    golden::check("check", &shown);
}
