//! What autoscales in a cluster, as its own projects deploy it. A test installs it and takes it away, as other tests stand
//! on a cluster without it.

use std::path::{Path, PathBuf};

use tests::cluster::{Cluster, eventually};
use tests::installation::PATIENCE;

/// Manifests that are applied.
pub(super) struct Part {
    cluster: Cluster,
    manifests: String,
}

impl Part {
    /// Applies manifests and waits until these Deployments of kube-system are complete.
    async fn install(cluster: &Cluster, manifests: String, deployments: &[&str]) -> Self {
        cluster.apply(&manifests).await;
        for deployment in deployments {
            let deployment = format!("deployment/{deployment}");
            let rollout = ["rollout", "status", "--namespace=kube-system"];
            cluster
                .kubectl(&[&rollout[..], &["--timeout=240s", &deployment]].concat())
                .await;
        }
        Self {
            cluster: cluster.clone(),
            manifests,
        }
    }

    /// Deletes it.
    pub(super) async fn remove(self) {
        self.cluster.delete(&self.manifests).await;
    }
}

/// Our own adapter on sigs.k8s.io/custom-metrics-apiserver, which asks the proxies for their requests in flight.
pub(super) async fn custom_metrics(cluster: &Cluster) -> Part {
    let manifests = include_str!("../../../metrics/deploy.yaml").to_owned();
    let part = Part::install(cluster, manifests, &["metrics"]).await;
    answers(cluster, "/apis/custom.metrics.k8s.io/v1beta2").await;
    part
}

/// metrics-server: CPU and memory of pods, from the kubelet.
pub(super) async fn metrics_server(cluster: &Cluster) -> Part {
    let base = folder("METRICS_SERVER").join("manifests/base");
    let text = cluster
        .kubectl(&["kustomize", &base.display().to_string()])
        .await;
    // The kubelet's certificate is of the cluster's authority. The resolution is the least that there is; it must be
    // longer than the timeout.
    let quick = [
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
        "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    ];
    let quick = quick.join("\n        - ");
    let manifests = changed(
        &text,
        &[
            ("--metric-resolution=15s", &quick),
            ("initialDelaySeconds: 20", "initialDelaySeconds: 1"),
        ],
    );
    let part = Part::install(cluster, manifests, &["metrics-server"]).await;
    answers(cluster, "/apis/metrics.k8s.io/v1beta1/pods").await;
    part
}

/// The kinds of the VerticalPodAutoscaler and its recommender, which looks every few seconds. Its updater is left out: the
/// kubelet of a test cluster has no control groups of pods, and ends when it is to resize one.
pub(super) async fn vertical_autoscaler(cluster: &Cluster) -> Part {
    let deploy = folder("VERTICAL_AUTOSCALER").join("deploy");
    let policy = "imagePullPolicy: IfNotPresent";
    let quick = format!("{policy}\n        args: [--recommender-interval=5s]");
    let recommender = read(&deploy, "recommender-deployment.yaml");
    let manifests = [
        read(&deploy, "vpa-v1-crd-gen.yaml"),
        read(&deploy, "vpa-rbac.yaml"),
        changed(&recommender, &[(policy, &quick)]),
    ];
    Part::install(cluster, manifests.join("\n---\n"), &["vpa-recommender"]).await
}

/// The kind of KEDA's ScaledObjects, without what acts on them.
pub(super) async fn scaled_objects(cluster: &Cluster) -> Part {
    let kinds = folder("KEDA").join("config/crd/bases");
    let part = Part::install(cluster, read(&kinds, "keda.sh_scaledobjects.yaml"), &[]).await;
    let established = ["wait", "--for=condition=Established", "--timeout=60s"];
    let kind = ["customresourcedefinition/scaledobjects.keda.sh"];
    cluster.kubectl(&[&established[..], &kind].concat()).await;
    part
}

fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder that tests/cluster/test names.
fn folder(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable).filter(|folder| !folder.is_empty());
    folder.expect("run by tests/run cluster").into()
}

/// The text with each of these words, which must be there, replaced.
fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    let mut changed = text.to_owned();
    for (from, to) in changes {
        assert!(changed.contains(from), "no {from} in {changed}");
        changed = changed.replace(from, to);
    }
    changed
}

/// Waits until the API server passes requests on to the part.
async fn answers(cluster: &Cluster, path: &str) {
    eventually(path, PATIENCE, || async {
        cluster.try_kubectl(&["get", "--raw", path]).await
    })
    .await;
}
