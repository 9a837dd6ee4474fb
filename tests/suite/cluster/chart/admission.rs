//! What is refused when it is applied.

use std::io::Write as _;

use tests::cluster::eventually;
use tests::installation::{self, NAMESPACE, PATIENCE};

use super::restricted;

const CLASS: &str = "walled";

fn gateway(class: &str, spec: &str, listener: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: tried}}
spec:
  gatewayClassName: {class}
{spec}  listeners: [{{name: one, port: 443, {listener}}}]
"
    )
}

fn route(hostname: &str, rule: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: tried}}
spec:
  parentRefs: [{{name: tried}}]
  hostnames: [\"{hostname}\"]
  rules: [{{{rule}}}]
"
    )
}

/// With as many listeners as a Gateway may have, each with a hostname that ends so.
fn longest(end: &str) -> String {
    let listener = |number: usize| {
        format!("{{name: l{number}, port: 443, protocol: HTTPS, hostname: h{number}.{end}}}")
    };
    let listeners: Vec<String> = (0..64).map(listener).collect();
    gateway(CLASS, "", "").replace("{name: one, port: 443, }", &listeners.join(", "))
}

/// As many hostnames as an entry of tenants may have.
fn hostnames() -> String {
    let more = (0..254).map(|number| format!(", \"*.n{number}.example.com\""));
    format!(
        "[shop.example.com, \"*.shop.example.com\"{}]",
        more.collect::<String>()
    )
}

/// Manifests, and words of the refusal; `None` where they are taken.
fn table() -> Vec<(String, Option<&'static str>)> {
    let https = |more: &str| gateway(CLASS, "", &format!("protocol: HTTPS{more}"));
    let filter = |filter: &str| route("shop.example.com", &format!("filters: [{{{filter}}}]"));
    vec![
        (https(""), None),
        (https(", hostname: shop.example.com"), None),
        (https(", hostname: \"*.a.shop.example.com\""), None),
        (
            https(", hostname: bank.example.com"),
            Some("spec.listeners.hostname: Invalid value: bank.example.com"),
        ),
        (
            https(", hostname: \"*.example.com\""),
            Some("*.example.com: must be a hostname"),
        ),
        (
            gateway(CLASS, "", "protocol: TCP"),
            Some("must be HTTP or HTTPS"),
        ),
        (
            gateway(
                CLASS,
                "  addresses: [{value: 192.0.2.1}]\n",
                "protocol: HTTPS",
            ),
            Some("spec.addresses: Unsupported value"),
        ),
        (
            gateway(
                CLASS,
                "  addresses: [{type: Hostname, value: shop.example.com}, {type: IPAddress}]\n",
                "protocol: HTTPS",
            ),
            None,
        ),
        (
            https(
                ", filters: {requests: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Own, name: x}}]}",
            ),
            Some("listeners.filters.requests.type"),
        ),
        (
            https(
                ", filters: {requests: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {}, backendRef: {name: a, port: 80}}}]}",
            ),
            None,
        ),
        // The longest lists are judged within the budget of an expression.
        (longest("shop.example.com"), None),
        (
            longest("bank.example.com"),
            Some("h0.bank.example.com: must be a hostname"),
        ),
        // Of another class nothing is known.
        (gateway("theirs", "", "protocol: TCP"), None),
        (
            gateway("theirs", "", "protocol: HTTPS, hostname: bank.example.com"),
            None,
        ),
        (route("shop.example.com", "matches: []"), None),
        (route("x.shop.example.com", "matches: []"), None),
        (
            route("bank.example.com", "matches: []"),
            Some("spec.hostnames: Invalid value: bank.example.com"),
        ),
        // Ends as a permitted name does, and is none.
        (
            route("evilshop.example.com", "matches: []"),
            Some("evilshop.example.com: must be"),
        ),
        (
            filter("type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}"),
            None,
        ),
        (
            filter("type: URLRewrite, urlRewrite: {hostname: a.example.com}"),
            None,
        ),
        (
            filter("type: ExtensionRef, extensionRef: {group: example.com, kind: Own, name: x}"),
            Some("filters.type"),
        ),
        (
            filter(
                "type: ExternalAuth, externalAuth: {protocol: HTTP, http: {}, backendRef: {name: a, port: 80}}",
            ),
            None,
        ),
        (
            filter("type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}}"),
            None,
        ),
        (
            filter("type: RequestRedirect, requestRedirect: {statusCode: 302}"),
            None,
        ),
        (
            filter("type: RequestRedirect, requestRedirect: {statusCode: 308}"),
            None,
        ),
        (
            route(
                "shop.example.com",
                "backendRefs: [{name: a, port: 80, filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Own, name: x}}]}]",
            ),
            Some("backendRefs.filters.type"),
        ),
    ]
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn what_the_controller_would_refuse_later_is_refused_at_apply() {
    let product = installation::quiet().await;
    let cluster = &product.cluster;
    let namespace = restricted(cluster, "walled").await;
    let stranger = restricted(cluster, "stranger").await;
    let name = namespace.name();
    // Was there before, and is of somebody who may have nothing.
    let before = gateway(CLASS, "", "protocol: HTTPS, hostname: bank.example.com");
    stranger.apply(&before).await;

    let mut values = tempfile::NamedTempFile::new().expect("a file");
    write!(
        values,
        "installation: test
gatewayClass: {{name: {CLASS}}}
credentials: {{secretName: cloudflare}}
tenants:
- namespaceSelector:
    matchExpressions:
    - {{key: kubernetes.io/metadata.name, operator: In, values: [{name}, other]}}
    - {{key: absent, operator: DoesNotExist}}
  hostnames: {hostnames}
admission:
  enabled: true
  routes: {{enabled: true, namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}
",
        hostnames = hostnames()
    )
    .expect("written");
    let path = values.path().display().to_string();
    let chart = installation::chart();
    let rendered = [
        "template",
        "wall",
        &chart,
        "--namespace",
        NAMESPACE,
        "--values",
        &path,
    ];
    let only = [
        "--show-only=templates/admission.yaml",
        "--show-only=templates/gatewayclass.yaml",
    ];
    let kubernetes = ["--kube-version", "1.36"];
    let objects = cluster
        .helm(&[&rendered[..], &only, &kubernetes].concat())
        .await;
    let objects = objects.expect("the chart renders");
    cluster.apply(&objects).await;

    let tried = |manifest: String| {
        let namespace = &namespace;
        async move { namespace.try_dry_run(&manifest).await }
    };
    let foreign = gateway(CLASS, "", "protocol: HTTPS, hostname: bank.example.com");
    eventually("the policies are in force", PATIENCE, || async {
        match (
            tried(foreign.clone()).await,
            tried(route("bank.example.com", "matches: []")).await,
        ) {
            (Err(_), Err(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for (manifest, refusal) in table() {
        match (tried(manifest.clone()).await, refusal) {
            (Ok(_), None) => {}
            (Err(said), Some(words)) => assert!(said.contains(words), "{manifest}{said}"),
            (other, _) => panic!("{manifest}{other:?}"),
        }
    }
    let said = stranger
        .try_dry_run(&before.replace("tried", "another"))
        .await;
    let said = said.expect_err("a refusal");
    assert!(said.contains("give it nothing"), "{said}");

    // What was there is refused by the controller, and can be deleted: a change that leaves spec alone is let through.
    let accepted = stranger
        .condition("gateway/tried", "Accepted", "False")
        .await;
    assert_eq!(accepted["reason"], "NamespaceNotPermitted", "{accepted}");
    stranger
        .kubectl(&["annotate", "gateway/tried", "a=b"])
        .await;
    stranger
        .kubectl(&["delete", "gateway/tried", "--timeout=60s"])
        .await;

    // Each expression has the types that the API server expects.
    let policies = [
        "validatingadmissionpolicies",
        "--selector=app.kubernetes.io/instance=wall",
    ];
    let policies = cluster.get(&policies).await.expect("policies");
    assert_eq!(policies["items"].as_array().map(Vec::len), Some(4));
    cluster.delete(&objects).await;
}
