//! `diagnose`: no canary is in the folder, and what a report needs is.

use cfgwctl::diagnose::{LONGEST, collect};
use serde_json::json;

use crate::explaining::{objects, told};
use crate::{cluster, gateway};

/// Values that stand for secrets, each at a place where one may be.
const CANARIES: [&str; 8] = [
    "canary-in-secret-data",
    "canary-in-an-annotation",
    "canary-in-a-last-applied-configuration",
    "canary-in-a-variable",
    "canary-in-a-header",
    "Kq3_canaryTokenOfCloudflare-0123456789AbCd",
    "eyJhIjoiY2FuYXJ5IiwicyI6ImNhbmFyeSJ9",
    "canary-9f8e7d",
];

#[tokio::test]
async fn no_canary_is_in_a_report() {
    let (server, cluster) = cluster().await;
    for (plural, object) in objects() {
        server.put(plural, object);
    }
    server.put("cloudflaregatewaystatuses", told());
    let [
        data,
        annotation,
        applied,
        variable,
        header,
        token,
        connector,
        announced,
    ] = CANARIES;
    server.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "namespace": "default", "name": "credentials" },
            "stringData": { "CLOUDFLARE_API_TOKEN": data },
        }),
    );
    let mut web = gateway(&json!({
        "example.com/note": annotation,
        "cloudflare-gateway-controller.io/reconcile": "enabled",
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":\"{applied}\"}}"),
    }));
    web["status"] = json!({ "conditions": [{
        "type": "Accepted", "status": "False", "reason": "InvalidParameters",
        "message": format!("the token {token} is refused"),
    }]});
    server.put("gateways", web);
    server.put(
        "httproutes",
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "namespace": "default", "name": "with-headers" },
            "spec": { "rules": [{
                "matches": [{ "headers": [{ "name": "x-api-key", "value": header }] }],
                "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "set": [{ "name": "Authorization", "value": header }],
                }}],
            }]},
        }),
    );
    let environment = json!([
        { "name": "PASSWORD", "value": variable },
        { "name": "CFGW_INSTALLATION", "value": "home" },
        { "name": "CFGW_EDGE__BROKER__CODE_FILE", "value": "/etc/cfgw/broker/code" },
    ]);
    let containers =
        json!([{ "name": "controller", "env": environment, "args": ["--token", token] }]);
    for (plural, kind) in [("deployments", "Deployment"), ("pods", "Pod")] {
        server.put(
            plural,
            json!({
                "kind": kind,
                "metadata": { "namespace": "cfgw-system", "name": "cfgw-7d9c" },
                "spec": { "containers": containers, "template": { "spec": { "containers": containers } } },
            }),
        );
    }
    server.put(
        "events",
        json!({
            "metadata": { "namespace": "default", "name": "web.1" },
            "involvedObject": { "kind": "Gateway", "namespace": "default", "name": "web" },
            "type": "Warning", "reason": "RemovalBlocked",
            "message": format!("refused: Authorization: Bearer {announced}"),
        }),
    );
    let log = format!(
        "2026-01-31T12:00:00Z WARN tunnel token {connector}\n2026-01-31T12:00:01Z INFO api_token=\"{announced}\" {token}\nkept line\n"
    );
    server.say("/log", &log);
    server.say("/proxy/metrics", "cfgw_leads 1\n");

    let bundle = collect(&cluster, "ok       Kubernetes: v1.36.2\n".to_owned()).await;

    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("report");
    let files: Vec<(String, String)> = bundle
        .files()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    for (name, text) in &files {
        for canary in CANARIES {
            assert!(!text.contains(canary), "{canary} is in {name}: {text}");
        }
        assert!(text.len() <= LONGEST + 32, "{name}");
    }
    let all: String = files
        .iter()
        .map(|(name, text)| format!("{name}\n{text}"))
        .collect();
    for needed in [
        "CFGW_INSTALLATION",
        "value: home",
        "cloudflare-gateway-controller.io/reconcile: enabled",
        "name: with-headers",
        "RemovalBlocked",
        "kept line",
        "cfgw_leads 1",
        "Kubernetes: v1.36.2",
        "4f23cf4b-a04f-4810-a7e5-7c6825739ea9",
    ] {
        assert!(all.contains(needed), "{needed}: {all}");
    }
    let calls = server.take_calls();
    let is_read = |call: &String| call.starts_with("GET") && !call.contains("/secrets");
    assert!(calls.iter().all(is_read), "{calls:#?}");
    let written = bundle.write(&folder).expect("a new folder");
    assert!(written > 8, "{written}");
}
