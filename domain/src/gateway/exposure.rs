//! Services that ask, without a route of their own, to be reached through a Gateway.

use super::{FieldError, LabelSelector};
use crate::names::{Hostname, ObjectKey, Timestamp};

/// Annotation of a Service: the hostnames under which it is to be reached, separated by commas.
pub const HOSTNAME_ANNOTATION: &str = "cloudflare-gateway-controller.io/hostname";

/// Annotation of a Service: the number or name of the port that requests go to.
pub const PORT_ANNOTATION: &str = "cloudflare-gateway-controller.io/port";

/// `spec.loadBalancerClass` of the Services whose load balancer is the default Gateway.
pub const LOAD_BALANCER_CLASS: &str = "cloudflare-gateway-controller.io/tunnel";

/// Hostnames in the annotation of a Service, at most.
pub const MOST_EXPOSED_HOSTNAMES: usize = 16;

/// What a Service asks for by its annotations, or by its `loadBalancerClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// `metadata.generation`; Kubernetes gives Services none, so 0.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none.
    pub created: Timestamp,
    /// From [`HOSTNAME_ANNOTATION`]. Malformed ones are field errors, not listed here.
    pub hostnames: Vec<Hostname>,
    /// Number of the port that requests go to. `None` with a field error where it is not plain which.
    pub port: Option<u16>,
    /// Whether the Service is of type LoadBalancer and of [`LOAD_BALANCER_CLASS`]: then its `status.loadBalancer`
    /// is ours to write.
    pub is_load_balancer: bool,
    /// What cannot be acted upon.
    pub field_errors: Vec<FieldError>,
}

/// `spec.services` of the CloudflareGatewayParameters that a GatewayClass names: where Services that ask to be exposed
/// go, and which may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceParameters {
    /// `gateway`: the default Gateway of the class.
    pub gateway: ObjectKey,
    /// `namespaceSelector`: namespaces whose Services may. `None`: that of the Gateway alone.
    pub namespaces: Option<LabelSelector>,
}
