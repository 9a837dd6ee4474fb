use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    HTTPExternalAuthFilter, LabelSelector, LocalParametersReference, ObjectReference,
    ParametersReference, SecretObjectReference, api_type,
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
        allowed_listeners: Option<AllowedListeners>,
        infrastructure: Option<GatewayInfrastructure>,
        addresses: Vec<GatewaySpecAddress>,
        tls: Option<GatewayTLSConfig>,
        default_scope: Option<String>,
    }
}

api_type! {
    /// `Gateway.spec.tls`.
    GatewayTLSConfig {
        backend: Option<GatewayBackendTLS>,
        frontend: Option<FrontendTLSConfig>,
    }
}

api_type! {
    /// `Gateway.spec.tls.frontend`.
    FrontendTLSConfig {
        default: TLSConfig,
        per_port: Vec<TLSPortConfig>,
    }
}

api_type! {
    /// `Gateway.spec.tls.frontend.default`, or `tls` of one of `perPort`.
    TLSConfig {
        validation: Option<FrontendTLSValidation>,
    }
}

api_type! {
    /// One of `Gateway.spec.tls.frontend.perPort`.
    TLSPortConfig {
        port: i64,
        tls: TLSConfig,
    }
}

api_type! {
    /// `validation` of what is asked of visitors.
    FrontendTLSValidation {
        ca_certificate_refs: Vec<ObjectReference>,
        mode: Option<String>,
    }
}

api_type! {
    /// `Gateway.spec.tls.backend`.
    GatewayBackendTLS {
        client_certificate_ref: Option<SecretObjectReference>,
    }
}

api_type! {
    /// One of `Gateway.spec.addresses`.
    GatewaySpecAddress {
        #[serde(rename = "type")]
        kind: Option<String>,
        value: String,
        routability: String,
    }
}

api_type! {
    /// `Gateway.spec.allowedListeners`.
    AllowedListeners {
        namespaces: Option<RouteNamespaces>,
    }
}

api_type! {
    /// `ListenerSet.spec`.
    ListenerSetSpec {
        parent_ref: Option<ParentGatewayReference>,
        listeners: Vec<Listener>,
    }
}

api_type! {
    /// `ListenerSet.spec.parentRef`.
    ParentGatewayReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
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
    /// One of `Gateway.spec.listeners` or `ListenerSet.spec.listeners`.
    Listener {
        name: String,
        hostname: Option<String>,
        port: i64,
        protocol: String,
        tls: Option<ListenerTLSConfig>,
        allowed_routes: Option<AllowedRoutes>,
        filters: Option<ListenerFilters>,
    }
}

api_type! {
    /// `listener.filters`.
    ListenerFilters {
        requests: Vec<ListenerFilter>,
    }
}

api_type! {
    /// One of `listener.filters.requests`.
    ListenerFilter {
        r#type: String,
        external_auth: Option<HTTPExternalAuthFilter>,
        extension_ref: Option<Value>,
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
    /// `listener.allowedRoutes.namespaces`, or `Gateway.spec.allowedListeners.namespaces`.
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
