//! The kinds that are read. A new kind is one row here, its type in [`Object`](crate::Object), its conversion, and
//! its place in the snapshot.

use domain::gateway::{
    BACKEND_TLS_POLICY_KIND, BACKEND_TRAFFIC_POLICY_KIND, EXPERIMENTAL_GROUP,
    EXTERNAL_BACKEND_KIND, GATEWAY_GROUP, GATEWAY_STATUS_KIND, LISTENER_SET_KIND,
    MULTICLUSTER_GROUP, OWN_GROUP, PARAMETERS_KIND, RouteKind, SERVICE_IMPORT_KIND,
    TRUST_BUNDLE_GROUP, TRUST_BUNDLE_KIND,
};
use domain::{ObjectKey, ObjectRef};

/// Where objects of a kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// The shape of the status of a kind, where one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusShape {
    /// Conditions.
    Conditions,
    /// Conditions and details of an object that is nothing but its status: it is made where there is none.
    Details,
    /// Conditions, addresses and listeners, which are lists with keys: each writer owns its entries.
    Listeners,
    /// The same without addresses.
    ListenerEntries,
    /// Of Services that ask to be exposed: what is told of a load balancer. Conditions have no place in it.
    LoadBalancer,
    /// One list without a key for the entries of all controllers, each with a reference.
    References {
        list: &'static str,
        reference: &'static str,
    },
}

impl StatusShape {
    /// Of routes.
    pub const PARENTS: Self = Self::References {
        list: "parents",
        reference: "parentRef",
    };

    /// Of policies.
    pub const ANCESTORS: Self = Self::References {
        list: "ancestors",
        reference: "ancestorRef",
    };
}

/// What is known of a kind.
struct Row {
    /// Empty for the core group.
    group: &'static str,
    kind: &'static str,
    /// As in the paths of the API.
    plural: &'static str,
    /// Versions to look for at an API server, best first. Statuses are written in the first.
    versions: &'static [&'static str],
    /// Other versions that manifests may have: they differ from the first in nothing that is read.
    also_read: &'static [&'static str],
    scope: Scope,
    status: Option<StatusShape>,
}

const GATEWAY_API: Row = Row {
    group: GATEWAY_GROUP,
    kind: "",
    plural: "",
    versions: &["v1"],
    also_read: &["v1beta1"],
    scope: Scope::Namespaced,
    status: None,
};

/// Of the experimental channel, in a group of their own.
const EXPERIMENTAL: Row = Row {
    group: EXPERIMENTAL_GROUP,
    versions: &["v1alpha1"],
    also_read: &[],
    ..GATEWAY_API
};

const KUBERNETES: Row = Row {
    group: "",
    also_read: &[],
    ..GATEWAY_API
};

macro_rules! kinds {
    ($($variant:ident, $kind:expr, $plural:literal: { $($field:ident: $value:expr,)* ..$base:expr };)*) => {
        /// A kind of object that is read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($variant,)* }

        impl Kind {
            /// All of them, in the order in which statuses are shown.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        kind: $kind,
                        plural: $plural,
                        $($field: $value,)*
                        ..$base
                    },)*
                }
            }
        }
    };
}

kinds! {
    GatewayClass, "GatewayClass", "gatewayclasses":
        { scope: Scope::Cluster, status: Some(StatusShape::Conditions), ..GATEWAY_API };
    Gateway, "Gateway", "gateways": { status: Some(StatusShape::Listeners), ..GATEWAY_API };
    ListenerSet, LISTENER_SET_KIND, "listenersets":
        { status: Some(StatusShape::ListenerEntries), also_read: &[], ..GATEWAY_API };
    HttpRoute, "HTTPRoute", "httproutes": { status: Some(StatusShape::PARENTS), ..GATEWAY_API };
    GrpcRoute, "GRPCRoute", "grpcroutes": { status: Some(StatusShape::PARENTS), ..GATEWAY_API };
    GatewayStatus, GATEWAY_STATUS_KIND, "cloudflaregatewaystatuses":
        { group: OWN_GROUP, status: Some(StatusShape::Details), ..KUBERNETES };
    // Served as v1 since Gateway API 1.4. The alpha versions before have other fields.
    BackendTlsPolicy, BACKEND_TLS_POLICY_KIND, "backendtlspolicies":
        { also_read: &[], status: Some(StatusShape::ANCESTORS), ..GATEWAY_API };
    BackendTrafficPolicy, BACKEND_TRAFFIC_POLICY_KIND, "xbackendtrafficpolicies":
        { status: Some(StatusShape::ANCESTORS), ..EXPERIMENTAL };
    ExternalBackend, EXTERNAL_BACKEND_KIND, "xbackends":
        { status: Some(StatusShape::ANCESTORS), ..EXPERIMENTAL };
    // Served as v1 since Gateway API 1.6 only.
    ReferenceGrant, "ReferenceGrant", "referencegrants": { versions: &["v1", "v1beta1"], ..GATEWAY_API };
    GatewayParameters, PARAMETERS_KIND, "cloudflaregatewayparameters": { group: OWN_GROUP, ..KUBERNETES };
    Service, "Service", "services": { status: Some(StatusShape::LoadBalancer), ..KUBERNETES };
    // Both versions have the same fields.
    ServiceImport, SERVICE_IMPORT_KIND, "serviceimports":
        { group: MULTICLUSTER_GROUP, versions: &["v1alpha1", "v1beta1"], ..KUBERNETES };
    EndpointSlice, "EndpointSlice", "endpointslices": { group: "discovery.k8s.io", ..KUBERNETES };
    Namespace, "Namespace", "namespaces": { scope: Scope::Cluster, ..KUBERNETES };
    // Served as v1 since Kubernetes 1.37; as v1beta1 before, where it is switched on.
    ClusterTrustBundle, TRUST_BUNDLE_KIND, "clustertrustbundles":
        { group: TRUST_BUNDLE_GROUP, versions: &["v1", "v1beta1"], scope: Scope::Cluster, ..KUBERNETES };
    Secret, "Secret", "secrets": { ..KUBERNETES };
    ConfigMap, "ConfigMap", "configmaps": { ..KUBERNETES };
    // Of the Gateway API's own, the release that they are from.
    CustomResourceDefinition, "CustomResourceDefinition", "customresourcedefinitions":
        { group: "apiextensions.k8s.io", scope: Scope::Cluster, ..KUBERNETES };
}

impl Kind {
    /// The kind that an object names, in a version that is read.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let named = Self::ALL.iter().filter(|known| known.as_str() == kind);
        let mut named = named.copied();
        named.find(|known| {
            let row = known.row();
            let mut versions = row.versions.iter().chain(row.also_read);
            versions.any(|version| known.in_version(version) == api_version)
        })
    }

    /// The kind of an object that is known by its reference.
    pub fn of_object(object: &ObjectRef) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.has(object))
    }

    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        self.row().kind
    }

    /// API group; empty for the core group.
    pub fn group(self) -> &'static str {
        self.row().group
    }

    /// The plural in paths of the API.
    pub fn plural(self) -> &'static str {
        self.row().plural
    }

    /// The version in which statuses are written.
    pub fn version(self) -> &'static str {
        self.row().versions[0]
    }

    /// `apiVersion` in that version.
    pub fn api_version(self) -> String {
        self.in_version(self.version())
    }

    /// Each `apiVersion` to look for at an API server, best first.
    pub fn api_versions(self) -> impl Iterator<Item = String> {
        let versions = self.row().versions.iter();
        versions.map(move |version| self.in_version(version))
    }

    /// Where its objects are.
    pub fn scope(self) -> Scope {
        self.row().scope
    }

    /// The shape of its status; `None` where none is written.
    pub fn status(self) -> Option<StatusShape> {
        self.row().status
    }

    /// Whether an object is of this kind.
    pub fn has(self, object: &ObjectRef) -> bool {
        object.group == self.group() && object.kind == self.as_str()
    }

    /// An object of this kind.
    pub fn reference(self, key: ObjectKey) -> ObjectRef {
        ObjectRef {
            group: self.group().to_owned(),
            kind: self.as_str().to_owned(),
            key,
        }
    }

    fn in_version(self, version: &str) -> String {
        match self.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }
}

impl From<RouteKind> for Kind {
    fn from(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Http => Self::HttpRoute,
            RouteKind::Grpc => Self::GrpcRoute,
        }
    }
}
