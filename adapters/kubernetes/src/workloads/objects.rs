//! The objects of a Gateway's proxies, as they are applied.

use std::collections::BTreeMap;

use domain::gateway::{FieldError, HorizontalAutoscaling, Replica, VerticalAutoscaling};
use domain::workload::{ManagedObject, Replicas};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::blueprint::{AUTHORITY_FILE, Blueprint, EDGE_ROOTS_FILE, bytes};
use super::names::{self, ALIKE, CLASS_NAME_LABEL, REPLICA_LABEL};
use super::{patches, pod, scaling};

/// How long a new pod may take until it is ready, before the Deployment says that it gets on no more.
const PROGRESS_SECONDS: u32 = 600;

/// Kinds that are made for a Gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ServiceAccount,
    Secret,
    Deployment,
    PodDisruptionBudget,
    NetworkPolicy,
    VerticalPodAutoscaler,
    HorizontalPodAutoscaler,
}

impl Kind {
    pub(super) fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            // Not of Kubernetes itself; a cluster may be without.
            Self::VerticalPodAutoscaler => ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler"),
                "verticalpodautoscalers",
            ),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        }
    }
}

/// An object as it should be.
pub(super) struct Desired {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) object: Value,
    /// What decides about `spec.replicas` besides the object.
    pub(super) scaled: Option<HorizontalAutoscaling>,
}

impl Desired {
    /// The object, for people.
    pub(super) fn managed(&self) -> ManagedObject {
        let resource = self.kind.resource();
        ManagedObject {
            api_version: resource.api_version,
            kind: resource.kind,
            name: self.name.clone(),
        }
    }
}

/// What is to be applied for a Gateway.
pub(super) struct Plan {
    /// In the order in which they are applied: what pods need comes before them. Without Deployments where the patches
    /// cannot be carried out.
    pub(super) objects: Vec<Desired>,
    /// Of the Deployments, by name.
    pub(super) autoscalers: Vec<Desired>,
    /// What is to be told of the parameters.
    pub(super) told: Vec<FieldError>,
    /// Whether the patches could be carried out. If not, the Deployments that are there stay as they are.
    pub(super) is_whole: bool,
}

impl Blueprint<'_> {
    pub(super) fn plan(&self) -> Plan {
        let mut objects = vec![self.service_account(), self.secret()];
        objects.extend(self.network_policy());
        let mut told = Vec::new();
        let deployments = self.deployments(&mut told);
        let is_whole = deployments.is_ok();
        let autoscalers = match &deployments {
            Ok(deployments) => self.autoscalers(deployments),
            Err(_) => Vec::new(),
        };
        match deployments {
            Ok(deployments) => objects.extend(deployments),
            Err(problem) => told.push(problem),
        }
        objects.push(self.disruption_budget());
        Plan {
            objects,
            autoscalers,
            told,
            is_whole,
        }
    }

    /// Patched and placed. An error is the operation that cannot be carried out.
    fn deployments(&self, told: &mut Vec<FieldError>) -> Result<Vec<Desired>, FieldError> {
        let replicas: Vec<(Option<&Replica>, u32)> = match &self.spec.replicas {
            Replicas::Alike(count) => vec![(None, *count)],
            Replicas::Named(replicas) => replicas.iter().map(|it| (Some(it), 1)).collect(),
        };
        let patches = self.spec.tunnel.patches.as_deref().unwrap_or_default();
        let alike = replicas.len();
        let mut deployments = Vec::new();
        for (replica, count) in replicas {
            let mut deployment = self.deployment(replica, count);
            if !patches.is_empty() {
                let patched = patches::patched(&deployment.object, patches, alike)?;
                deployment.object = patched.object;
                // The same operations on much the same object weaken the same.
                *told = patched.weakened;
            }
            if let Some(replica) = replica {
                pod::place(&mut deployment.object["spec"]["template"]["spec"], replica);
            }
            deployments.push(deployment);
        }
        Ok(deployments)
    }

    fn autoscalers(&self, deployments: &[Desired]) -> Vec<Desired> {
        let mut autoscalers = Vec::new();
        for deployment in deployments {
            let name = &deployment.name;
            let label = &deployment.object["metadata"]["labels"][REPLICA_LABEL];
            let labels = [(REPLICA_LABEL, label.as_str().unwrap_or(ALIKE))];
            let mut add = |kind, body| {
                autoscalers.push(self.desired(kind, name.clone(), &labels, body));
            };
            if let Some(policy) = self.vertical() {
                add(Kind::VerticalPodAutoscaler, scaling::vertical(name, policy));
            }
            if let Some(policy) = self.horizontal() {
                let body = scaling::horizontal(name, policy);
                add(Kind::HorizontalPodAutoscaler, body);
            }
        }
        autoscalers
    }

    fn vertical(&self) -> Option<&VerticalAutoscaling> {
        let autoscaling = self.spec.tunnel.autoscaling.as_ref();
        autoscaling.and_then(|it| it.vertical.as_ref())
    }

    fn horizontal(&self) -> Option<HorizontalAutoscaling> {
        let autoscaling = self.spec.tunnel.autoscaling.as_ref();
        autoscaling.and_then(|it| it.horizontal)
    }

    fn gateway(&self) -> &str {
        &self.owner.gateway.name
    }

    /// The infrastructure's labels with ours over them.
    fn labels(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut labels = self.spec.infrastructure.labels.clone();
        labels.extend(names::labels(self.gateway()));
        if !self.spec.class.is_empty() {
            let class = names::shortened(&self.spec.class);
            labels.insert(CLASS_NAME_LABEL.to_owned(), class);
        }
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
        Desired {
            kind,
            name,
            object,
            scaled: None,
        }
    }

    fn service_account(&self) -> Desired {
        let body = json!({"automountServiceAccountToken": false});
        let name = names::object_name(self.gateway());
        self.desired(Kind::ServiceAccount, name, &[], body)
    }

    fn secret(&self) -> Desired {
        let mut data = self.tokens();
        data.insert(AUTHORITY_FILE.to_owned(), bytes(self.authority));
        if let Some(roots) = &self.options.edge_roots {
            data.insert(EDGE_ROOTS_FILE.to_owned(), bytes(roots));
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

    fn network_policy(&self) -> Option<Desired> {
        let rules = self.options.network.as_ref()?;
        let pods = json!(names::pod_labels(self.gateway()));
        let outside = &self.spec.outside_ports;
        let body = rules.policy(&pods, &self.options.controller_namespace, outside);
        let name = names::object_name(self.gateway());
        Some(self.desired(Kind::NetworkPolicy, name, &[], body))
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
        let pods = &self.spec.tunnel.pods;
        let mut annotations = self.spec.infrastructure.annotations.clone();
        annotations.extend(pods.annotations.clone().unwrap_or_default());
        let mut labels = pods.labels.clone().unwrap_or_default();
        labels.extend(self.labels(&[replica_label]));
        annotations.insert(pod::TUNNEL_ANNOTATION.to_owned(), self.tunnel.to_string());
        let body = json!({"spec": {
            "replicas": count,
            "minReadySeconds": self.spec.min_ready_seconds,
            // Kubernetes takes it only where it is the longer of the two.
            "progressDeadlineSeconds": self.spec.min_ready_seconds + PROGRESS_SECONDS,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": annotations,
                },
                "spec": pod::spec(self, replica),
            },
        }});
        Desired {
            scaled: self.horizontal(),
            ..self.desired(Kind::Deployment, name, &[replica_label], body)
        }
    }
}
