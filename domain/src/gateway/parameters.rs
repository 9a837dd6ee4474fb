//! CloudflareGatewayParameters: what a Gateway may say about itself beyond the Gateway API, and what a
//! GatewayClass says for all of its Gateways.

use std::collections::BTreeMap;

use super::{Defect, Tenant};
use crate::edge::DnsPolicy;
use crate::names::{ObjectKey, ObjectRef};
use crate::workload::{Replica, Resources};

/// A CloudflareGatewayParameters object. What is absent in that of a Gateway is taken from that of its
/// GatewayClass, and else from the controller's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayParameters {
    /// Namespace and name. Gateways of its namespace can name it, and any GatewayClass.
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
    /// `spec.tenants`: what which namespaces may have; `None` where nothing is restricted. It counts only in the
    /// object that a GatewayClass names.
    pub tenants: Option<Vec<Tenant>>,
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
