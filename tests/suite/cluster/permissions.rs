//! What the controller may do, and what it must not disclose.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::cluster::AuditEvent;
use tests::installation::{self, CLASS, Installation, NAMESPACE};

use super::user::{gone, manifests};

/// A permission: API group, resource with its subresource, verb.
type Permission = (String, String, String);

/// Granted for what no test waits for.
const NOT_SEEN: [(&str, &str, &str); 21] = [
    // The certificate authority is renewed after months.
    ("", "secrets", "update"),
    // The test cluster serves the kind only while autoscaling.rs runs.
    ("autoscaling.k8s.io", VERTICAL, "get"),
    ("autoscaling.k8s.io", VERTICAL, "create"),
    ("autoscaling.k8s.io", VERTICAL, "patch"),
    ("autoscaling.k8s.io", VERTICAL, "delete"),
    // Only where somebody else has written a status at the same time.
    ("gateway.networking.k8s.io", "gatewayclasses", "get"),
    ("gateway.networking.k8s.io", "httproutes", "get"),
    ("gateway.networking.k8s.io", "grpcroutes", "get"),
    ("gateway.networking.k8s.io", "listenersets", "get"),
    ("gateway.networking.k8s.io", "backendtlspolicies", "get"),
    // Only where there is a BackendTLSPolicy.
    (
        "gateway.networking.k8s.io",
        "backendtlspolicies/status",
        "patch",
    ),
    // Only where there is an XBackend or an XBackendTrafficPolicy.
    (EXPERIMENTAL, "xbackends", "get"),
    (EXPERIMENTAL, "xbackends/status", "patch"),
    (EXPERIMENTAL, "xbackendtrafficpolicies", "get"),
    (EXPERIMENTAL, "xbackendtrafficpolicies/status", "patch"),
    // The test cluster has not the kind.
    ("multicluster.x-k8s.io", "serviceimports", "watch"),
    ("", "configmaps", "get"),
    // The test cluster does not serve the kind: it is listed in vain.
    ("certificates.k8s.io", "clustertrustbundles", "watch"),
    (OWN, "cloudflaregatewaystatuses", "get"),
    ("", "services", "get"),
    // Only where an Event is repeated.
    ("events.k8s.io", "events", "patch"),
];

const EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";
const OWN: &str = "cloudflare-gateway-controller.io";
const VERTICAL: &str = "verticalpodautoscalers";

fn used(event: &AuditEvent, user: &str) -> Vec<Permission> {
    let Some(object) = event
        .object_ref
        .as_ref()
        .filter(|_| event.user.username == user)
    else {
        return Vec::new();
    };
    let resource = match object.subresource.as_str() {
        "" => object.resource.clone(),
        sub => format!("{}/{sub}", object.resource),
    };
    let permission = |verb: &str| (object.api_group.clone(), resource.clone(), verb.to_owned());
    let mut all = vec![permission(&event.verb)];
    // A patch that applies what was not there needs the permission to create as well.
    if event.verb == "patch"
        && event
            .response_status
            .as_ref()
            .is_some_and(|s| s.code == 201)
    {
        all.push(permission("create"));
    }
    all
}

/// A Gateway with a route of each kind comes and goes: all that a controller does happens.
async fn whole_life(product: &Installation) {
    let namespace = product.cluster.namespace("life").await;
    let hostname = format!("{}.example.com", namespace.name());
    let calls = "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls}
spec:
  parentRefs: [{name: my-gateway}]
  hostnames: [calls.example.com]
  rules: [{backendRefs: [{name: echo, port: 8080}]}]
";
    let gateway = manifests(&hostname).replace(
        "  listeners:",
        "  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: scaled}
  listeners:",
    );
    let scaled = "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {name: scaled}
spec:
  tunnel: {autoscaling: {horizontal: {maxReplicas: 2, targetInFlightRequests: 100}}}
";
    let more = "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec:
  parentRef: {name: my-gateway}
  listeners: [{name: more, protocol: HTTPS, port: 443, hostname: more.example.com}]
";
    namespace
        .apply(&format!("{scaled}---\n{gateway}---\n{calls}---\n{more}"))
        .await;
    product.served(&format!("https://{hostname}/")).await;
    namespace
        .condition("grpcroute/calls", "Accepted", "True")
        .await;
    // The Gateway lets none in.
    namespace
        .condition("listenerset/more", "Accepted", "False")
        .await;
    let gateway = ["delete", "gateway", "my-gateway", "--timeout=240s"];
    namespace.kubectl(&gateway).await;
    gone(product, &namespace, &hostname).await;
}

/// What the chart's roles grant.
fn granted(roles: &Value) -> BTreeSet<Permission> {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let roles = roles["items"].as_array().into_iter().flatten();
    let mut all = BTreeSet::new();
    for rule in roles.flat_map(|role| role["rules"].as_array().into_iter().flatten()) {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    all.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    all
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn the_chart_grants_what_the_controller_uses_and_nothing_else() {
    let product = installation::alone().await;
    whole_life(&product).await;
    let user = format!("system:serviceaccount:{NAMESPACE}:cfgw-cloudflare-gateway-controller");
    let audit = product.cluster.audit();
    let mut users: BTreeSet<_> = audit
        .iter()
        .map(|event| event.user.username.clone())
        .collect();
    users.retain(|user| user.starts_with(&format!("system:serviceaccount:{NAMESPACE}:")));
    assert!(users.contains(&user), "{users:?}");
    let used: BTreeSet<Permission> = audit.iter().flat_map(|event| used(event, &user)).collect();
    let selector = "--selector=app.kubernetes.io/name=cfgw-controller";
    let roles = ["clusterroles,roles", "--all-namespaces", selector];
    let granted = granted(&product.cluster.get(&roles).await.unwrap());
    let not_seen = |(group, resource, verb): &&Permission| {
        NOT_SEEN.contains(&(group.as_str(), resource.as_str(), verb.as_str()))
    };
    let unused: Vec<_> = granted
        .difference(&used)
        .filter(|unused| !not_seen(unused))
        .collect();
    let missing: Vec<_> = used.difference(&granted).collect();
    assert!(
        unused.is_empty() && missing.is_empty(),
        "granted, not used: {unused:?}; used, not granted: {missing:?}"
    );
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn proxies_ask_the_api_server_for_nothing() {
    let product = installation::quiet().await;
    let proxies = product.cluster.audit().into_iter().filter(|event| {
        let name = &event.user.username;
        name.starts_with("system:serviceaccount:") && name.contains(":gateway-")
    });
    let asked: Vec<_> = proxies
        .map(|event| (event.user.username, event.verb))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn nothing_secret_is_in_objects_logs_and_events() {
    let product = installation::alone().await;
    let mut canaries = vec![product.token.clone()];
    let tunnels = product.standin.cloud().tunnels();
    canaries.extend(tunnels.iter().map(|tunnel| tunnel.secret.to_base64()));
    let kinds = product
        .cluster
        .kubectl(&["api-resources", "--verbs=list", "--output=name"])
        .await;
    let kinds: Vec<_> = kinds
        .split_whitespace()
        .filter(|kind| *kind != "secrets")
        .collect();
    let objects = ["get", &kinds.join(","), "--all-namespaces", "--output=yaml"];
    let mut text = product.cluster.kubectl(&objects).await;
    let pods = product
        .cluster
        .get(&["pods", "--all-namespaces"])
        .await
        .unwrap();
    for pod in pods["items"].as_array().unwrap() {
        let (namespace, name) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
        let (namespace, name) = (namespace.as_str().unwrap(), name.as_str().unwrap());
        let logs = ["logs", "--namespace", namespace, name, "--all-containers"];
        text += &product.cluster.try_kubectl(&logs).await.unwrap_or_default();
    }
    assert!(text.contains(CLASS), "the dump shows what there is");
    for canary in canaries {
        let shown = text.lines().find(|line| line.contains(&canary));
        assert!(
            shown.is_none(),
            "a secret is shown: {}",
            shown.unwrap_or("").replace(&canary, "…")
        );
    }
}
