//! Kubernetes, for the ports that it stands for: API servers in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use adapter_kubernetes::workloads::{Deployments, WorkloadOptions};
use adapter_kubernetes::{
    Cluster, ClusterOptions, Finalizers, SecretCredentials, Statuses, WatchTimes,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::TunnelId;
use domain::ports::ClusterSource;
use domain::testing::FixedLeadership;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use server::ApiServer;

// Those of the adapter's own tests.
#[path = "../../../adapters/kubernetes/tests/kubernetes/server.rs"]
#[allow(dead_code, reason = "the adapter's own tests use all of it")]
pub(crate) mod server;
#[path = "../../../adapters/kubernetes/tests/workloads/api_server.rs"]
#[allow(dead_code, reason = "the adapter's own tests use all of it")]
mod workloads_server;

const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

/// A view changes no more once nothing has come for so long.
const QUIET: Duration = Duration::from_millis(200);

/// A cluster, and what of the adapter works on it.
pub(crate) struct InCluster {
    pub(crate) server: ApiServer,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) finalizers: Finalizers,
    pub(crate) statuses: Statuses,
    pub(crate) credentials: SecretCredentials,
    _stop: DropGuard,
}

fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "spec": spec,
        "metadata": { "name": name, "namespace": "default", "generation": 1 },
    })
}

/// A class of ours, with the Secret that it names.
pub(crate) fn class(name: &str, secret: Option<&str>) -> Value {
    let parameters = secret.map(
        |secret| json!({ "group": "", "kind": "Secret", "name": secret, "namespace": "default" }),
    );
    json!({
        "apiVersion": GATEWAY_API, "kind": "GatewayClass",
        "metadata": { "name": name, "generation": 1 },
        "spec": {
            "controllerName": "cloudflare-gateway-controller.io/controller",
            "parametersRef": parameters,
        },
    })
}

/// A Gateway without listeners.
pub(crate) fn gateway_of(class: &str, name: &str) -> Value {
    let spec = json!({ "gatewayClassName": class, "listeners": [] });
    object(GATEWAY_API, "Gateway", name, &spec)
}

pub(crate) fn secret(name: &str, values: &[(&str, &str)]) -> Value {
    let mut secret = object("v1", "Secret", name, &Value::Null);
    for (key, value) in values {
        secret["data"][key] = STANDARD.encode(value).into();
    }
    secret
}

impl InCluster {
    /// With class `cloudflare`, Gateway `web`, this HTTPRoute, and a Secret `token`.
    pub(crate) async fn with_route(name: &str) -> Self {
        Self::of(&[
            ("gatewayclasses", class("cloudflare", None)),
            ("gateways", gateway_of("cloudflare", "web")),
            ("httproutes", route(name, &json!([]))),
            ("secrets", secret("token", &[("key", "value")])),
        ])
        .await
    }

    /// With these objects. Waits until nothing changes any more.
    pub(crate) async fn of(objects: &[(&str, Value)]) -> Self {
        let server = ApiServer::start().await;
        for (plural, object) in objects {
            server.put(plural, object.clone());
        }
        let stop = CancellationToken::new();
        let options = ClusterOptions {
            times: WatchTimes {
                debounce: Duration::from_millis(5),
                ..WatchTimes::default()
            },
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(server.client(), options, stop.clone());
        let leadership = Arc::new(FixedLeadership::default());
        let started = Self {
            finalizers: Finalizers::new(server.client()),
            statuses: Statuses::new(server.client(), cluster.clone(), leadership),
            credentials: SecretCredentials::new(server.client(), cluster.clone()),
            server,
            cluster,
            _stop: stop.drop_guard(),
        };
        loop {
            started.cluster.snapshot().await;
            let changed = tokio::time::timeout(QUIET, started.cluster.changed()).await;
            if changed.is_err() {
                return started;
            }
        }
    }

    pub(crate) fn put_route(&self, name: &str, parents: &Value) {
        self.server.put("httproutes", route(name, parents));
    }
}

fn route(name: &str, parents: &Value) -> Value {
    object(
        GATEWAY_API,
        "HTTPRoute",
        name,
        &json!({ "parentRefs": parents }),
    )
}

/// Deployments of the Gateways `one` and `other`, which become ready at once.
pub(crate) struct AsDeployments {
    server: workloads_server::ApiServer,
    pub(crate) client: adapter_kubernetes::Client,
    pub(crate) workloads: Arc<Deployments>,
    _authority: watch::Sender<String>,
    _stop: DropGuard,
}

impl AsDeployments {
    pub(crate) async fn start() -> Self {
        let (server, client) = workloads_server::ApiServer::start().await;
        for name in ["one", "other"] {
            server.put("gateways", gateway_of("cloudflare", name));
        }
        let authority = watch::Sender::new("-----BEGIN CERTIFICATE-----\n".to_owned());
        let options = WorkloadOptions {
            image: "registry.example.com/cfgw:1".to_owned(),
            namespaces: None,
            network: None,
            image_pull_secrets: Vec::new(),
            controller_namespace: "cfgw-system".to_owned(),
            stream_address: "cfgw.cfgw-system.svc:8443".to_owned(),
            stream_audience: "audience".to_owned(),
            authority: authority.subscribe(),
            edge_roots: None,
            proxy_environment: BTreeMap::new(),
            drain: Duration::from_secs(30),
            changed: Arc::new(Notify::new()),
            connections: Arc::new(|_| BTreeMap::new()),
        };
        let stop = CancellationToken::new();
        let until = stop.clone();
        let runner = server.clone();
        tokio::spawn(async move { until.run_until_cancelled(make_ready(runner)).await });
        Self {
            workloads: Deployments::new(client.clone(), options),
            client,
            server,
            _authority: authority,
            _stop: stop.drop_guard(),
        }
    }

    /// The Deployments of a tunnel, each by the credentials of its pods.
    pub(crate) fn joined_by_deployments(&self, tunnel: TunnelId) -> BTreeSet<String> {
        let (deployments, secrets) = (self.server.all("deployments"), self.server.all("secrets"));
        let is_in = |deployment: &&Value| {
            let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
            let mut annotations = annotations.as_object().into_iter().flatten();
            annotations.any(|(_, value)| *value == tunnel.to_string())
        };
        let of = |deployment: &Value| {
            let name = &deployment["metadata"]["name"];
            let mut secrets = secrets.iter();
            let secret = secrets.find(|secret| secret["metadata"]["name"] == *name);
            secret.expect("the Secret of a Deployment")["data"].to_string()
        };
        deployments.iter().filter(is_in).map(of).collect()
    }
}

/// What Kubernetes does for Deployments.
async fn make_ready(server: workloads_server::ApiServer) {
    loop {
        let ready = |deployment: &mut Value| {
            deployment["status"] = json!({ "readyReplicas": deployment["spec"]["replicas"] });
        };
        server.change_each("deployments", |_| true, ready);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
