use std::collections::BTreeMap;

use serde_json::Value;

use super::{HTTPRouteFilter, api_type};

/// `spec` of an HTTPRoute or a GRPCRoute, whose rules are `R`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(
    default,
    rename_all = "camelCase",
    bound = "R: serde::Deserialize<'de> + Default"
)]
pub(crate) struct RouteSpec<R> {
    pub(crate) parent_refs: Vec<ParentReference>,
    pub(crate) hostnames: Vec<String>,
    pub(crate) rules: Option<Vec<R>>,
    pub(crate) use_default_gateways: Option<Value>,
}

api_type! {
    /// What a route attaches to.
    ParentReference {
        group: Option<String>,
        kind: Option<String>,
        namespace: Option<String>,
        name: String,
        section_name: Option<String>,
        port: Option<i64>,
    }
}

api_type! {
    /// `HTTPBackendRef` and `GRPCBackendRef`.
    BackendRef {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i64>,
        weight: Option<i64>,
        filters: Vec<HTTPRouteFilter>,
    }
}

api_type! {
    BackendObjectReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i64>,
    }
}

api_type! {
    ObjectReference {
        group: String,
        kind: String,
        name: String,
        namespace: Option<String>,
    }
}

api_type! {
    SecretObjectReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
    }
}

api_type! {
    /// Parameters of a GatewayClass, in any namespace.
    ParametersReference {
        group: String,
        kind: String,
        name: String,
        namespace: Option<String>,
    }
}

api_type! {
    /// Parameters of a Gateway, in its own namespace.
    LocalParametersReference {
        group: String,
        kind: String,
        name: String,
    }
}

api_type! {
    LabelSelector {
        match_labels: BTreeMap<String, String>,
        match_expressions: Vec<LabelSelectorRequirement>,
    }
}

api_type! {
    LabelSelectorRequirement {
        key: String,
        operator: String,
        values: Vec<String>,
    }
}
