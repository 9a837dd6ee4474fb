//! What a proxy needs to route the requests of one Gateway: plain values, comparable and versioned,
//! compiled by the controller ([`compile`]) and indexed by the proxy ([`Matcher`]).

mod arrival;
mod backends;
mod canonical;
mod compile;
mod matcher;
mod reduced;
#[cfg(feature = "serde")]
mod written;

use std::collections::BTreeMap;

use crate::gateway::{EndpointHost, Filter, Protocol, RouteKind, RouteMatch, RulePolicy};
use crate::names::{Hostname, ObjectKey, Timestamp};

pub use arrival::{Arrival, Scheme};
pub use backends::BackendIndex;
pub use canonical::{AmbiguousPath, canonical_path};
pub use compile::{CompileInput, ListenerInput, RouteInput, compile};
pub use matcher::{HeaderLookup, Matcher, RequestHead, Selected};
pub use reduced::{needs, reduced};

/// Routes and upstreams of one Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RouteTable {
    /// The Gateway whose tunnel's requests this table routes.
    pub gateway: ObjectKey,
    pub listeners: Vec<TableListener>,
    /// Where backends lead. Kept apart from the rules, so that a pod change touches nothing else.
    #[cfg_attr(feature = "serde", serde(with = "written"))]
    pub upstreams: BTreeMap<UpstreamKey, Upstream>,
}

/// A listener with the routes attached to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TableListener {
    pub name: String,
    /// Port that the request must have come for.
    pub port: u16,
    /// Scheme that the request must have come with.
    pub protocol: Protocol,
    /// Names that it answers to; `None` for all.
    pub hostname: Option<Hostname>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::exact"))]
    pub routes: Vec<TableRoute>,
}

/// A route as attached to one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TableRoute {
    /// Which route; names ties are broken by.
    pub key: ObjectKey,
    pub kind: RouteKind,
    /// Age; older wins ties.
    pub created: Timestamp,
    /// Effective hostnames: listener ∩ route. Empty means every name of the listener.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::exact"))]
    pub hostnames: Vec<Hostname>,
    /// In the order written.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::exact"))]
    pub rules: Vec<TableRule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TableRule {
    /// Any of them suffices.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::exact"))]
    pub matches: Vec<RouteMatch>,
    /// In the order written.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::exact"))]
    pub filters: Vec<Filter>,
    /// For every request of the rule. Not written where it says nothing.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "written::is_default")
    )]
    pub policy: RulePolicy,
    /// In the order written, with their shares.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "written::exact"))]
    pub backends: Vec<TableBackend>,
}

/// A backend with its share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TableBackend {
    /// Share relative to the rule's other backends; 0 takes none.
    pub weight: u32,
    pub target: BackendTarget,
    /// Header modifiers, in the order written. Not written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub filters: Vec<Filter>,
}

/// Where a share of the traffic goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum BackendTarget {
    /// An entry of [`RouteTable::upstreams`].
    Upstream(UpstreamKey),
    /// A reference that does not resolve: keeps its share and answers 500
    /// (Gateway API, `HTTPBackendRef`).
    Invalid,
}

/// A Service port, and what is spoken to it: an HTTPRoute and a GRPCRoute may speak differently to one
/// port, and each then has connections of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpstreamKey {
    pub service: ObjectKey,
    pub port: u16,
    pub protocol: UpstreamProtocol,
}

impl std::fmt::Display for UpstreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// What stands behind a Service port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Upstream {
    /// Endpoints that take traffic, sorted. Empty: 503.
    pub endpoints: Vec<UpstreamEndpoint>,
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum UpstreamProtocol {
    Http1,
    /// HTTP/2 with prior knowledge, in clear text.
    H2c,
}

/// Where one endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpstreamEndpoint {
    pub host: EndpointHost,
    pub port: u16,
}
