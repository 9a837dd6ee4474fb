//! BackendTLSPolicy: how the endpoints of a Service are spoken to over TLS, and which certificate they must have.

use super::FieldError;
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};

/// Kind of the policy, in group [`GATEWAY_GROUP`](super::GATEWAY_GROUP).
pub const BACKEND_TLS_POLICY_KIND: &str = "BackendTLSPolicy";

/// A BackendTLSPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTlsPolicy {
    pub key: ObjectKey,
    /// Whether it is `spec.tls` of an XBackend, whose key this is, and no object of its own.
    pub is_inline: bool,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none. The older of two policies for one target wins.
    pub created: Timestamp,
    /// `spec.targetRefs`, in the order written, in the policy's own namespace.
    pub targets: Vec<PolicyTarget>,
    /// Who may have issued the certificates.
    pub trust: TrustSource,
    /// `spec.validation.hostname`; `None` where it is a field error.
    pub hostname: Option<Hostname>,
    /// `spec.validation.subjectAltNames`. Malformed ones are field errors, not listed here.
    pub names: Vec<SubjectName>,
    /// What cannot be acted upon.
    pub field_errors: Vec<FieldError>,
}

/// One of `spec.targetRefs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTarget {
    /// The object, in the policy's own namespace.
    pub object: ObjectRef,
    /// Name of the only port that is meant.
    pub section: Option<String>,
}

/// Where the certificate authorities are that a policy trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustSource {
    /// `caCertificateRefs`, in the policy's own namespace.
    Objects(Vec<ObjectRef>),
    /// `wellKnownCACertificates: System`.
    System,
}

/// One of `subjectAltNames`: a certificate must have one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum SubjectName {
    /// A DNS name. A wildcard stands for one name and more before the rest.
    Hostname(Hostname),
    /// A URI, compared byte by byte.
    Uri(String),
}
