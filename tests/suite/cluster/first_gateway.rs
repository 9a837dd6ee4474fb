//! The first Gateway of a new user, step by step. docs/first-gateway.md is what this prints: `UPDATE=1` writes it anew.

use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, PATIENCE};

use super::page::Page;
use super::user::gone;

const FIRST: &str = include_str!("../../../docs/examples/kubernetes/first-gateway.yaml");
const PARAMETERS: &str = include_str!("../../../docs/examples/kubernetes/parameters.yaml");

pub(super) async fn tunnel(namespace: &Namespace) -> String {
    let gateway = namespace
        .get(&["gateway", "my-gateway"])
        .await
        .expect("a Gateway");
    let address = gateway["status"]["addresses"][0]["value"].as_str();
    let address = address.expect("an address");
    address.trim_end_matches(".cfargotunnel.com").to_owned()
}

/// What the cluster is known by: the uid of its namespace kube-system.
pub(super) async fn instance(product: &Installation) -> String {
    let found = product.cluster.get(&["namespace", "kube-system"]).await;
    let found = found.expect("the namespace kube-system");
    found["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

/// Pods that answer, behind Service `my-service`.
pub(super) fn backend() -> String {
    include_str!("echo.yaml")
        .replace("{name: echo}", "{name: my-service}")
        .replace("{app: echo}", "{app: my-service}")
        .replace("port: 8080", "port: 80")
}

async fn first(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say(include_str!("first_gateway/beginning.md"));
    page.apply("first-gateway.yaml", FIRST).await;
    page.run("wait --for=condition=Ready gateway/my-gateway --timeout=120s")
        .await;
    let id = tunnel(page.namespace).await;
    page.call(id, "4f23cf4b-a04f-4810-a7e5-7c6825739ea9");
    product.served(&format!("https://{hostname}/")).await;
    page.until("get cgs", |text| text.contains("True")).await;
    page.until("get gateways", |text| text.contains("True"))
        .await;
    let both = |text: &str| text.contains("2/2");
    page.until(
        "get deployments -l gateway.networking.k8s.io/gateway-name",
        both,
    )
    .await;
    page.curl(product, hostname).await;
    page.say("What was made at Cloudflare is in the Events of the Gateway:");
    let made = "events --for gateway/my-gateway -o jsonpath={range..items[?(@.reason==\"EdgeChanged\")]}{.message}{\"\\n\"}{end}";
    page.until(made, |text| text.contains("made record")).await;
}

async fn parameters(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## More control\n\nThis cluster has one node, in zone `us-east-1a`, and no VerticalPodAutoscaler. The former replicas stay until\nthe new ones are there.");
    page.apply("parameters.yaml", PARAMETERS).await;
    let one = |text: &str| text.contains("us-east-1c") && text.contains("1/1");
    page.until(
        "get deployments -l gateway.networking.k8s.io/gateway-name",
        one,
    )
    .await;
    let told = "get gateway my-gateway -o jsonpath={range.status.conditions[?(@.type==\"cloudflare-gateway-controller.io/Parameters\")]}{.status}{\"\\t\"}{.message}{\"\\n\"}{end}";
    page.until(told, |text| text.contains("VerticalPodAutoscaler"))
        .await;
    page.curl(product, hostname).await;
}

async fn day_to_day(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    const PREFIX: &str = "cloudflare-gateway-controller.io";
    page.say("## From day to day\n\nA new token for the tunnel:");
    page.run(&format!(
        "annotate gateway my-gateway gateways.{PREFIX}/rotateTokenRequestedAt=today"
    ))
    .await;
    let handled = "get cgs my-gateway -o jsonpath={.status.tunnel.token.rotation.lastHandledRotateAt}{\"\\n\"}";
    page.until(handled, |text| text.contains("today")).await;
    page.say("Nothing is written while a Gateway is suspended; requests are served on:");
    page.run(&format!(
        "annotate gateway my-gateway {PREFIX}/reconcile=disabled"
    ))
    .await;
    page.curl(product, hostname).await;
    page.run(&format!(
        "annotate --overwrite gateway my-gateway {PREFIX}/reconcile=enabled"
    ))
    .await;
}

async fn end(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## The end\n\nA hostname that is removed loses its record:");
    let patch = "patch httproute my-route --type=json -p=[{\"op\":\"remove\",\"path\":\"/spec/hostnames\"}]";
    page.run(patch).await;
    eventually("the record is gone", PATIENCE, || async {
        let left = product.records_of(hostname);
        (left == 0).then_some(()).ok_or(format!("{left} records"))
    })
    .await;
    page.say("Of a Gateway that is deleted nothing stays in the cluster or at Cloudflare:");
    page.run("delete gateway my-gateway").await;
    gone(product, page.namespace, hostname).await;
    page.until(
        "get cgs,deployments -l gateway.networking.k8s.io/gateway-name",
        str::is_empty,
    )
    .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn the_page_of_the_first_gateway_is_what_happens() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("first").await;
    let name = namespace.name();
    let zone = "topology.kubernetes.io/zone=us-east-1a";
    product
        .cluster
        .kubectl(&["label", "--overwrite", "nodes", "--all", zone])
        .await;
    namespace.apply(&backend()).await;
    let hostname = format!("{name}.example.com");
    let secret = product.secret("any", name);
    let token = secret
        .split("CLOUDFLARE_API_TOKEN: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let account = secret.split('"').nth(1);
    let mut page = Page::new(
        &namespace,
        vec![
            (hostname.clone(), "app.example.com"),
            (format!("class-{name}"), "my-class"),
            (name.to_owned(), "default"),
            (
                instance(&product).await,
                "9c1f7a52-0c5e-4b0b-8f3e-2f1f8f0d6a11",
            ),
            (token.expect("a token").to_owned(), "your-api-token"),
            (account.expect("an account").to_owned(), "your-account-id"),
        ],
    );
    first(&mut page, &product, &hostname).await;
    day_to_day(&mut page, &product, &hostname).await;
    parameters(&mut page, &product, &hostname).await;
    end(&mut page, &product, &hostname).await;
    let class = format!("gatewayclass/class-{name}");
    product.cluster.kubectl(&["delete", &class]).await;
    page.is_as_written("first-gateway.md");
}
