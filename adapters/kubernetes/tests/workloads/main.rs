//! Proxies as Deployments, against an API server of the test's own.

mod api_server;
mod lifecycle;
mod network;
mod ownership;
mod patches;
mod rollout;
mod scaling;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter_kubernetes::workloads::{
    ConnectionsOfPods, Deployments, NetworkRules, WorkloadOptions,
};
use domain::gateway::Replica;
use domain::ports::{PortError, Workloads};
use domain::secret::{ConnectorToken, TokenHash};
use domain::workload::{EdgeConnections, Replicas, WorkloadSpec, WorkloadStatus};
use domain::{ObjectKey, TunnelId};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use api_server::ApiServer;

/// What must never be seen outside of a Secret.
pub(crate) const TOKEN: &str = "eyJhIjoiY2FuYXJ5In0=";

/// A Gateway `shop/web`, and what runs its proxies.
pub(crate) struct Stage {
    pub(crate) server: ApiServer,
    pub(crate) workloads: Arc<Deployments>,
    pub(crate) authority: watch::Sender<String>,
    pub(crate) changed: Arc<Notify>,
    held: Held,
}

pub(crate) fn web() -> ObjectKey {
    ObjectKey::new("shop", "web")
}

pub(crate) fn tunnel(number: u8) -> TunnelId {
    TunnelId::from_bytes([number; 16])
}

pub(crate) fn named(names: &[&str]) -> WorkloadSpec {
    let replica = |name: &&str| Replica {
        name: (*name).to_owned(),
        ..Replica::default()
    };
    WorkloadSpec {
        replicas: Replicas::Named(names.iter().map(replica).collect()),
        ..WorkloadSpec::default()
    }
}

/// With which tokens pods hold connections, by name.
type Held = Arc<Mutex<BTreeMap<String, BTreeSet<TokenHash>>>>;

fn connections_of(held: &Held) -> Arc<ConnectionsOfPods> {
    let held = held.clone();
    Arc::new(move |_| {
        let held = held.lock().expect("lock").clone().into_iter();
        let over_http2 = |tokens| EdgeConnections {
            tokens,
            http2: 4,
            quic: 0,
        };
        held.map(|(pod, tokens)| (pod, over_http2(tokens)))
            .collect()
    })
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::with_network(None).await
    }

    pub(crate) async fn with_network(network: Option<NetworkRules>) -> Self {
        let (server, client) = ApiServer::start().await;
        let authority = watch::Sender::new("-----BEGIN CERTIFICATE-----\n".to_owned());
        let changed = Arc::new(Notify::new());
        let held = Arc::new(Mutex::default());
        let options = WorkloadOptions {
            image: "registry.example.com/cfgw:1".to_owned(),
            namespaces: None,
            network,
            image_pull_secrets: vec!["registry".to_owned()],
            controller_namespace: "cfgw-system".to_owned(),
            stream_address: "cfgw.cfgw-system.svc:8443".to_owned(),
            stream_audience: "audience".to_owned(),
            authority: authority.subscribe(),
            edge_roots: Some("roots".to_owned()),
            proxy_environment: [
                ("CFGW_TUNNEL__PROTOCOL".to_owned(), "http2".to_owned()),
                ("CFGW_ADMIN__LISTEN".to_owned(), "127.0.0.1:1".to_owned()),
            ]
            .into(),
            drain: Duration::from_secs(30),
            changed: changed.clone(),
            connections: connections_of(&held),
        };
        let stage = Self {
            server,
            workloads: Deployments::new(client, options),
            authority,
            changed,
            held,
        };
        stage.gateway("web");
        stage
    }

    /// A Gateway of this name in namespace `shop`.
    pub(crate) fn gateway(&self, name: &str) {
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}")}});
        self.server.put("gateways", gateway);
    }

    pub(crate) async fn ensure(&self, spec: &WorkloadSpec) -> Result<WorkloadStatus, PortError> {
        self.ensure_in(tunnel(1), TOKEN, spec).await
    }

    pub(crate) async fn ensure_in(
        &self,
        tunnel: TunnelId,
        token: &str,
        spec: &WorkloadSpec,
    ) -> Result<WorkloadStatus, PortError> {
        let token = ConnectorToken::new(token);
        self.workloads.ensure(&web(), spec, tunnel, &token).await
    }

    /// Runs the proxy of Gateway `shop/web` in its default shape, and forgets the writes.
    pub(crate) async fn run(&self) {
        let made = self.ensure(&WorkloadSpec::default()).await;
        made.expect("a proxy that runs");
        self.server.writes();
    }

    pub(crate) fn object(&self, resource: &str, name: &str) -> Value {
        let found = self.server.get(resource, name);
        found.unwrap_or_else(|| panic!("no {resource}/{name}"))
    }

    /// As a Deployment whose pods are ready.
    pub(crate) fn becomes_ready(&self, deployment: &str) {
        self.server.change("deployments", deployment, |object| {
            let replicas = object["spec"]["replicas"].clone();
            object["status"] = json!({"readyReplicas": replicas});
        });
    }
}

pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
