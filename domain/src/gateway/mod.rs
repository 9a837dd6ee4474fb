//! What the cluster says, as values. Everything a user can write has a place here, malformed or not:
//! bad input is a [`FieldError`] that becomes a condition, never an error that stops others.
//!
//! Names follow the Gateway API (v1.7).

mod address;
mod api_kind;
mod backend;
mod backend_tls;
mod backend_traffic;
mod class;
mod cors;
mod dns_policy;
mod endpoints;
mod exposure;
mod external;
mod external_auth;
mod frontend;
mod grant;
pub mod header_names;
mod listener;
mod listener_set;
mod mirror;
mod parameters;
mod pattern;
mod reconciling;
mod retry;
mod route;
mod session;
mod tenant;
mod trust_bundle;
mod tunnel;

pub use address::RequestedAddress;
pub use api_kind::{ApiKind, SERVED_RELEASES};
pub use backend::{BackendKind, BackendName, MULTICLUSTER_GROUP, SERVICE_IMPORT_KIND};
pub use backend_tls::{
    BACKEND_TLS_POLICY_KIND, BackendTlsPolicy, PolicyTarget, SubjectName, TrustSource,
};
pub use backend_traffic::{
    BACKEND_TRAFFIC_POLICY_KIND, BackendSession, BackendTrafficPolicy, EXPERIMENTAL_GROUP,
    RetryConstraint,
};
pub use class::{ACCOUNT_ID_KEY, API_TOKEN_KEY, Gateway, GatewayClass, GatewayPart};
pub use cors::{Cors, MalformedOrigin, NameList, OriginHost, OriginPattern};
pub use dns_policy::{
    Adoption, CONFIRM_REMOVAL, DnsPolicy, DnsSelection, DriftPolicy, LONGEST_CODE, MOST_ADOPTIONS,
    MOST_ZONE_IDS, RecordSettings,
};
pub use endpoints::{
    AppProtocol, Endpoint, EndpointHost, EndpointSlice, Namespace, Service, ServiceImport,
    ServicePort,
};
pub use exposure::{
    Exposure, HOSTNAME_ANNOTATION, LOAD_BALANCER_CLASS, MOST_EXPOSED_HOSTNAMES, PORT_ANNOTATION,
    ServiceParameters,
};
pub use external::{EXTERNAL_BACKEND_KIND, ExternalBackend, ExternalHosts, not_external};
pub use external_auth::{AuthProtocol, ExternalAuth, MOST_FORWARDED_BODY};
pub use frontend::{FrontendMode, FrontendTls, FrontendValidation};
pub use grant::{GrantFrom, GrantTo, ReferenceGrant};
pub use header_names::UnderscoredHeaders;
pub use listener::{
    AllowedKind, AllowedNamespaces, LabelSelector, Listener, ListenerTls, Protocol, SelectorRule,
};
pub use listener_set::{LISTENER_SET_KIND, ListenerSet};
pub use mirror::{Mirror, Share};
pub use parameters::{
    DashboardRules, DeletionPolicy, GatewayParameters, Infrastructure, RecordParameters, Replica,
    Resources, RotationParameters, RoutingType,
};
pub(crate) use pattern::Automaton;
#[cfg(test)]
pub(crate) use pattern::COMPILATIONS;
pub use pattern::{Pattern, PatternBudget, PatternRoom, UnusablePattern};
pub use reconciling::{
    RECONCILE_ANNOTATION, RECONCILE_EVERY_ANNOTATION, RECONCILE_REQUEST_ANNOTATION, Reconciling,
};
pub(crate) use reconciling::{SHORTEST_INTERVAL, how_to_let_go, is_suspended};
pub use retry::Retry;
pub use route::{
    BackendRef, CallMatch, FeatureUse, Filter, FilterRef, HeaderMatch, HeaderModifier,
    HttpPathModifier, ParentRef, PathMatch, QueryMatch, Redirect, Rewrite, Route, RouteKind,
    RouteMatch, RouteSource, Rule, RulePolicy, TextMatch, Timeouts,
};
pub use session::{Session, SessionCarrier, SessionCookie, SessionKey};
pub use tenant::{AllowedKeys, KeyPattern, Tenant};
pub use trust_bundle::{ClusterTrustBundle, TRUST_BUNDLE_GROUP, TRUST_BUNDLE_KIND};
pub use tunnel::{
    Autoscaling, HorizontalAutoscaling, Json, MOST_CONNECTORS, PatchOperation, PodParameters,
    ProxySettings, TunnelParameters, VerticalAutoscaling,
};

/// API group of Gateway, HTTPRoute and their kin.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// Controller name that our GatewayClasses carry.
pub const CONTROLLER_NAME: &str = "cloudflare-gateway-controller.io/controller";

/// API group of our own kinds.
pub const OWN_GROUP: &str = "cloudflare-gateway-controller.io";

/// Kind that `Gateway.spec.infrastructure.parametersRef` and `GatewayClass.spec.parametersRef` may name, in group
/// [`OWN_GROUP`].
pub const PARAMETERS_KIND: &str = "CloudflareGatewayParameters";

/// Kind of the object that tells how a Gateway is doing.
pub const GATEWAY_STATUS_KIND: &str = "CloudflareGatewayStatus";

/// Something in an object that cannot be acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldError {
    /// Path of the field, e.g. `spec.rules[0].filters[1].cors`.
    pub field: String,
    /// Whether the value is wrong, or right and not served here.
    pub kind: FieldErrorKind,
    /// What is wrong and how to mend it, as a sentence without the field's name.
    pub message: String,
}

/// How a [`FieldError`] came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldErrorKind {
    /// Breaks a rule of the API.
    Invalid,
    /// Valid, but not served by this version.
    Unsupported,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
