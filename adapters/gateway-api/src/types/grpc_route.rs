use super::{BackendRef, HTTPHeaderMatch, HTTPRouteFilter, SessionPersistence, api_type};

api_type! {
    /// One of `GRPCRoute.spec.rules`.
    GRPCRouteRule {
        name: Option<String>,
        matches: Vec<GRPCRouteMatch>,
        filters: Vec<HTTPRouteFilter>,
        backend_refs: Vec<BackendRef>,
        session_persistence: Option<SessionPersistence>,
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
