//! What a proxy needs to route the requests of one Gateway: plain values, comparable and versioned,
//! compiled by the controller ([`compile`]) and indexed by the proxy ([`Matcher`]).

mod arrival;
mod backends;
mod canonical;
mod compile;
mod matcher;
mod reduced;
mod tls;
#[cfg(feature = "serde")]
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoint_policy::AddressRange;
use crate::gateway::{
    BackendKind, BackendName, EndpointHost, ExternalAuth, Filter, Protocol, RetryConstraint,
    RouteKind, RouteMatch, RulePolicy,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};

pub use arrival::{Arrival, ConnectionRefused, Scheme};
pub use backends::{Backend, BackendIndex};
pub use canonical::{AmbiguousPath, after_prefix, canonical_path};
pub use compile::{CompileInput, ListenerInput, RouteInput, compile};
pub use matcher::{HeaderLookup, Matcher, RequestHead, Selected};
pub use reduced::{needs, reduced};
pub use tls::{ClientCertificate, ClientValidation, Trust, UpstreamTls};

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
    /// What visitors have to show; each port is in one of them at most. Not written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub client_validation: Vec<ClientValidation>,
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
    /// Each authorizer is asked about a request, in this order, before the routes are looked at. Not written where there is
    /// none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub filters: Vec<ExternalAuth<UpstreamKey>>,
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
    /// Where the listener's own hostname is among these and the route's is broader: characters of the route's, 0 where
    /// it names none. It gives way to routes that name the listener's hostname (Gateway API, feature
    /// `GatewayRouteHostnameIntersectionPrecedence`). Not written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub broader: Option<u8>,
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
    pub filters: Vec<TableFilter>,
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
    /// In the order written. Not written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub filters: Vec<TableFilter>,
}

/// A filter that leads to an entry of [`RouteTable::upstreams`], if anywhere.
pub type TableFilter = Filter<UpstreamKey>;

/// Where references of filters lead, by target, port and how it is spoken to. Those that do not resolve are not in it.
pub type FilterTargets = BTreeMap<(ObjectRef, Option<u16>, RouteKind), UpstreamKey>;

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

/// A port of a Service or of what takes its place, and what is spoken to it: an HTTPRoute and a GRPCRoute may speak differently to one
/// port, and each then has connections of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpstreamKey {
    /// What the name is of. Not written where it is a Service.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "BackendKind::is_service")
    )]
    pub kind: BackendKind,
    /// Its namespace and name.
    pub service: ObjectKey,
    pub port: u16,
    pub protocol: UpstreamProtocol,
}

impl RouteTable {
    /// The certificate that endpoints are shown; one Gateway has one.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        let mut tls = self.upstreams.values().filter_map(|it| it.tls.as_ref());
        tls.find_map(|tls| tls.client.as_ref())
    }
}

impl UpstreamKey {
    /// The object that has the port.
    pub fn backend(&self) -> BackendName<'_> {
        BackendName {
            kind: self.kind,
            key: &self.service,
        }
    }
}

/// As in `Service shop/cart:80`.
impl std::fmt::Display for UpstreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.backend(), self.port)
    }
}

/// What stands behind a Service port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Upstream {
    /// Endpoints that take traffic, sorted. Empty: 503.
    pub endpoints: Vec<UpstreamEndpoint>,
    /// Endpoints that still serve while they terminate: they keep their sessions. Empty where no rule has sessions. Not
    /// written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub draining: Vec<UpstreamEndpoint>,
    /// How they are spoken to over TLS; `None` for clear text. Not written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub tls: Option<Arc<UpstreamTls>>,
    /// How many retries it gets; `None` for the proxy's own default. Not written where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub retries: Option<RetryConstraint>,
    /// Where it is a host outside of the cluster: what its addresses must not be. Not written where it is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub outside: Option<Arc<OutsideRules>>,
}

/// Which addresses a host outside of the cluster must not have. It is held to them each time that its name is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OutsideRules {
    /// The cluster's own, beside all that are none of the internet.
    pub cluster_ranges: Vec<AddressRange>,
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
    /// HTTP/2 with prior knowledge: in clear text, or over TLS where the upstream has it (ALPN `h2`).
    H2c,
    /// HTTP/2 or HTTP/1.1, as the endpoint chooses by ALPN. Only where the upstream has TLS.
    Negotiated,
}

/// Where one endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpstreamEndpoint {
    pub host: EndpointHost,
    pub port: u16,
}
