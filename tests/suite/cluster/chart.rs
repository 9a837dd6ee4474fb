//! The chart over its life, and in its narrower forms.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, Namespace, eventually};
use tests::installation::{self, Installation, NAMESPACE, PATIENCE, REPLICAS};
use tests::load::Load;

use super::traffic::{echo_behind, requests_to};
use super::user::{gone, route};

mod admission;

const OWN: &str = "cloudflare-gateway-controller.io";
const NAME: &str = "cfgw-cloudflare-gateway-controller";

/// The chart as it was before it had what these tests are about, packaged by helm.
fn earlier() -> String {
    let package = "suite/cluster/chart/cloudflare-gateway-controller-0.1.0.tgz";
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    package.display().to_string()
}

/// What the program of today reads besides, which the chart as it was does not permit.
fn read_since_then() -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: since-then}}
rules:
- apiGroups: [gateway.networking.k8s.io]
  resources: [listenersets, backendtlspolicies]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xbackends, xbackendtrafficpolicies]
  verbs: [get, list, watch]
- apiGroups: [multicluster.x-k8s.io]
  resources: [serviceimports]
  verbs: [get, list, watch]
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [\"\"]
  resources: [configmaps]
  verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: since-then}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: since-then}}
subjects: [{{kind: ServiceAccount, name: {NAME}, namespace: {NAMESPACE}}}]
"
    )
}

/// A namespace in which a pod that is not restricted is refused.
pub(super) async fn restricted(cluster: &Cluster, prefix: &str) -> Namespace {
    let namespace = cluster.namespace(prefix).await;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    let labelled = ["label", "namespace", namespace.name(), label];
    cluster.kubectl(&labelled).await;
    namespace
}

async fn helm(product: &Installation, arguments: &[&str]) -> String {
    let more = ["--namespace", NAMESPACE];
    let done = product.cluster.helm(&[arguments, &more].concat()).await;
    match done {
        Ok(said) => said,
        Err(error) => panic!(
            "helm {arguments:?}: {error}\n{}",
            product.told_by_controllers().await
        ),
    }
}

/// What of the release is in the cluster, its namespace and what people made themselves left out. The list of what was left
/// at Cloudflare on purpose stays (docs/decisions/0023).
async fn left(cluster: &Cluster) -> Vec<String> {
    let kinds = "deployments,pods,services,serviceaccounts,roles,rolebindings,clusterroles,\
        clusterrolebindings,poddisruptionbudgets,networkpolicies,gatewayclasses,\
        validatingadmissionpolicies,validatingadmissionpolicybindings";
    let release = "--selector=app.kubernetes.io/instance=cfgw";
    let labelled = cluster.get(&[kinds, "--all-namespaces", release]).await;
    let own = cluster
        .get(&["leases,secrets", "--namespace", NAMESPACE])
        .await;
    let items = |found: Option<Value>| found.unwrap_or_default()["items"].clone();
    let mut names = Vec::new();
    for item in [items(labelled), items(own)]
        .iter()
        .filter_map(Value::as_array)
        .flatten()
    {
        let name = item["metadata"]["name"].as_str().unwrap_or("");
        let is_users = item["kind"] == "Secret" && name == "cloudflare";
        let is_helms = name.starts_with("sh.helm.release.");
        let is_list = item["kind"] == "Secret" && name == format!("{NAME}-orphans");
        if !is_users && !is_helms && !is_list {
            names.push(format!("{} {name}", item["kind"]));
        }
    }
    names
}

/// Removes the release: nothing is left but CRDs.
pub(super) async fn removed(product: &Installation) {
    helm(product, &["uninstall", "cfgw", "--wait", "--timeout=240s"]).await;
    let cluster = &product.cluster;
    eventually("nothing is left of the release", PATIENCE, || async {
        let left = left(cluster).await;
        left.is_empty().then_some(()).ok_or_else(|| left.join(", "))
    })
    .await;
    let crds = cluster.kubectl(&["get", "crds", "--output=name"]).await;
    for kind in ["cloudflaregatewayparameters", "cloudflaregatewaystatuses"] {
        assert!(crds.contains(&format!("{kind}.{OWN}")), "{crds}");
    }
}

async fn is_owned_by_the_deployment(product: &Installation, object: &str) {
    let found = [object, "--namespace", NAMESPACE];
    let found = product.cluster.get(&found).await.expect(object);
    let owner = &found["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "Deployment", "{object}: {owner}");
    assert_eq!(owner["name"], NAME);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn an_upgrade_a_rollback_and_another_upgrade_fail_no_request_and_a_removal_leaves_crds() {
    let product = installation::alone().await;
    removed(&product).await;
    product.cluster.apply(&read_since_then()).await;
    product
        .helm_with_values(&["install"], &earlier(), &[])
        .await;
    let namespace = restricted(&product.cluster, "chart").await;
    let hostname = echo_behind(&product, &namespace, 2).await;
    let load = Load::start(
        2,
        Duration::from_millis(50),
        requests_to(&product, &hostname),
    );

    let chart = installation::chart();
    product.helm_with_values(&["upgrade"], &chart, &[]).await;
    is_owned_by_the_deployment(&product, &format!("secret/{NAME}-authority")).await;
    eventually("the Lease has an owner", PATIENCE, || async {
        let lease = [&format!("lease/{NAME}"), "--namespace", NAMESPACE];
        let lease = product.cluster.get(&lease).await.ok_or("no Lease")?;
        let owner = &lease["metadata"]["ownerReferences"][0]["name"];
        (owner == NAME).then_some(()).ok_or(owner.to_string())
    })
    .await;
    eventually("its proxies have a NetworkPolicy", PATIENCE, || async {
        let policy = namespace.get(&["networkpolicy/gateway-my-gateway"]).await;
        policy.map(|_| ()).ok_or("none".to_owned())
    })
    .await;
    let tested = helm(&product, &["test", "cfgw", "--timeout=180s"]).await;
    assert!(tested.contains("Phase:          Succeeded"), "{tested}");

    helm(
        &product,
        &["rollback", "cfgw", "1", "--wait", "--timeout=300s"],
    )
    .await;
    product.served(&format!("https://{hostname}/")).await;
    product.helm_with_values(&["upgrade"], &chart, &[]).await;
    namespace
        .condition("gateway/my-gateway", "Programmed", "True")
        .await;
    let done = load.stop().await;
    assert_eq!(done.failures, Vec::<String>::new());

    let gateway = ["delete", "gateway", "my-gateway", "--timeout=240s"];
    namespace.kubectl(&gateway).await;
    gone(&product, &namespace, &hostname).await;
    removed(&product).await;
    product.cluster.delete(&read_since_then()).await;
    product.helm_with_values(&["install"], &chart, &[]).await;
}

/// What was asked of all namespaces from a moment on, of what is in namespaces.
fn asked_of_all(product: &Installation, since: jiff::Timestamp) -> Vec<String> {
    let user = format!("system:serviceaccount:{NAMESPACE}:{NAME}");
    let audit = product.cluster.audit().into_iter();
    let own: Vec<_> = audit
        .filter(|event| event.user.username == user)
        .filter(|event| event.request_received_timestamp > since)
        .collect();
    assert!(!own.is_empty(), "{user} renews its Lease at least");
    let mut asked: Vec<String> = own
        .into_iter()
        .filter_map(|event| Some((event.verb, event.object_ref?)))
        .filter(|(_, object)| object.namespace.is_empty())
        .map(|(verb, object)| format!("{verb} {}", object.resource))
        .collect();
    asked.sort();
    asked.dedup();
    asked
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn only_namespaces_that_are_listed_are_watched_by_roles_there_and_others_lose_nothing() {
    let product = installation::alone().await;
    let (near, far) = (
        restricted(&product.cluster, "near").await,
        restricted(&product.cluster, "far").await,
    );
    let hostname = echo_behind(&product, &near, 1).await;
    let elsewhere = echo_behind(&product, &far, 1).await;

    let chart = installation::chart();
    let listed = format!("watch.namespaces={{{}}}", near.name());
    product
        .helm_with_values(&["upgrade"], &chart, &["--set", &listed])
        .await;
    // What is asked from here on is asked by the new ones.
    eventually("the old controllers are gone", PATIENCE, || async {
        let pods = "--selector=app.kubernetes.io/name=cfgw-controller";
        let pods = ["pods", "--namespace", NAMESPACE, pods];
        let pods = product.cluster.get(&pods).await.unwrap_or_default();
        let count = pods["items"].as_array().map_or(0, Vec::len);
        (count == REPLICAS).then_some(()).ok_or(format!("{count}"))
    })
    .await;
    let since = jiff::Timestamp::now();
    let new = format!("new-{hostname}");
    near.apply(&route(&new, "").replace("my-route", "new-route"))
        .await;
    product.served(&format!("https://{new}/")).await;
    product.served(&format!("https://{elsewhere}/")).await;
    assert_eq!(product.tunnels_of(far.name()), 1);
    let asked = asked_of_all(&product, since);
    let allowed = [
        "create tokenreviews",
        "get namespaces",
        "list gatewayclasses",
        "list namespaces",
        "patch gatewayclasses",
        "watch gatewayclasses",
        "watch namespaces",
    ];
    assert!(
        asked.iter().all(|one| allowed.contains(&one.as_str())),
        "{asked:?}"
    );
    let role = product.cluster.get(&["clusterrole", NAME]).await.unwrap();
    assert!(!role.to_string().contains("secrets"), "{role}");

    product.helm_with_values(&["upgrade"], &chart, &[]).await;
    for (namespace, hostname) in [(&near, &hostname), (&far, &elsewhere)] {
        let gateway = ["delete", "gateway", "my-gateway", "--timeout=240s"];
        namespace.kubectl(&gateway).await;
        gone(&product, namespace, hostname).await;
    }
}
