use serde_json::Value;

use super::{BackendRef, HTTPHeaderMatch, HTTPRouteFilter, ParentReference, api_type};

api_type! {
    /// `GRPCRoute.spec`.
    GRPCRouteSpec {
        parent_refs: Vec<ParentReference>,
        hostnames: Vec<String>,
        rules: Option<Vec<GRPCRouteRule>>,
        use_default_gateways: Option<Value>,
    }
}

api_type! {
    /// One of `GRPCRoute.spec.rules`.
    GRPCRouteRule {
        name: Option<String>,
        matches: Vec<GRPCRouteMatch>,
        filters: Vec<HTTPRouteFilter>,
        backend_refs: Vec<BackendRef>,
        session_persistence: Option<Value>,
    }
}

api_type! {
    /// One of `rule.matches`.
    GRPCRouteMatch {
        method: Option<GRPCMethodMatch>,
        headers: Vec<HTTPHeaderMatch>,
    }
}

api_type! {
    /// `match.method`.
    GRPCMethodMatch {
        r#type: Option<String>,
        service: Option<String>,
        method: Option<String>,
    }
}
