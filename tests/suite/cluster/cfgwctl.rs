//! `cfgwctl` on a true Kubernetes: what it reads and writes there, and that the controller acts upon it.

use tests::cluster::Namespace;
use tests::installation;
use tokio::process::Command;

use super::user::manifests;

/// What it prints, and its exit code.
pub(super) async fn cfgwctl(namespace: &Namespace, arguments: &str) -> (String, Option<i32>) {
    let program = std::env::var_os("CFGWCTL_BIN").expect("run by tests/run cluster");
    let output = Command::new(program)
        .args(["--namespace", namespace.name()])
        .args(arguments.split_whitespace())
        .output()
        .await
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("text"), output.status.code())
}

/// The same; it must succeed.
async fn done(namespace: &Namespace, arguments: &str) -> String {
    let (text, code) = cfgwctl(namespace, arguments).await;
    assert_eq!(code, Some(0), "cfgwctl {arguments}: {text}");
    text
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_gateway_is_shown_suspended_resumed_and_rotated_by_cfgwctl() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("cfgwctl").await;
    let hostname = format!("{}.example.com", namespace.name());
    namespace.apply(&manifests(&hostname)).await;
    product.served(&format!("https://{hostname}/hello")).await;
    namespace
        .condition("httproute/my-route", "Ready", "True")
        .await;

    let way = done(&namespace, &format!("explain {hostname}/hello")).await;
    for line in ["record     ", "CNAME", "endpoint   ", "(Pod "] {
        assert!(way.contains(line), "{way}");
    }
    let (text, code) = cfgwctl(&namespace, "explain nobody.example.org").await;
    assert_eq!(code, Some(1), "{text}");
    let status = done(&namespace, "status").await;
    assert!(status.contains(&hostname), "{status}");
    // The true edge is out of reach here, the rest is as it should be.
    let (checks, _) = cfgwctl(&namespace, "check --edge 127.0.0.1:1").await;
    for line in [
        "ok       clock",
        "ok       leader",
        "ok       your permissions",
    ] {
        assert!(checks.contains(line), "{checks}");
    }

    let told = done(&namespace, "suspend gateway my-gateway").await;
    assert!(told.starts_with("Suspended reconciliation"), "{told}");
    let (text, code) = cfgwctl(&namespace, "rotate gateway token my-gateway").await;
    assert_eq!(code, Some(1), "{text}");
    let told = done(&namespace, "resume gateway my-gateway --timeout 2m").await;
    assert!(told.ends_with("Reconciliation completed\n"), "{told}");
    let told = done(&namespace, "reconcile gateway my-gateway --timeout 2m").await;
    assert!(told.ends_with("Reconciliation completed\n"), "{told}");

    let told = done(&namespace, "rotate gateway token my-gateway --watch").await;
    assert!(told.contains("Rotated the token of Gateway"), "{told}");
    assert_eq!(product.replaced_tokens(namespace.name()), 1);
    let told = done(&namespace, "watch gateway token my-gateway").await;
    assert!(told.starts_with("No ongoing token rotation"), "{told}");
}
