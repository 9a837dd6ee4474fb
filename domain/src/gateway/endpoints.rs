//! Where traffic ends: Services, EndpointSlices, and the namespaces they live in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Exposure;
use crate::names::ObjectKey;

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    /// `metadata.deletionTimestamp` is set: all that it holds is about to be deleted, in no order.
    pub deleting: bool,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub key: ObjectKey,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// Names of its ports for other protocols than TCP, to which no request is sent.
    pub other_ports: Vec<String>,
    /// `spec.clusterIP`; `None` where it has none (headless).
    pub cluster_ip: Option<IpAddr>,
    /// `spec.externalName`, set for `type: ExternalName` only.
    pub external_name: Option<String>,
    /// What it asks for, where it asks to be reached through a Gateway.
    pub exposure: Option<Box<Exposure>>,
}

/// A ServiceImport: a Service of several clusters, whose endpoints stand in EndpointSlices of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceImport {
    pub key: ObjectKey,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// The first of `spec.ips`; `None` where it has none (type Headless).
    pub cluster_ip: Option<IpAddr>,
}

/// One of `spec.ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty where the Service has one unnamed port. Joins with the port name of an EndpointSlice.
    pub name: String,
    /// What a backendRef names.
    pub port: u16,
    pub protocol: AppProtocol,
}

/// `appProtocol` of a Service port (KEP-3726 names, and names of IANA).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AppProtocol {
    /// HTTP/1.1; also when nothing is written.
    Http1,
    /// `kubernetes.io/h2c`: HTTP/2 in clear text.
    H2c,
    /// `kubernetes.io/ws`: WebSocket over HTTP/1.1.
    WebSocket,
    /// `https`: HTTP/1.1 or HTTP/2 over TLS. This and the two below need a BackendTLSPolicy.
    Https,
    /// `kubernetes.io/wss`: WebSocket over HTTP/1.1 over TLS.
    Wss,
    /// `grpcs`: HTTP/2 over TLS.
    Grpcs,
    /// Anything else: such a backend resolves to UnsupportedProtocol.
    Other(String),
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    pub key: ObjectKey,
    /// From label `kubernetes.io/service-name`; empty where there is none.
    pub service: String,
    /// From label `multicluster.kubernetes.io/service-name`: the ServiceImport whose endpoints these are. Such a slice may be
    /// one of a Service too, which some controllers make beside the ServiceImport.
    pub import: Option<String>,
    /// Port name to target port.
    pub ports: BTreeMap<String, u16>,
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of a slice: takes traffic on every port of the slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// An address of the pod.
    pub host: EndpointHost,
    /// `conditions.ready`; absent counts as ready.
    pub ready: bool,
    /// `conditions.serving` while terminating; takes traffic only where no endpoint is ready.
    pub serving: bool,
}

/// Address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum EndpointHost {
    Address(IpAddr),
    /// A DNS name (addressType FQDN, a Service's externalName, or that of an XBackend).
    Name(String),
}

impl AppProtocol {
    /// Whether it says that the port is spoken to over TLS.
    pub fn needs_tls(&self) -> bool {
        matches!(self, Self::Https | Self::Wss | Self::Grpcs)
    }
}
