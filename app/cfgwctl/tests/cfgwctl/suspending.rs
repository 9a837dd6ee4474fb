//! `suspend`, `resume` and `reconcile`.

use std::time::Duration;

use cfgwctl::cluster::Cluster;
use cfgwctl::reconciling::{reconcile, resume, suspend};
use cfgwctl::wait::Wait;
use domain::gateway::{RECONCILE_ANNOTATION, RECONCILE_REQUEST_ANNOTATION};
use serde_json::{Value, json};

use crate::server::ApiServer;
use crate::{PATIENCE, annotations, asked, cluster, gateway, seen, status, web};

const NOW: &str = "2026-01-02T03:04:05Z";

fn handled(request: &str, ready: &str) -> Value {
    status(&json!({
        "lastHandledReconcileAt": request,
        "conditions": [{
            "type": "Ready", "status": ready, "reason": "Some",
            "message": "Gateway default/web: the API token lacks a permission",
        }],
    }))
}

async fn resumed(cluster: &Cluster, wait: Option<Wait>) -> String {
    seen(async |screen| resume(cluster, &web(), NOW, wait, screen).await).await
}

async fn reconciled(cluster: &Cluster, wait: Option<Wait>) -> String {
    seen(async |screen| reconcile(cluster, &web(), NOW, wait, screen).await).await
}

#[tokio::test]
async fn a_gateway_is_suspended_and_resumed_by_annotations_and_nothing_else() {
    let (server, cluster) = cluster().await;
    server.put("gateways", gateway(&json!({ "mine": "stays" })));
    let suspended = async || seen(async |screen| suspend(&cluster, &web(), screen).await).await;

    let told = resumed(&cluster, None).await;
    assert_eq!(
        told,
        "Reconciliation is not suspended for Gateway default/web\n"
    );
    server.take_calls();
    let told = suspended().await;
    assert_eq!(told, "Suspended reconciliation for Gateway default/web\n");
    let written = json!({ "mine": "stays", RECONCILE_ANNOTATION: "disabled" });
    assert_eq!(annotations(&server), written);
    let path = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/web";
    let calls = server.take_calls();
    let writes: Vec<_> = calls
        .iter()
        .filter(|call| !call.starts_with("GET"))
        .collect();
    assert_eq!(writes, [&format!("PATCH {path}")]);

    let told = suspended().await;
    assert_eq!(
        told,
        "Reconciliation is already suspended for Gateway default/web\n"
    );
    assert!(
        server
            .take_calls()
            .iter()
            .all(|call| call.starts_with("GET"))
    );

    let told = reconciled(&cluster, None).await;
    assert_eq!(
        told,
        "error: Gateway default/web: reconciliation is suspended; resume it: cfgwctl resume gateway web --namespace default (exit 1)\n"
    );

    let told = resumed(&cluster, None).await;
    assert_eq!(told, "Resumed reconciliation for Gateway default/web\n");
    let written = json!({
        "mine": "stays", RECONCILE_ANNOTATION: "enabled", RECONCILE_REQUEST_ANNOTATION: NOW,
    });
    assert_eq!(annotations(&server), written);
}

/// The controller's part: it says these one after another, each once the one before was seen.
fn tell(server: &ApiServer, told: Vec<Value>) {
    let server = server.clone();
    tokio::spawn(async move {
        for status in told {
            asked(&server, "cloudflaregatewaystatuses").await;
            server.put("cloudflaregatewaystatuses", status);
        }
    });
}

#[tokio::test]
async fn a_reconciliation_is_waited_for_until_the_gateway_is_ready() {
    let requested = "Requested reconciliation for Gateway default/web\n";
    let absent = "Waiting: there is no CloudflareGatewayStatus of the Gateway yet\n";
    let not_yet = "Waiting: the controller has not carried out the request yet\n";
    let on_its_way = "Waiting: Some: Gateway default/web: the API token lacks a permission\n";
    let done = "Reconciliation completed\n";
    let failed = "error: Gateway default/web: reconciled, and not ready: Gateway default/web: the API token lacks a permission (exit 1)\n";
    for (given, told, expected) in [
        (
            "it is made and becomes ready",
            vec![
                handled("before", "True"),
                handled(NOW, "Unknown"),
                handled(NOW, "True"),
            ],
            [requested, absent, not_yet, on_its_way, done].concat(),
        ),
        (
            "it is not ready afterwards",
            vec![handled("before", "True"), handled(NOW, "False")],
            [requested, absent, not_yet, failed].concat(),
        ),
    ] {
        let (server, cluster) = cluster().await;
        server.put("gateways", gateway(&json!({})));
        tell(&server, told);
        assert_eq!(
            reconciled(&cluster, Some(PATIENCE)).await,
            expected,
            "{given}"
        );
    }
}

#[tokio::test]
async fn what_takes_too_long_ends_with_the_reason_and_a_code_of_its_own() {
    let (server, cluster) = cluster().await;
    server.put(
        "gateways",
        gateway(&json!({ RECONCILE_ANNOTATION: "disabled" })),
    );
    server.put("cloudflaregatewaystatuses", handled("before", "True"));
    let wait = Wait {
        timeout: Duration::from_millis(30),
        ..PATIENCE
    };
    let told = resumed(&cluster, Some(wait)).await;
    assert_eq!(
        told,
        "Resumed reconciliation for Gateway default/web\n\
         Waiting: the controller has not carried out the request yet\n\
         error: timed out: Gateway default/web: the controller has not carried out the request yet; \
         see cfgwctl status, and the log of the controller; --timeout waits longer (exit 3)\n"
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_told_with_the_remedy_and_nothing_is_written() {
    let foreign = {
        let mut gateway = gateway(&json!({}));
        gateway["spec"]["gatewayClassName"] = "other".into();
        gateway
    };
    for (given, object, refused, expected) in [
        (
            "no such Gateway",
            None,
            None,
            "error: Gateway default/web: Not found; see kubectl get gateways --all-namespaces, and choose the namespace with --namespace (exit 1)\n",
        ),
        (
            "another controller's",
            Some(foreign),
            None,
            "error: Gateway default/web: spec.gatewayClassName: Invalid value: \"other\": must be a GatewayClass of cloudflare-gateway-controller.io/controller, and is one of example.com/other; name another Gateway (exit 1)\n",
        ),
        (
            "no permission",
            Some(gateway(&json!({}))),
            Some(("gateways", 403)),
            "Error from server (Refused): as this test wants it; ask for that permission, or use another --context (exit 1)\n",
        ),
        (
            "no permission for classes, which is not needed",
            Some(gateway(&json!({}))),
            Some(("gatewayclasses", 403)),
            "Requested reconciliation for Gateway default/web\n",
        ),
    ] {
        let (server, cluster) = cluster().await;
        if let Some(object) = object {
            server.put("gateways", object);
        }
        if let Some((plural, code)) = refused {
            server.refuse(plural, code);
        }
        assert_eq!(reconciled(&cluster, None).await, expected, "{given}");
    }
}
