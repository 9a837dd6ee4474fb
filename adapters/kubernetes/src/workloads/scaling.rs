//! What changes the size or the number of a Gateway's pods: VerticalPodAutoscaler and HorizontalPodAutoscaler.

use std::collections::BTreeMap;

use domain::gateway::{HorizontalAutoscaling, VerticalAutoscaling};
use serde_json::{Value, json};

use super::pod::CONTAINER;

/// The metric of a proxy's pod that a HorizontalPodAutoscaler follows; whatever serves `custom.metrics.k8s.io` takes it
/// from the proxy's `/metrics`.
const IN_FLIGHT: &str = "cfgw_proxy_in_flight";

/// `spec` of the VerticalPodAutoscaler of a Deployment. Each Deployment of a named replica has one pod, and that is
/// enough to be resized: the PodDisruptionBudget counts over all of them.
pub(super) fn vertical(deployment: &str, policy: &VerticalAutoscaling) -> Value {
    let mut of_proxy = json!({"containerName": CONTAINER, "mode": "Auto"});
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            of_proxy[field] = value;
        }
    };
    let quantities = |list: &Option<BTreeMap<String, String>>| list.as_ref().map(|it| json!(it));
    set("minAllowed", quantities(&policy.min_allowed));
    set("maxAllowed", quantities(&policy.max_allowed));
    let resources = policy.controlled_resources.as_ref();
    set("controlledResources", resources.map(|it| json!(it)));
    let values = policy.controlled_values.as_ref();
    set("controlledValues", values.map(|it| json!(it)));
    json!({"spec": {
        "targetRef": target(deployment),
        "updatePolicy": {"updateMode": "InPlaceOrRecreate", "minReplicas": 1},
        "resourcePolicy": {"containerPolicies": [
            {"containerName": "*", "mode": "Off"},
            of_proxy,
        ]},
    }})
}

/// `spec` of the HorizontalPodAutoscaler of a Deployment.
pub(super) fn horizontal(deployment: &str, scaling: HorizontalAutoscaling) -> Value {
    json!({"spec": {
        "scaleTargetRef": target(deployment),
        "minReplicas": scaling.min_replicas,
        "maxReplicas": scaling.max_replicas,
        "metrics": [{"type": "Pods", "pods": {
            "metric": {"name": IN_FLIGHT},
            "target": {"type": "AverageValue", "averageValue": quantity(scaling.target_in_flight)},
        }}],
    }})
}

fn target(deployment: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment})
}

/// A number as the API server writes it, so that what is there compares equal.
fn quantity(number: u32) -> String {
    match number {
        millions if millions % 1_000_000 == 0 => format!("{}M", millions / 1_000_000),
        thousands if thousands % 1_000 == 0 => format!("{}k", thousands / 1_000),
        number => number.to_string(),
    }
}

/// How many replicas to apply where something else decides: as many as there are, within the limits. To leave the
/// number out would set it to 1 for a moment.
pub(super) fn kept(live: Option<u64>, scaling: HorizontalAutoscaling) -> u64 {
    let (least, most) = (scaling.min_replicas.into(), scaling.max_replicas.into());
    live.unwrap_or(least).clamp(least, most)
}
