use super::{LabelSelector, ParametersTunnel, api_type};

api_type! {
    /// `CloudflareGatewayParameters.spec`.
    ParametersSpec {
        secret_ref: Option<LocalSecretReference>,
        dns: Option<ParametersDns>,
        certificates: Option<ParametersCertificates>,
        shared_hostnames: Option<String>,
        routing_type: Option<String>,
        dashboard_rules: Option<String>,
        deletion_policy: Option<String>,
        tunnel: Option<ParametersTunnel>,
        tenants: Option<Vec<ParametersTenant>>,
        external_hosts: Option<Vec<ParametersExternalHosts>>,
        services: Option<ParametersServices>,
    }
}

api_type! {
    /// One of `spec.externalHosts`.
    ParametersExternalHosts {
        namespace_selector: Option<LabelSelector>,
        hostnames: Option<Vec<String>>,
    }
}

api_type! {
    /// `spec.services`.
    ParametersServices {
        gateway: GatewayReference,
        namespace_selector: Option<LabelSelector>,
    }
}

api_type! {
    /// `spec.services.gateway`, by default in the namespace of the parameters.
    GatewayReference {
        namespace: Option<String>,
        name: String,
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
        patches: Option<String>,
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
        include: Option<Vec<String>>,
        exclude: Option<Vec<String>>,
        drift_policy: Option<String>,
        #[serde(rename = "zoneIDs")]
        zone_ids: Option<Vec<ParametersZoneId>>,
        adopt: Option<Vec<ParametersAdoption>>,
    }
}

api_type! {
    /// One of `spec.dns.zoneIDs`.
    ParametersZoneId {
        name: String,
        id: String,
    }
}

api_type! {
    /// One of `spec.dns.adopt`.
    ParametersAdoption {
        hostname: String,
        confirm: Option<String>,
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
