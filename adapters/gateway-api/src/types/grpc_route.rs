use super::{BackendRef, HTTPHeaderFilter, HTTPHeaderMatch, ParentReference, api_type};

api_type! {
    /// `GRPCRoute.spec`.
    GRPCRouteSpec {
        parent_refs: Vec<ParentReference>,
        hostnames: Vec<String>,
        rules: Option<Vec<GRPCRouteRule>>,
    }
}

api_type! {
    /// One of `GRPCRoute.spec.rules`.
    GRPCRouteRule {
        name: Option<String>,
        matches: Vec<GRPCRouteMatch>,
        filters: Vec<GRPCRouteFilter>,
        backend_refs: Vec<BackendRef>,
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

api_type! {
    /// One of `rule.filters`. Kinds of filter that are not served have no field.
    GRPCRouteFilter {
        r#type: String,
        request_header_modifier: Option<HTTPHeaderFilter>,
    }
}
