//! CloudflareGatewayParameters: what a Gateway may say about itself beyond the Gateway API.

use std::collections::BTreeMap;

use super::Defect;
use crate::edge::DnsPolicy;
use crate::names::{ObjectKey, ObjectRef};
use crate::workload::{Replica, Resources};

/// A CloudflareGatewayParameters object. What is absent in it takes the controller's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayParameters {
    /// Namespace and name. Only Gateways of its namespace can name it.
    pub key: ObjectKey,
    /// `spec.secretRef`: the Secret with the Cloudflare credentials, in the same namespace.
    pub credentials: Option<ObjectRef>,
    /// `spec.dns`: for which hostnames records are made.
    pub dns: Option<DnsPolicy>,
    /// `spec.certificates.upload`: whether certificates of listeners are uploaded.
    pub upload_certificates: Option<bool>,
    /// `spec.tunnel.replicas`; an empty list asks for no proxy at all.
    pub replicas: Option<Vec<Replica>>,
    /// `spec.tunnel.resources`; replaces the default as a whole.
    pub resources: Option<Resources>,
    /// `spec.tunnel.minReadySeconds`.
    pub min_ready_seconds: Option<u32>,
    /// What is wrong, or right and not acted upon. The former refuses the Gateway, the latter is reported.
    pub defects: Vec<Defect>,
}

/// `Gateway.spec.infrastructure.labels` and `annotations`: for every object that is made for the Gateway
/// (GEP-1867).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Infrastructure {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}
