use serde_json::Value;

use super::{BackendObjectReference, BackendRef, api_type};

api_type! {
    /// One of `HTTPRoute.spec.rules`.
    HTTPRouteRule {
        name: Option<String>,
        matches: Vec<HTTPRouteMatch>,
        filters: Vec<HTTPRouteFilter>,
        backend_refs: Vec<BackendRef>,
        timeouts: Option<HTTPRouteTimeouts>,
        retry: Option<HTTPRouteRetry>,
        session_persistence: Option<SessionPersistence>,
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
    /// `rule.retry`.
    HTTPRouteRetry {
        codes: Vec<i64>,
        attempts: Option<i64>,
        backoff: Option<String>,
    }
}

api_type! {
    /// `rule.sessionPersistence`: `sessionName`, `idleTimeout` and `cookieConfig` are of v1.6 and before, `cookie` and `header`
    /// of v1.7.
    SessionPersistence {
        session_name: Option<String>,
        absolute_timeout: Option<String>,
        idle_timeout: Option<String>,
        r#type: Option<String>,
        cookie_config: Option<SessionCookieConfig>,
        cookie: Option<SessionCookieConfig>,
        header: Option<SessionHeaderConfig>,
    }
}

api_type! {
    /// `sessionPersistence.cookieConfig`, which has a lifetime only, and `sessionPersistence.cookie`.
    SessionCookieConfig {
        name: Option<String>,
        path: Option<String>,
        lifetime_type: Option<String>,
    }
}

api_type! {
    /// `sessionPersistence.header`.
    SessionHeaderConfig {
        name: String,
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
        request_mirror: Option<HTTPRequestMirrorFilter>,
        extension_ref: Option<Value>,
        request_redirect: Option<HTTPRequestRedirectFilter>,
        url_rewrite: Option<HTTPURLRewriteFilter>,
        cors: Option<HTTPCORSFilter>,
        external_auth: Option<HTTPExternalAuthFilter>,
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
    /// `filter.requestMirror`.
    HTTPRequestMirrorFilter {
        backend_ref: BackendObjectReference,
        percent: Option<i64>,
        fraction: Option<Fraction>,
    }
}

api_type! {
    /// A part of the whole.
    Fraction {
        numerator: i64,
        denominator: Option<i64>,
    }
}

api_type! {
    /// `filter.cors`.
    HTTPCORSFilter {
        allow_origins: Vec<String>,
        allow_credentials: Option<bool>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        max_age: Option<i64>,
    }
}

api_type! {
    /// `filter.externalAuth`.
    HTTPExternalAuthFilter {
        protocol: String,
        backend_ref: BackendObjectReference,
        grpc: Option<GRPCAuthConfig>,
        http: Option<HTTPAuthConfig>,
        forward_body: Option<ForwardBodyConfig>,
    }
}

api_type! {
    /// `externalAuth.grpc`.
    GRPCAuthConfig {
        allowed_headers: Vec<String>,
    }
}

api_type! {
    /// `externalAuth.http`.
    HTTPAuthConfig {
        path: Option<String>,
        allowed_headers: Vec<String>,
        allowed_response_headers: Vec<String>,
    }
}

api_type! {
    /// `externalAuth.forwardBody`.
    ForwardBodyConfig {
        max_size: Option<i64>,
    }
}

api_type! {
    /// `filter.urlRewrite`.
    HTTPURLRewriteFilter {
        hostname: Option<String>,
        path: Option<HTTPPathModifier>,
    }
}

api_type! {
    /// `path` of `filter.requestRedirect` and `filter.urlRewrite`.
    HTTPPathModifier {
        r#type: String,
        replace_full_path: Option<String>,
        replace_prefix_match: Option<String>,
    }
}
