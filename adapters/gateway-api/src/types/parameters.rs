use std::collections::BTreeMap;

use serde_json::Value;

use super::{LabelSelector, api_type};

api_type! {
    /// `CloudflareGatewayParameters.spec`.
    ParametersSpec {
        secret_ref: Option<LocalSecretReference>,
        dns: Option<ParametersDns>,
        certificates: Option<ParametersCertificates>,
        tunnel: Option<ParametersTunnel>,
        tenants: Option<Vec<ParametersTenant>>,
    }
}

api_type! {
    /// One of `spec.tenants`.
    ParametersTenant {
        namespace_selector: Option<LabelSelector>,
        hostnames: Option<Vec<String>>,
        certificates: Option<TenantCertificates>,
        max_gateways: Option<i64>,
        infrastructure: Option<TenantInfrastructure>,
    }
}

api_type! {
    /// `spec.tenants[].certificates`.
    TenantCertificates {
        upload: Option<String>,
    }
}

api_type! {
    /// `spec.tenants[].infrastructure`.
    TenantInfrastructure {
        labels: Option<Vec<String>>,
        annotations: Option<Vec<String>>,
        node_selector: Option<String>,
    }
}

api_type! {
    /// A Secret in the namespace of the object that names it.
    LocalSecretReference {
        name: String,
    }
}

api_type! {
    /// `spec.dns`.
    ParametersDns {
        enabled: Option<bool>,
        zones: Option<Vec<ParametersZone>>,
    }
}

api_type! {
    /// `spec.certificates`.
    ParametersCertificates {
        upload: Option<bool>,
    }
}

api_type! {
    /// One of `spec.dns.zones`.
    ParametersZone {
        name: String,
    }
}

api_type! {
    /// `spec.tunnel`. What is a bare value here is accepted and has no effect yet.
    ParametersTunnel {
        replicas: Option<Vec<ParametersReplica>>,
        resources: Option<ResourceRequirements>,
        min_ready_seconds: Option<i64>,
        token: Option<ParametersToken>,
        autoscaling: Option<Value>,
        patches: Option<Value>,
    }
}

api_type! {
    /// One of `spec.tunnel.replicas`.
    ParametersReplica {
        name: String,
        zone: Option<String>,
        node_selector: BTreeMap<String, String>,
        affinity: Option<Value>,
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
        rotation: Option<Value>,
    }
}
