use std::collections::BTreeMap;

use super::{
    LabelSelector, LocalParametersReference, ParametersReference, SecretObjectReference, api_type,
};

api_type! {
    /// `GatewayClass.spec`.
    GatewayClassSpec {
        controller_name: String,
        parameters_ref: Option<ParametersReference>,
        description: Option<String>,
    }
}

api_type! {
    GatewaySpec {
        gateway_class_name: String,
        listeners: Vec<Listener>,
        infrastructure: Option<GatewayInfrastructure>,
    }
}

api_type! {
    /// `Gateway.spec.infrastructure`.
    GatewayInfrastructure {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        parameters_ref: Option<LocalParametersReference>,
    }
}

api_type! {
    /// One of `Gateway.spec.listeners`.
    Listener {
        name: String,
        hostname: Option<String>,
        port: i64,
        protocol: String,
        tls: Option<ListenerTLSConfig>,
        allowed_routes: Option<AllowedRoutes>,
    }
}

api_type! {
    /// `listener.tls`.
    ListenerTLSConfig {
        mode: Option<String>,
        certificate_refs: Vec<SecretObjectReference>,
    }
}

api_type! {
    /// `listener.allowedRoutes`.
    AllowedRoutes {
        namespaces: Option<RouteNamespaces>,
        kinds: Vec<RouteGroupKind>,
    }
}

api_type! {
    /// `listener.allowedRoutes.namespaces`.
    RouteNamespaces {
        from: Option<String>,
        selector: Option<LabelSelector>,
    }
}

api_type! {
    /// One of `listener.allowedRoutes.kinds`.
    RouteGroupKind {
        group: Option<String>,
        kind: String,
    }
}
