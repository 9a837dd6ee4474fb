use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use serde_json::Value;

use super::{LocalSecretReference, api_type};

api_type! {
    /// `spec.tunnel`. What is a bare value is read where it is converted.
    ParametersTunnel {
        replicas: Option<Vec<ParametersReplica>>,
        resources: Option<ResourceRequirements>,
        min_ready_seconds: Option<i64>,
        token: Option<ParametersToken>,
        autoscaling: Option<ParametersAutoscaling>,
        patches: Option<Vec<ParametersPatch>>,
        tolerations: Option<Vec<Toleration>>,
        topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
        priority_class_name: Option<String>,
        image_pull_secrets: Option<Vec<LocalSecretReference>>,
        pod_labels: Option<BTreeMap<String, String>>,
        pod_annotations: Option<BTreeMap<String, String>>,
        log_level: Option<String>,
        protocol: Option<String>,
        grace_period: Option<String>,
        limits: Option<ParametersLimits>,
    }
}

api_type! {
    /// One of `spec.tunnel.replicas`.
    ParametersReplica {
        name: String,
        zone: Option<String>,
        node_selector: BTreeMap<String, String>,
        affinity: Option<Affinity>,
    }
}

api_type! {
    /// Compute resources of a container.
    ResourceRequirements {
        requests: BTreeMap<String, Value>,
        limits: BTreeMap<String, Value>,
    }
}

api_type! {
    /// `spec.tunnel.token`.
    ParametersToken {
        rotation: Option<ParametersRotation>,
    }
}

api_type! {
    /// `spec.tunnel.token.rotation`.
    ParametersRotation {
        enabled: Option<bool>,
        schedule: Option<ParametersSchedule>,
    }
}

api_type! {
    /// `spec.tunnel.token.rotation.schedule`.
    ParametersSchedule {
        cron: String,
        time_zone: Option<String>,
    }
}

api_type! {
    /// `spec.tunnel.autoscaling`.
    ParametersAutoscaling {
        enabled: Option<bool>,
        min_allowed: Option<BTreeMap<String, Value>>,
        max_allowed: Option<BTreeMap<String, Value>>,
        controlled_resources: Option<Vec<String>>,
        controlled_values: Option<String>,
        horizontal: Option<ParametersHorizontal>,
    }
}

api_type! {
    /// `spec.tunnel.autoscaling.horizontal`.
    ParametersHorizontal {
        min_replicas: Option<i64>,
        max_replicas: i64,
        target_in_flight_requests: i64,
    }
}

api_type! {
    /// One of `spec.tunnel.patches`.
    ParametersPatch {
        op: String,
        path: String,
        from: Option<String>,
        value: Option<Value>,
    }
}

api_type! {
    /// `spec.tunnel.limits`.
    ParametersLimits {
        max_in_flight_requests: Option<i64>,
        connect_timeout: Option<String>,
        answer_timeout: Option<String>,
        body_idle_timeout: Option<String>,
        upgrade_idle_timeout: Option<String>,
    }
}
