//! Objects that others make are edited in place, and nothing but what depends on them changes.

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, CLASS, Installation, PATIENCE};
use tests::world::ACCOUNT;

use super::other_gateway::{made_for, other_gateway};
use super::user::route;

/// One echo pod and its Service, a Gateway with one proxy, and a route to the Service.
fn manifests(hostname: &str) -> String {
    let echo = include_str!("echo.yaml").replace("replicas: 2", "replicas: 1");
    format!(
        "{echo}---
apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: my-params}}
spec:
  tunnel: {{replicas: [{{name: only}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: my-gateway}}
spec:
  gatewayClassName: {CLASS}
  infrastructure:
    parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: my-params}}
  listeners: [{{name: https, protocol: HTTPS, port: 443}}]
---
{}",
        route(hostname, "")
    )
}

fn hostname(namespace: &Namespace) -> String {
    format!("{}.example.com", namespace.name())
}

/// Asks until the edge answers with this status.
async fn answers(product: &Installation, hostname: &str, status: u16) {
    let url = format!("https://{hostname}/");
    eventually(&format!("{url}: {status}"), PATIENCE, || async {
        let answer = product.client.get(&url).await?;
        match answer.status == status {
            true => Ok(()),
            false => Err(format!("{}: {}", answer.status, answer.body)),
        }
    })
    .await;
}

/// A condition of the Gateway's only listener, once it has this truth.
async fn of_listener(namespace: &Namespace, kind: &str, truth: &str) -> Value {
    eventually(&format!("listener: {kind}={truth}"), PATIENCE, || async {
        let found = namespace.get(&["gateway/my-gateway"]).await;
        let status = found.ok_or("it is not there")?["status"].clone();
        let conditions = status["listeners"][0]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let found = conditions.find(|one| one["type"] == kind && one["status"] == truth);
        found.cloned().ok_or(status.to_string())
    })
    .await
}

async fn patch(namespace: &Namespace, object: &str, kind: &str, patch: &str) {
    let (kind, patch) = (format!("--type={kind}"), format!("--patch={patch}"));
    namespace.kubectl(&["patch", object, &kind, &patch]).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_wrong_token_becomes_a_condition_and_removes_nothing() {
    let product = installation::quiet().await;
    let other_gateway = other_gateway(&product).await;
    let namespace = product.cluster.namespace("token").await;
    let hostname = hostname(&namespace);
    let right = product.secret("my-account", namespace.name());
    let named =
        manifests(&hostname).replace("  tunnel:", "  secretRef: {name: my-account}\n  tunnel:");
    namespace.apply(&format!("{right}---\n{named}")).await;
    answers(&product, &hostname, 200).await;
    namespace
        .condition("gateway/my-gateway", "Programmed", "True")
        .await;
    let before = made_for(&product, &namespace).await;

    namespace
        .apply(&right.replace(&product.token, "another-token-that-opens-nothing"))
        .await;
    let condition = namespace
        .condition("gateway/my-gateway", "Programmed", "False")
        .await;
    assert_eq!(condition["reason"], "InvalidParameters", "{condition}");
    answers(&product, &hostname, 200).await;
    assert_eq!(made_for(&product, &namespace).await, before);

    namespace.apply(&right).await;
    namespace
        .condition("gateway/my-gateway", "Programmed", "True")
        .await;
    answers(&product, &hostname, 200).await;
    assert_eq!(made_for(&product, &namespace).await, before);

    // Without a key it is no account at all.
    let without = right.replace("CLOUDFLARE_ACCOUNT_ID", "ACCOUNT");
    assert!(without.contains(ACCOUNT), "{without}");
    namespace.kubectl(&["delete", "secret", "my-account"]).await;
    namespace.apply(&without).await;
    let condition = namespace
        .condition("gateway/my-gateway", "Accepted", "False")
        .await;
    assert_eq!(condition["reason"], "InvalidParameters", "{condition}");
    namespace.apply(&right).await;
    namespace
        .condition("gateway/my-gateway", "Programmed", "True")
        .await;
    answers(&product, &hostname, 200).await;
    assert_eq!(made_for(&product, &namespace).await, before);
    other_gateway.was_not_touched(&product).await;
}

/// A TLS Secret `cert` with this text in the certificate's place, or with a right one.
fn certificate(hostname: &str, instead: Option<&str>) -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![hostname.to_owned()]).expect("a name");
    let right = params.self_signed(&key).expect("a certificate").pem();
    let indented = |text: &str| text.replace('\n', "\n    ");
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: cert}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
",
        indented(instead.unwrap_or(&right)),
        indented(&key.serialize_pem()),
    )
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn an_invalid_certificate_becomes_a_condition_and_removes_nothing() {
    let product = installation::quiet().await;
    let other_gateway = other_gateway(&product).await;
    let namespace = product.cluster.namespace("cert").await;
    let hostname = hostname(&namespace);
    namespace.apply(&certificate(&hostname, None)).await;
    let with_certificate = "port: 443, tls: {certificateRefs: [{name: cert}]}}]";
    let text = manifests(&hostname).replace("port: 443}]", with_certificate);
    namespace.apply(&text).await;
    answers(&product, &hostname, 200).await;
    of_listener(&namespace, "ResolvedRefs", "True").await;
    let before = made_for(&product, &namespace).await;

    let spoiled = certificate(&hostname, Some("no certificate"));
    namespace.apply(&spoiled).await;
    let condition = of_listener(&namespace, "ResolvedRefs", "False").await;
    assert_eq!(condition["reason"], "InvalidCertificateRef", "{condition}");
    assert_eq!(made_for(&product, &namespace).await, before);

    namespace.apply(&certificate(&hostname, None)).await;
    of_listener(&namespace, "ResolvedRefs", "True").await;
    of_listener(&namespace, "Programmed", "True").await;
    answers(&product, &hostname, 200).await;
    assert_eq!(made_for(&product, &namespace).await, before);
    other_gateway.was_not_touched(&product).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_services_port_and_selector_are_followed() {
    let product = installation::quiet().await;
    let other_gateway = other_gateway(&product).await;
    let namespace = product.cluster.namespace("service").await;
    let hostname = hostname(&namespace);
    namespace.apply(&manifests(&hostname)).await;
    let other = include_str!("echo.yaml").split("---").next().unwrap();
    let other = other.replace("replicas: 2", "replicas: 1");
    let other = other.replace("name: echo}", "name: other}");
    let other = other.replace("app: echo", "app: other");
    namespace.apply(&other).await;
    answers(&product, &hostname, 200).await;
    namespace
        .condition("httproute/my-route", "ResolvedRefs", "True")
        .await;
    let before = made_for(&product, &namespace).await;

    let port =
        |port: u16| format!(r#"[{{"op":"replace","path":"/spec/ports/0/port","value":{port}}}]"#);
    patch(&namespace, "service/echo", "json", &port(9090)).await;
    let condition = namespace
        .condition("httproute/my-route", "ResolvedRefs", "False")
        .await;
    assert_eq!(condition["reason"], "BackendNotFound", "{condition}");
    answers(&product, &hostname, 500).await;
    patch(&namespace, "service/echo", "json", &port(8080)).await;
    namespace
        .condition("httproute/my-route", "ResolvedRefs", "True")
        .await;
    answers(&product, &hostname, 200).await;

    namespace
        .wait("condition=Available", "deployment/other", PATIENCE)
        .await;
    let selector = r#"{"spec":{"selector":{"app":"other"}}}"#;
    patch(&namespace, "service/echo", "merge", selector).await;
    eventually("the other pod answers", PATIENCE, || async {
        let answer = product.client.get(&format!("https://{hostname}/")).await?;
        match answer.status {
            200 if answer.told("pod").starts_with("other-") => Ok(()),
            _ => Err(answer.body),
        }
    })
    .await;
    assert_eq!(made_for(&product, &namespace).await, before);
    other_gateway.was_not_touched(&product).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn labels_of_a_namespace_let_its_routes_in_and_out() {
    let product = installation::quiet().await;
    let other_gateway = other_gateway(&product).await;
    let namespace = product.cluster.namespace("listens").await;
    let guests = product.cluster.namespace("guests").await;
    let (own, guest) = (hostname(&namespace), hostname(&guests));
    let selector = "port: 443, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {let: in}}}}}]";
    let text = manifests(&own).replace("port: 443}]", selector);
    let label = |namespace: &Namespace, label: &'static str| {
        let name = namespace.name().to_owned();
        let cluster = product.cluster.clone();
        async move {
            let arguments = ["label", "--overwrite", "namespace", &name, label];
            cluster.kubectl(&arguments).await
        }
    };
    label(&namespace, "let=in").await;
    namespace.apply(&text).await;
    let there = format!(", namespace: {}", namespace.name());
    let echo = include_str!("echo.yaml").replace("replicas: 2", "replicas: 1");
    guests
        .apply(&format!("{echo}---\n{}", route(&guest, &there)))
        .await;
    let condition = guests
        .condition("httproute/my-route", "Accepted", "False")
        .await;
    assert_eq!(condition["reason"], "NotAllowedByListeners", "{condition}");
    answers(&product, &own, 200).await;
    let before = made_for(&product, &namespace).await;

    label(&guests, "let=in").await;
    guests
        .condition("httproute/my-route", "Accepted", "True")
        .await;
    answers(&product, &guest, 200).await;

    label(&guests, "let-").await;
    let condition = guests
        .condition("httproute/my-route", "Accepted", "False")
        .await;
    assert_eq!(condition["reason"], "NotAllowedByListeners", "{condition}");
    eventually("the guest's record is gone", PATIENCE, || async {
        match product.records_of(&guest) {
            0 => Ok(()),
            left => Err(format!("{left} records")),
        }
    })
    .await;
    answers(&product, &own, 200).await;
    assert_eq!(made_for(&product, &namespace).await, before);
    other_gateway.was_not_touched(&product).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_reference_grant_opens_and_closes_a_service_elsewhere() {
    let product = installation::quiet().await;
    let other_gateway = other_gateway(&product).await;
    let namespace = product.cluster.namespace("asks").await;
    let owner = product.cluster.namespace("owns").await;
    let hostname = hostname(&namespace);
    let echo = include_str!("echo.yaml").replace("replicas: 2", "replicas: 1");
    owner.apply(&echo).await;
    let there = format!("name: echo, namespace: {}, port", owner.name());
    let text = manifests(&hostname).replace("name: echo, port", &there);
    let grant = format!(
        "apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: let-in}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {}}}]
  to: [{{group: \"\", kind: Service}}]
",
        namespace.name()
    );
    namespace.apply(&text).await;
    let refused = || async {
        let condition = namespace
            .condition("httproute/my-route", "ResolvedRefs", "False")
            .await;
        assert_eq!(condition["reason"], "RefNotPermitted", "{condition}");
        answers(&product, &hostname, 500).await;
    };
    refused().await;
    let before = made_for(&product, &namespace).await;

    owner.apply(&grant).await;
    namespace
        .condition("httproute/my-route", "ResolvedRefs", "True")
        .await;
    answers(&product, &hostname, 200).await;

    owner.kubectl(&["delete", "referencegrant", "let-in"]).await;
    refused().await;
    assert_eq!(made_for(&product, &namespace).await, before);
    other_gateway.was_not_touched(&product).await;
}

/// The types of an object's conditions, once this generation of it is judged.
async fn types(namespace: &Namespace, object: &str, generation: i64) -> Vec<String> {
    eventually("it is judged", PATIENCE, || async {
        let found = namespace.get(&[object]).await.ok_or("it is not there")?;
        let status = found["status"].clone();
        let conditions = status["conditions"].as_array();
        let conditions: Vec<&Value> = conditions.into_iter().flatten().collect();
        let judged = conditions
            .iter()
            .any(|one| one["type"] == "Accepted" && one["observedGeneration"] == generation);
        let types = conditions.iter().filter_map(|one| one["type"].as_str());
        let types: Vec<String> = types.map(str::to_owned).collect();
        judged.then_some(types).ok_or(status.to_string())
    })
    .await
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn conditions_of_others_on_a_class_stay_in_their_order() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("class").await;
    let name = format!("of-{}", namespace.name());
    let class = |description: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {name}}}
spec: {{controllerName: cloudflare-gateway-controller.io/controller, description: {description}}}
"
        )
    };
    let object = format!("gatewayclass/{name}");
    namespace.apply(&class("one")).await;
    let mut expected = types(&namespace, &object, 1).await;
    assert!(
        expected.contains(&"SupportedVersion".to_owned()),
        "{expected:?}"
    );
    let foreign = r#"[{"op": "add", "path": "/status/conditions/1", "value": {"type": "example.com/Seen",
        "status": "True", "reason": "Seen", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}]"#;
    let patch = format!("--patch={foreign}");
    let subresource = "--subresource=status";
    namespace
        .kubectl(&["patch", &object, "--type=json", subresource, &patch])
        .await;
    expected.insert(1, "example.com/Seen".to_owned());
    namespace.apply(&class("two")).await;
    assert_eq!(types(&namespace, &object, 2).await, expected);
    namespace.kubectl(&["delete", &object]).await;
}
