//! Of the objects of a cluster, what is looked at. Fields that are absent are empty.

use std::collections::BTreeMap;

use domain::ObjectKey;
use domain::gateway::{LISTENER_SET_KIND, Reconciling};
use domain::rotation::{REQUEST_ANNOTATION, Request};
use serde::Deserialize;

/// `metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    pub namespace: String,
    pub name: String,
    pub annotations: BTreeMap<String, String>,
    pub finalizers: Vec<String>,
}

impl Metadata {
    /// Namespace and name.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }
}

/// One of `conditions`, in the API's spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// The condition of a type.
pub fn condition<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// A Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Gateway {
    pub metadata: Metadata,
    pub spec: GatewaySpec,
    pub status: GatewayConditions,
}

/// `spec` of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewaySpec {
    pub gateway_class_name: String,
}

/// `status` of a Gateway or of a ListenerSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GatewayConditions {
    pub conditions: Vec<Condition>,
    pub listeners: Vec<ListenerConditions>,
}

/// A ListenerSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ListenerSet {
    pub metadata: Metadata,
    pub spec: ListenerSetSpec,
    pub status: GatewayConditions,
}

/// `spec` of a ListenerSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListenerSetSpec {
    pub parent_ref: ParentRef,
}

/// One of `status.listeners` of a Gateway or of a ListenerSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ListenerConditions {
    pub name: String,
    pub conditions: Vec<Condition>,
}

impl Gateway {
    /// Whether its annotations suspend it.
    pub fn is_suspended(&self) -> bool {
        Reconciling::read(&self.metadata.annotations).0.is_suspended
    }

    /// The replacement of its token that was asked for last.
    pub fn rotation_request(&self) -> Option<Request> {
        Request::new(self.metadata.annotations.get(REQUEST_ANNOTATION)?)
    }
}

/// A GatewayClass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GatewayClass {
    pub metadata: Metadata,
    pub spec: GatewayClassSpec,
    pub status: GatewayConditions,
}

/// `spec` of a GatewayClass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayClassSpec {
    pub controller_name: String,
}

/// A CloudflareGatewayStatus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GatewayStatus {
    pub metadata: Metadata,
    pub status: GatewayDetails,
}

/// Its `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayDetails {
    pub conditions: Vec<Condition>,
    pub tunnel: Tunnel,
    pub ready_replicas: u32,
    pub connectors: Vec<Connector>,
    pub dns: Dns,
    pub hostnames: Vec<Hostname>,
    pub last_handled_reconcile_at: String,
}

/// `tunnel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Tunnel {
    pub id: String,
    pub name: String,
    pub token: Token,
}

/// `tunnel.token`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Token {
    /// SHA-256, in hexadecimal.
    pub hash: String,
    pub rotation: Rotation,
}

/// `tunnel.token.rotation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rotation {
    pub last_handled_rotate_at: String,
    pub last_rotated_at: String,
    pub next_rotation: String,
    pub under_way: bool,
}

/// One of `connectors`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Connector {
    pub name: String,
    pub connections: Connections,
}

/// Connections to the edge, by transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Connections {
    pub http2: u32,
    pub quic: u32,
}

/// `dns`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Dns {
    pub management: String,
    pub hostnames: u32,
    pub applied: u32,
    pub not_listed: u32,
}

/// One of `hostnames`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hostname {
    pub name: String,
    pub zone: String,
    pub record: String,
    pub certificate: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// A page of a list of objects.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    #[serde(default)]
    pub metadata: ListMetadata,
    pub items: Vec<T>,
}

/// `metadata` of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ListMetadata {
    /// Where the next page begins; empty at the end.
    pub r#continue: String,
}

/// A Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    pub metadata: Metadata,
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

/// `spec` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeploymentSpec {
    pub replicas: u32,
    pub template: PodTemplate,
}

/// `spec.template` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    pub spec: PodSpec,
}

/// `spec` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub service_account_name: String,
    pub containers: Vec<Container>,
}

/// One of `containers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Container {
    pub image: String,
    pub env: Vec<Variable>,
}

/// One of `env` of a container. A value that stands elsewhere is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

/// `status` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStatus {
    pub ready_replicas: u32,
}

/// An HTTPRoute or a GRPCRoute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Route {
    pub metadata: Metadata,
    pub status: RouteStatus,
}

/// `status` of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RouteStatus {
    pub parents: Vec<RouteParent>,
}

/// One of `status.parents`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteParent {
    pub parent_ref: ParentRef,
    pub conditions: Vec<Condition>,
}

/// `parentRef`, which is of a Gateway or of a ListenerSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ParentRef {
    /// Empty for a Gateway.
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

impl ParentRef {
    /// Whether it names a ListenerSet.
    pub fn is_set(&self) -> bool {
        self.kind == LISTENER_SET_KIND
    }

    /// What it names, for an object of this namespace.
    pub fn key(&self, namespace: &str) -> ObjectKey {
        let namespace = self.namespace.as_deref().unwrap_or(namespace);
        ObjectKey::new(namespace, &self.name)
    }
}

/// An EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    /// `null` where there is none.
    pub endpoints: Option<Vec<Endpoint>>,
}

/// One of `endpoints` of an EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    pub addresses: Vec<String>,
    pub target_ref: TargetRef,
}

/// What an endpoint is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    pub kind: String,
    pub name: String,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Service {
    pub spec: ServiceSpec,
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    pub ports: Vec<ServicePort>,
}

/// One of `spec.ports` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    pub port: u16,
}

/// A Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub spec: LeaseSpec,
}

/// `spec` of a Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaseSpec {
    pub holder_identity: String,
    pub renew_time: String,
    pub lease_duration_seconds: u32,
}

/// A CustomResourceDefinition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CustomResourceDefinition {
    pub metadata: Metadata,
}

/// What an API server tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Version {
    pub git_version: String,
}
