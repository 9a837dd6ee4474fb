//! NetworkPolicies, enforced by kube-router on the node: what is permitted goes on, what is not is cut off.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::cluster::{Cluster, Namespace, eventually};
use tests::installation::{self, NAMESPACE, NODE, PATIENCE};

use super::traffic::echo_behind;
use super::user::gone;

/// kube-router enforces NetworkPolicies and does nothing else; routes and Services are others' work here. It ends with
/// the value.
struct Enforced(Child);

impl Enforced {
    fn start(cluster: &Cluster) -> Self {
        let program = std::env::var_os("KUBE_ROUTER").map(PathBuf::from);
        let program = program.expect("tests/cluster/test builds kube-router");
        let log = std::fs::File::create(cluster.state().join("log/kube-router.log"));
        let kubeconfig = cluster.state().join("admin.kubeconfig");
        let child = Command::new(program)
            .args(["--run-router=false", "--run-firewall=true"])
            .args(["--run-service-proxy=false", "--run-loadbalancer=false"])
            .args(["--enable-ipv6=false", "--iptables-sync-period=10s"])
            .args(["--hostname-override=node", "--health-port=0", "--v=1"])
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg("--service-cluster-ip-range=10.96.0.0/16")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        Self(child.expect("kube-router starts"))
    }
}

/// Its rules go with it, whatever became of the test. The node has no others in this table.
impl Drop for Enforced {
    fn drop(&mut self) {
        // While it runs it writes them anew.
        let _ = self.0.kill().and_then(|()| self.0.wait());
        for what in ["--flush", "--delete-chain"] {
            let cleaned = Command::new("iptables").arg(what).status();
            if !cleaned.is_ok_and(|status| status.success()) {
                eprintln!("iptables {what} failed: rules of kube-router stay");
            }
        }
    }
}

/// What a pod of these labels is told that asks at an address whether anything is ready; empty where it is.
async fn told(namespace: &Namespace, name: &str, labels: &str, address: &str) -> String {
    let image = tests::cluster::CFGW_IMAGE;
    let pod = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{labels}}}}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: probe
      image: {image}
      args: [probe, \"{address}\", --within, \"3\"]
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"
    );
    namespace.apply(&pod).await;
    let has_succeeded = eventually("the pod ends", PATIENCE, || async {
        let pod = namespace.get(&[&format!("pod/{name}")]).await;
        let pod = pod.ok_or("no pod")?;
        match pod["status"]["phase"].as_str() {
            Some("Succeeded") => Ok(true),
            Some("Failed") => Ok(false),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let said = namespace.kubectl(&["logs", name]).await;
    namespace.kubectl(&["delete", "pod", name, "--now"]).await;
    match has_succeeded {
        true => String::new(),
        false => said,
    }
}

/// Whether somebody is there, whatever it answers to a question that is not meant for it.
fn is_reached(told: &str) -> bool {
    told.is_empty() || told.contains("it answers")
}

/// The address of a pod of these labels.
async fn address(cluster: &Cluster, namespace: &str, labels: &str) -> String {
    let pods = ["pods", "--namespace", namespace, "--selector", labels];
    let pods = cluster.get(&pods).await.expect("pods");
    let address = pods["items"][0]["status"]["podIP"].as_str();
    address.expect("an address").to_owned()
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn proxies_serve_under_enforced_policies_and_reach_nothing_else() {
    let product = installation::alone().await;
    let cluster = &product.cluster;
    let enforced = Enforced::start(cluster);
    let namespace = cluster.namespace("network").await;
    let hostname = echo_behind(&product, &namespace, 2).await;

    // A pod that is a proxy by its labels is held to what proxies are held to.
    let proxy = "gateway.networking.k8s.io/gateway-name: my-gateway, \
        app.kubernetes.io/managed-by: cloudflare-gateway-controller";
    let controller = address(cluster, NAMESPACE, "app.kubernetes.io/name=cfgw-controller").await;
    let readyz = format!("{controller}:8081");
    let api_server = format!("{NODE}:6443");
    let labels = format!("{proxy}, app.kubernetes.io/component: proxy");
    // Of a controller all may ask whether it is ready; proxies alone have its stream.
    assert_eq!(told(&namespace, "asks", "a: b", &readyz).await, "");
    let stream = format!("{controller}:8443");
    eventually("the stream is closed to strangers", PATIENCE, || async {
        let told = told(&namespace, "stranger", "a: b", &stream).await;
        (!is_reached(&told)).then_some(()).ok_or(told)
    })
    .await;
    let of_stream = told(&namespace, "proxy", &labels, &stream).await;
    assert!(is_reached(&of_stream), "proxies reach it: {of_stream}");
    // The API server is no pod: whoever is no proxy reaches it, and a proxy does not.
    let of_stranger = told(&namespace, "stranger", "a: b", &api_server).await;
    assert!(is_reached(&of_stranger), "{of_stranger}");
    let of_proxy = told(&namespace, "proxy", &labels, &api_server).await;
    assert!(!is_reached(&of_proxy), "{of_proxy}");
    // A proxy may be asked whether it is ready.
    let proxy = address(
        cluster,
        namespace.name(),
        "app.kubernetes.io/component=proxy",
    )
    .await;
    assert_eq!(
        told(&namespace, "asks", "a: b", &format!("{proxy}:8081")).await,
        ""
    );

    // All works on: a new leader, a new route, the removal.
    let (leader, _) = product.leader().await;
    let gone_leader = ["delete", "pod", &leader, "--namespace", NAMESPACE, "--now"];
    cluster.kubectl(&gone_leader).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    product.served(&format!("https://{hostname}/")).await;
    namespace
        .kubectl(&["delete", "gateway", "my-gateway", "--timeout=240s"])
        .await;
    gone(&product, &namespace, &hostname).await;
    drop(enforced);
}
