//! CloudflareGatewayParameters: what a Gateway may say about itself beyond the Gateway API, and what a
//! GatewayClass says for all of its Gateways.

use std::collections::BTreeMap;

use super::{
    Adoption, DnsPolicy, DriftPolicy, ExternalHosts, FieldError, Json, ServiceParameters, Tenant,
    TunnelParameters,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, ZoneId};
use crate::rotation::Schedule;

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
    /// The rest of `spec.dns`: how records are treated.
    pub records: RecordParameters,
    /// `spec.certificates.upload`: whether certificates of listeners are uploaded.
    pub upload_certificates: Option<bool>,
    /// `spec.sharedHostnames`: whether an HTTPRoute and a GRPCRoute may have a hostname in common.
    pub shared_hostnames: Option<bool>,
    /// `spec.routingType`: where requests to a Service go.
    pub routing_type: Option<RoutingType>,
    /// `spec.dashboardRules`: what Cloudflare's dashboard shows of the routes.
    pub dashboard_rules: Option<DashboardRules>,
    /// `spec.deletionPolicy`: what becomes of what a Gateway has when it is deleted.
    pub deletion_policy: Option<DeletionPolicy>,
    /// `spec.tunnel.replicas`; an empty list asks for no proxy at all.
    pub replicas: Option<Vec<Replica>>,
    /// `spec.tunnel.resources`; replaces the default as a whole.
    pub resources: Option<Resources>,
    /// `spec.tunnel.minReadySeconds`.
    pub min_ready_seconds: Option<u32>,
    /// `spec.tunnel.token.rotation`.
    pub rotation: RotationParameters,
    /// Everything else of `spec.tunnel`.
    pub tunnel: Box<TunnelParameters>,
    /// `spec.tenants`: what which namespaces may have; `None` where nothing is restricted. It counts only in the
    /// object that a GatewayClass names.
    pub tenants: Option<Vec<Tenant>>,
    /// `spec.externalHosts`: which hosts outside of the cluster backends may be; `None` where none may. It counts only in the
    /// object that a GatewayClass names.
    pub external_hosts: Option<Vec<ExternalHosts>>,
    /// `spec.services`: which Services are exposed, and where. It counts only in the object that a GatewayClass names.
    pub services: Option<ServiceParameters>,
    /// What is wrong, or right and not acted upon. The former refuses the Gateway, the latter is reported.
    pub field_errors: Vec<FieldError>,
}

/// `spec.dns.driftPolicy`, `zoneIDs` and `adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordParameters {
    pub drift: Option<DriftPolicy>,
    pub zone_ids: Option<BTreeMap<Hostname, ZoneId>>,
    pub adopt: Option<BTreeMap<Hostname, Adoption>>,
}

/// Where requests to a Service go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoutingType {
    /// To its endpoints.
    #[default]
    Endpoint,
    /// To its cluster IP, from where a service mesh or kube-proxy sends them on. A Service without one is reached by its
    /// endpoints.
    Service,
}

/// What the rules of a tunnel, which Cloudflare's dashboard shows, say of the routes. They route nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DashboardRules {
    /// A rule for each hostname, so that another path costs no call.
    #[default]
    Hostnames,
    /// A rule for each path of each hostname.
    HostnamesAndPaths,
}

/// What becomes of what a Gateway has, in the cluster and at the edge, when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It is removed.
    #[default]
    Delete,
    /// It stays as it is, and is nobody's from then on.
    Orphan,
}

/// When the tunnel's token is replaced without a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationParameters {
    /// Whether the schedule counts.
    pub is_enabled: Option<bool>,
    pub schedule: Option<Schedule>,
}

/// `Gateway.spec.infrastructure.labels` and `annotations`: for every object that is made for the Gateway
/// (GEP-1867).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Infrastructure {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A replica with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replica {
    /// A DNS label, unique in its Gateway.
    pub name: String,
    /// Runs only in this zone (`topology.kubernetes.io/zone`).
    pub zone: Option<String>,
    /// Runs only on nodes with these labels.
    pub node_selector: BTreeMap<String, String>,
    /// `core/v1 Affinity`; never together with `zone`.
    pub affinity: Option<Json>,
}

/// Compute resources of a container, by name (`cpu`, `memory`), as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// What the scheduler sets aside.
    pub requests: BTreeMap<String, String>,
    /// What it may not pass.
    pub limits: BTreeMap<String, String>,
}

impl Default for Resources {
    /// Little to begin with; memory is bounded, so that one proxy cannot starve its node, CPU is not, because
    /// a bound slows down requests that the node has time for.
    fn default() -> Self {
        let quantity = |(name, quantity): (&str, &str)| (name.to_owned(), quantity.to_owned());
        Self {
            requests: [("cpu", "50m"), ("memory", "64Mi")].map(quantity).into(),
            limits: [("memory", "512Mi")].map(quantity).into(),
        }
    }
}
