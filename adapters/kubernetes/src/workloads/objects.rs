//! The objects of a Gateway's proxies, as they are applied.

use std::collections::BTreeMap;

use domain::gateway::Replica;
use domain::secret::ConnectorToken;
use domain::workload::{Replicas, WorkloadSpec};
use domain::{ObjectKey, TunnelId};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::WorkloadOptions;
use super::names::{self, ALIKE, REPLICA_LABEL};
use super::pod;

/// Keys of a Gateway's Secret, and names of the files in its pods.
pub(super) const TOKEN_FILE: &str = "tunnel-token";
pub(super) const AUTHORITY_FILE: &str = "controller-ca.crt";
pub(super) const EDGE_ROOTS_FILE: &str = "edge-ca.crt";

/// Kinds that are made for a Gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ServiceAccount,
    Secret,
    Deployment,
    PodDisruptionBudget,
}

impl Kind {
    pub(super) fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
        }
    }
}

/// An object as it should be.
pub(super) struct Desired {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) object: Value,
}

/// The Gateway that objects belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) gateway: ObjectKey,
    pub(super) uid: String,
}

/// All that the objects of one Gateway are made from.
pub(super) struct Blueprint<'a> {
    pub(super) options: &'a WorkloadOptions,
    pub(super) owner: &'a Owner,
    pub(super) spec: &'a WorkloadSpec,
    pub(super) tunnel: TunnelId,
    pub(super) token: &'a ConnectorToken,
    pub(super) authority: &'a str,
}

impl Blueprint<'_> {
    /// In the order in which they are applied: what pods need comes before them.
    pub(super) fn objects(&self) -> Vec<Desired> {
        let mut objects = vec![self.service_account(), self.secret()];
        match &self.spec.replicas {
            Replicas::Alike(count) => objects.push(self.deployment(None, *count)),
            Replicas::Named(replicas) => {
                let named = replicas.iter();
                objects.extend(named.map(|replica| self.deployment(Some(replica), 1)));
            }
        }
        objects.push(self.disruption_budget());
        objects
    }

    fn gateway(&self) -> &str {
        &self.owner.gateway.name
    }

    /// The infrastructure's labels with ours over them.
    fn labels(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut labels = self.spec.infrastructure.labels.clone();
        labels.extend(names::labels(self.gateway()));
        let more = more.iter();
        labels.extend(more.map(|(label, value)| ((*label).to_owned(), (*value).to_owned())));
        labels
    }

    fn desired(&self, kind: Kind, name: String, labels: &[(&str, &str)], body: Value) -> Desired {
        let resource = kind.resource();
        let mut object = body;
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(resource.kind);
        object["metadata"] = json!({
            "name": name,
            "namespace": self.owner.gateway.namespace,
            "labels": self.labels(labels),
            "annotations": self.spec.infrastructure.annotations,
            "ownerReferences": [{
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "name": self.gateway(),
                "uid": self.owner.uid,
                "controller": true,
            }],
        });
        Desired { kind, name, object }
    }

    fn service_account(&self) -> Desired {
        let body = json!({"automountServiceAccountToken": false});
        let name = names::object_name(self.gateway());
        self.desired(Kind::ServiceAccount, name, &[], body)
    }

    fn secret(&self) -> Desired {
        let mut data = BTreeMap::from([
            (TOKEN_FILE, bytes(self.token.expose())),
            (AUTHORITY_FILE, bytes(self.authority)),
        ]);
        if let Some(roots) = &self.options.edge_roots {
            data.insert(EDGE_ROOTS_FILE, bytes(roots));
        }
        let name = names::object_name(self.gateway());
        let body = json!({"type": "Opaque", "data": data});
        self.desired(Kind::Secret, name, &[], body)
    }

    /// One replica at a time may be taken away by whoever empties nodes, over all Deployments of the Gateway.
    fn disruption_budget(&self) -> Desired {
        let body = json!({"spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names::pod_labels(self.gateway())},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }});
        let name = names::object_name(self.gateway());
        self.desired(Kind::PodDisruptionBudget, name, &[], body)
    }

    /// New pods are ready before old ones go.
    fn deployment(&self, replica: Option<&Replica>, count: u32) -> Desired {
        let gateway = self.gateway();
        let name = match replica {
            None => names::object_name(gateway),
            Some(replica) => names::replica_name(gateway, &replica.name),
        };
        let replica_label = (REPLICA_LABEL, replica.map_or(ALIKE, |r| r.name.as_str()));
        let mut selector = names::pod_labels(gateway);
        selector.insert(replica_label.0.to_owned(), replica_label.1.to_owned());
        let mut annotations = self.spec.infrastructure.annotations.clone();
        annotations.insert(pod::TUNNEL_ANNOTATION.to_owned(), self.tunnel.to_string());
        let body = json!({"spec": {
            "replicas": count,
            "minReadySeconds": self.spec.min_ready_seconds,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": self.labels(&[replica_label]),
                    "annotations": annotations,
                },
                "spec": pod::spec(self, replica),
            },
        }});
        self.desired(Kind::Deployment, name, &[replica_label], body)
    }
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}
