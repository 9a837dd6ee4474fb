use serde_json::Value;

use super::{BackendRef, api_type};

api_type! {
    /// One of `HTTPRoute.spec.rules`.
    HTTPRouteRule {
        name: Option<String>,
        matches: Vec<HTTPRouteMatch>,
        filters: Vec<HTTPRouteFilter>,
        backend_refs: Vec<BackendRef>,
        timeouts: Option<HTTPRouteTimeouts>,
        retry: Option<Value>,
        session_persistence: Option<Value>,
    }
}

api_type! {
    /// `rule.timeouts`.
    HTTPRouteTimeouts {
        request: Option<String>,
        backend_request: Option<String>,
    }
}

api_type! {
    /// One of `rule.matches`.
    HTTPRouteMatch {
        path: Option<HTTPPathMatch>,
        headers: Vec<HTTPHeaderMatch>,
        query_params: Vec<HTTPQueryParamMatch>,
        method: Option<String>,
    }
}

api_type! {
    /// `match.path`.
    HTTPPathMatch {
        r#type: Option<String>,
        value: Option<String>,
    }
}

api_type! {
    /// One of `match.headers`; the same for `GRPCHeaderMatch`.
    HTTPHeaderMatch {
        r#type: Option<String>,
        name: String,
        value: String,
    }
}

api_type! {
    /// One of `match.queryParams`.
    HTTPQueryParamMatch {
        r#type: Option<String>,
        name: String,
        value: String,
    }
}

api_type! {
    /// One of `filters`, of a rule or of a backend. A GRPCRoute's has fewer types.
    HTTPRouteFilter {
        r#type: String,
        request_header_modifier: Option<HTTPHeaderFilter>,
        response_header_modifier: Option<HTTPHeaderFilter>,
        request_mirror: Option<Value>,
        extension_ref: Option<Value>,
        request_redirect: Option<HTTPRequestRedirectFilter>,
        url_rewrite: Option<Value>,
        cors: Option<Value>,
        external_auth: Option<Value>,
    }
}

api_type! {
    /// `filter.requestHeaderModifier` and `filter.responseHeaderModifier`.
    HTTPHeaderFilter {
        set: Vec<HTTPHeader>,
        add: Vec<HTTPHeader>,
        remove: Vec<String>,
    }
}

api_type! {
    /// A header with its value.
    HTTPHeader {
        name: String,
        value: String,
    }
}

api_type! {
    /// `filter.requestRedirect`.
    HTTPRequestRedirectFilter {
        scheme: Option<String>,
        hostname: Option<String>,
        path: Option<HTTPPathModifier>,
        port: Option<i64>,
        status_code: Option<i64>,
    }
}

api_type! {
    /// `filter.requestRedirect.path`.
    HTTPPathModifier {
        r#type: String,
        replace_full_path: Option<String>,
        replace_prefix_match: Option<String>,
    }
}
