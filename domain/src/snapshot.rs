//! One complete view of the cluster. A source never yields a partly filled one: a kind that could not be
//! read is [`Reading::Unknown`], and unknown deletes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::certificate::{TlsPair, TrustBundle};
use crate::endpoint_policy::{AddressRange, EndpointPolicy};
use crate::gateway::{
    ApiKind, BackendTlsPolicy, BackendTrafficPolicy, ClusterTrustBundle, EndpointSlice,
    ExternalBackend, Gateway, GatewayClass, GatewayParameters, ListenerSet, Namespace,
    ReferenceGrant, Route, Service, ServiceImport,
};
use crate::names::{ObjectKey, ObjectRef};

/// What reading one kind of object gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    Known(T),
    /// The kind does not exist here (its CRD is not installed).
    Absent,
    Unknown(String),
}

impl<T> Reading<T> {
    /// The value, if it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Whether nothing may be concluded from what is missing.
    pub fn is_unknown(&self) -> bool {
        self.why_unknown().is_some()
    }

    fn why_unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Known(_) | Self::Absent => None,
        }
    }
}

impl<T> Reading<Vec<T>> {
    /// What was read; empty when absent or unknown.
    pub fn items(&self) -> &[T] {
        self.known().map_or(&[], Vec::as_slice)
    }
}

impl<T> Default for Reading<Vec<T>> {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

/// Everything the domain looks at. The order within a kind carries no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterSnapshot {
    /// All GatewayClasses, of other controllers too.
    pub classes: Reading<Vec<GatewayClass>>,
    pub gateways: Reading<Vec<Gateway>>,
    pub listener_sets: Reading<Vec<ListenerSet>>,
    pub parameters: Reading<Vec<GatewayParameters>>,
    /// HTTPRoutes and GRPCRoutes. Unknown when either is. Shared, because a cluster may have many thousands
    /// and each of them outlives one view.
    pub routes: Reading<Vec<Arc<Route>>>,
    pub grants: Reading<Vec<ReferenceGrant>>,
    pub backend_tls_policies: Reading<Vec<BackendTlsPolicy>>,
    /// Absent where the cluster does not serve the kind. That they are unknown is a matter of who names one alone.
    pub trust_bundles: Reading<Vec<ClusterTrustBundle>>,
    pub backend_traffic_policies: Reading<Vec<BackendTrafficPolicy>>,
    pub services: Reading<Vec<Service>>,
    pub service_imports: Reading<Vec<ServiceImport>>,
    pub external_backends: Reading<Vec<ExternalBackend>>,
    pub endpoint_slices: Reading<Vec<EndpointSlice>>,
    pub namespaces: Reading<Vec<Namespace>>,
    /// The Gateway API's own kinds. Nothing but a status of classes depends on them.
    pub api_kinds: Reading<Vec<ApiKind>>,
    /// Whether each Secret that the source was asked to follow is there, and what is known of it without a value.
    pub secrets: BTreeMap<ObjectRef, Reading<SecretFacts>>,
    /// The certificate authorities of each ConfigMap and Secret that the source was asked to follow, as they were last read.
    /// One that is not here yet is about to be read.
    pub trust: BTreeMap<ObjectRef, Reading<TrustBundle>>,
    pub endpoint_rules: EndpointRules,
    /// Namespaces whose objects are shown; `None` where all are. What is elsewhere is not gone, nobody looks there.
    pub watched_namespaces: Option<BTreeSet<String>>,
    /// Namespaces whose Secrets may be read; `None` where all may.
    pub secret_namespaces: Option<BTreeSet<String>>,
    /// What is there and could not be read although its kind was.
    pub unreadable: Unreadable,
}

impl ClusterSnapshot {
    /// Why kinds could not be read.
    pub fn unread(&self) -> BTreeMap<ObjectKind, String> {
        let kinds = [
            (ObjectKind::GatewayClass, self.classes.why_unknown()),
            (ObjectKind::Gateway, self.gateways.why_unknown()),
            (ObjectKind::ListenerSet, self.listener_sets.why_unknown()),
            (ObjectKind::Route, self.routes.why_unknown()),
            (ObjectKind::ReferenceGrant, self.grants.why_unknown()),
            (
                ObjectKind::BackendTlsPolicy,
                self.backend_tls_policies.why_unknown(),
            ),
            (
                ObjectKind::BackendTrafficPolicy,
                self.backend_traffic_policies.why_unknown(),
            ),
            (ObjectKind::Service, self.services.why_unknown()),
            (
                ObjectKind::ServiceImport,
                self.service_imports.why_unknown(),
            ),
            (
                ObjectKind::ExternalBackend,
                self.external_backends.why_unknown(),
            ),
            (
                ObjectKind::EndpointSlice,
                self.endpoint_slices.why_unknown(),
            ),
            (ObjectKind::Namespace, self.namespaces.why_unknown()),
        ];
        let kinds = kinds.into_iter();
        kinds
            .filter_map(|(kind, why)| Some((kind, why?.to_owned())))
            .collect()
    }
}

/// Kinds of object that statuses depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    GatewayClass,
    Gateway,
    ListenerSet,
    Route,
    ReferenceGrant,
    BackendTlsPolicy,
    BackendTrafficPolicy,
    Service,
    ServiceImport,
    ExternalBackend,
    EndpointSlice,
    Namespace,
}

impl ObjectKind {
    /// The plural, for messages.
    pub fn plural(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClasses",
            Self::Gateway => "Gateways",
            Self::ListenerSet => "ListenerSets",
            Self::Route => "routes",
            Self::ReferenceGrant => "ReferenceGrants",
            Self::BackendTlsPolicy => "BackendTLSPolicies",
            Self::BackendTrafficPolicy => "XBackendTrafficPolicies",
            Self::Service => "Services",
            Self::ServiceImport => "ServiceImports",
            Self::ExternalBackend => "XBackends",
            Self::EndpointSlice => "EndpointSlices",
            Self::Namespace => "Namespaces",
        }
    }
}

/// Objects that are there and could not be read. Where one was read earlier, the snapshot shows it as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unreadable {
    /// Those that are known by name.
    pub objects: BTreeMap<ObjectRef, UnreadableObject>,
    /// Why there may be others, of which nothing is known (a file that cannot be parsed); then nothing follows
    /// from the absence of any object.
    pub nameless: Option<String>,
}

/// An object that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnreadableObject {
    /// Why, in a sentence that repeats nothing of the object.
    pub why: String,
    /// The Gateways and ListenerSets that a route or a ListenerSet names as its parents, where that much could be read.
    pub parents: Option<BTreeSet<ObjectRef>>,
}

impl Unreadable {
    /// Why an object may be there although the snapshot does not show it, or shows it as it was.
    pub fn why(&self, object: &ObjectRef) -> Option<&str> {
        let of_object = self.objects.get(object).map(|found| found.why.as_str());
        of_object.or(self.nameless.as_deref())
    }

    /// Unreadable objects of one kind.
    pub fn of_kind<'u>(
        &'u self,
        group: &'u str,
        kind: &'u str,
    ) -> impl Iterator<Item = (&'u ObjectKey, &'u UnreadableObject)> {
        let objects = self.objects.iter();
        objects
            .filter(move |(object, _)| object.group == group && object.kind == kind)
            .map(|(object, found)| (&object.key, found))
    }
}

/// Where endpoints may be. It depends on who writes them: the proxy's network is not every tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRules {
    /// Which addresses are refused.
    pub policy: EndpointPolicy,
    /// Whether names may stand for addresses in EndpointSlices of type FQDN.
    /// The author of a name chooses the servers that resolve it.
    pub names: bool,
    /// Whether hosts outside of the cluster may be backends.
    pub outside: Outside,
}

/// Whether hosts outside of the cluster may be backends, as XBackends and Services of type ExternalName say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    No,
    /// Those that the parameters of a GatewayClass permit, at addresses of the internet and none in these ranges, which are
    /// the cluster's own.
    Permitted(Vec<AddressRange>),
    /// Any, wherever endpoints may be.
    Any,
}

impl EndpointRules {
    /// Without Kubernetes, where the author of the manifests owns the machine.
    pub const STANDALONE: Self = Self {
        policy: EndpointPolicy::Standalone,
        names: true,
        outside: Outside::Any,
    };
}

impl Default for EndpointRules {
    fn default() -> Self {
        Self {
            policy: EndpointPolicy::Cluster,
            names: false,
            outside: Outside::No,
        }
    }
}

/// What the domain may know of a Secret: its keys and what its certificate says, not their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretFacts {
    /// Names of the keys in `data`.
    pub keys: Vec<String>,
    /// What it holds as a TLS Secret.
    pub tls: TlsPair,
    /// The certificate authorities that it holds.
    pub trust: TrustBundle,
    /// A number that becomes another one when a value does. It tells nothing of the values, and nothing to
    /// another process.
    pub edition: u64,
}
