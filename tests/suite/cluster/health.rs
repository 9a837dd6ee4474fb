//! What others conclude from statuses: kstatus' own library, Flux and Argo CD with the checks of docs/examples/health.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tests::cluster::{Namespace, eventually};
use tests::installation::{self, CLASS, PATIENCE};

use super::user::manifests;

/// A Gateway that asks for what is not served, and a route that names a listener that is not there.
fn wrong(hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: wrong}}
spec:
  gatewayClassName: {CLASS}
  addresses: [{{type: IPAddress, value: 192.0.2.1}}]
  listeners: [{{name: https, protocol: HTTPS, port: 443}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: wrong}}
spec:
  parentRefs: [{{name: my-gateway, sectionName: none}}]
  hostnames: [{hostname}]
  rules: [{{backendRefs: [{{name: echo, port: 8080}}]}}]
"
    )
}

/// The lines of tests/health about the objects of a namespace, without it.
async fn judged(namespace: &Namespace) -> Vec<String> {
    let kinds = "gateways,httproutes,cloudflaregatewaystatuses";
    let found = namespace.get(&[kinds]).await.unwrap_or_default();
    let program = std::env::var_os("HEALTH_BIN").expect("run by tests/run cluster");
    let checks = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/health");
    let mut judge = Command::new(program)
        .arg(checks)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let mut input = judge.stdin.take().expect("a pipe");
    input
        .write_all(found.to_string().as_bytes())
        .expect("it reads");
    drop(input);
    let output = judge.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let within = format!("{}/", namespace.name());
    text.lines().map(|line| line.replace(&within, "")).collect()
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn kstatus_flux_and_argo_see_what_is_ready_and_what_has_to_be_mended() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("health").await;
    let hostname = format!("{}.example.com", namespace.name());
    namespace.apply(&manifests(&hostname)).await;
    namespace.apply(&wrong(&hostname)).await;
    let expected = [
        "Gateway my-gateway kstatus=Current flux=Current argo=Healthy",
        "Gateway wrong kstatus=Failed flux=Failed argo=Degraded",
        "HTTPRoute my-route kstatus=Current flux=Current argo=Healthy",
        "HTTPRoute wrong kstatus=Current flux=Failed argo=Degraded",
        "CloudflareGatewayStatus my-gateway kstatus=Current flux=Current argo=none",
        "CloudflareGatewayStatus wrong kstatus=Failed flux=Failed argo=none",
    ];
    eventually("all see the same", PATIENCE, || async {
        let lines = judged(&namespace).await;
        (lines == expected).then_some(()).ok_or(lines.join("\n"))
    })
    .await;
}
