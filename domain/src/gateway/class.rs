//! GatewayClass and Gateway.

use std::collections::BTreeMap;

use super::{
    AllowedNamespaces, FieldError, FrontendTls, Infrastructure, Listener, RequestedAddress,
};
use crate::names::{ObjectKey, ObjectRef, Timestamp};

/// Key of the credentials Secret that holds the Cloudflare API token.
pub const API_TOKEN_KEY: &str = "CLOUDFLARE_API_TOKEN";

/// Key of the credentials Secret that holds the id of the Cloudflare account.
pub const ACCOUNT_ID_KEY: &str = "CLOUDFLARE_ACCOUNT_ID";

/// A GatewayClass (cluster-scoped).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayClass {
    pub name: String,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// Which controller serves it. Classes of other controllers are kept out of everything.
    pub controller: String,
    /// `spec.parametersRef`: a Secret with the Cloudflare credentials of its Gateways, or the
    /// CloudflareGatewayParameters that hold for them. The namespace is the one written; an absent one is a field error.
    pub parameters: Option<ObjectRef>,
    pub field_errors: Vec<FieldError>,
}

/// A Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    pub key: ObjectKey,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none.
    pub created: Timestamp,
    /// `metadata.deletionTimestamp` of it or of its namespace is set: it is held only until it is gone at the edge.
    pub deleting: bool,
    /// `spec.gatewayClassName`.
    pub class: String,
    /// In the order written.
    pub listeners: Vec<Listener>,
    /// `spec.allowedListeners.namespaces`: whose ListenerSets may add listeners; the API's default is
    /// [`AllowedNamespaces::None`].
    pub allowed_listeners: AllowedNamespaces,
    /// `spec.infrastructure.parametersRef`, in the Gateway's own namespace.
    pub parameters: Option<ObjectRef>,
    /// `spec.addresses`, in the order written; empty where the choice is left to us.
    pub addresses: Vec<RequestedAddress>,
    /// `spec.infrastructure.labels` and `annotations`.
    pub infrastructure: Infrastructure,
    /// `spec.tls.backend.clientCertificateRef`, with the Gateway's namespace where none is written.
    pub client_certificate: Option<ObjectRef>,
    /// `spec.tls.frontend`.
    pub frontend: Option<FrontendTls>,
    /// Annotations, for the keys of our own groups.
    pub annotations: BTreeMap<String, String>,
    /// What cannot be acted upon, listeners excepted: those carry their own.
    pub field_errors: Vec<(GatewayPart, FieldError)>,
}

/// The part of a Gateway or listener that a field error is in, as far as rules depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayPart {
    /// `spec.addresses`.
    Addresses,
    /// `spec.infrastructure.parametersRef`.
    ParametersRef,
    /// `spec.listeners[].hostname`.
    ListenerHostname,
    /// `spec.listeners[].filters`.
    ListenerFilters,
    Other,
}
