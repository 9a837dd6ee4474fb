//! The kinds that are watched.

/// A kind of object that the domain looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    GatewayClass,
    Gateway,
    GatewayParameters,
    HttpRoute,
    GrpcRoute,
    ReferenceGrant,
    Service,
    EndpointSlice,
    Namespace,
}

/// Where a kind is at the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `apiVersion` of its objects.
    pub(crate) api_version: &'static str,
    /// Path of the collection over all namespaces.
    pub(crate) path: String,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::GatewayClass,
        Self::Gateway,
        Self::GatewayParameters,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::ReferenceGrant,
        Self::Service,
        Self::EndpointSlice,
        Self::Namespace,
    ];

    /// The API's spelling.
    pub(crate) fn as_str(self) -> &'static str {
        self.names().1
    }

    /// API group; empty for the core group.
    pub(crate) fn group(self) -> &'static str {
        let (group, _) = self.api_version().split_once('/').unwrap_or_default();
        group
    }

    /// The best version.
    pub(crate) fn api_version(self) -> &'static str {
        self.names().2.first().copied().unwrap_or_default()
    }

    /// Plural in paths, kind, and the versions in which it may be served, best first.
    fn names(self) -> (&'static str, &'static str, &'static [&'static str]) {
        const GATEWAY_API: &[&str] = &["gateway.networking.k8s.io/v1"];
        match self {
            Self::GatewayClass => ("gatewayclasses", "GatewayClass", GATEWAY_API),
            Self::Gateway => ("gateways", "Gateway", GATEWAY_API),
            Self::GatewayParameters => (
                "cloudflaregatewayparameters",
                "CloudflareGatewayParameters",
                &["cloudflare-gateway-controller.io/v1"],
            ),
            Self::HttpRoute => ("httproutes", "HTTPRoute", GATEWAY_API),
            Self::GrpcRoute => ("grpcroutes", "GRPCRoute", GATEWAY_API),
            // Served as v1 since Gateway API 1.6 only.
            Self::ReferenceGrant => (
                "referencegrants",
                "ReferenceGrant",
                &[
                    "gateway.networking.k8s.io/v1",
                    "gateway.networking.k8s.io/v1beta1",
                ],
            ),
            Self::Service => ("services", "Service", &["v1"]),
            Self::EndpointSlice => ("endpointslices", "EndpointSlice", &["discovery.k8s.io/v1"]),
            Self::Namespace => ("namespaces", "Namespace", &["v1"]),
        }
    }

    /// Where to look for it, in this order.
    pub(crate) fn endpoints(self) -> impl Iterator<Item = Endpoint> {
        let (plural, _, versions) = self.names();
        versions.iter().map(move |api_version| Endpoint {
            api_version,
            path: collection(api_version, plural),
        })
    }

    /// Whether statuses are written to objects of this kind.
    pub(crate) fn has_status_of_ours(self) -> bool {
        matches!(
            self,
            Self::GatewayClass | Self::Gateway | Self::HttpRoute | Self::GrpcRoute
        )
    }
}

/// Path of a collection over all namespaces.
fn collection(api_version: &str, plural: &str) -> String {
    match api_version.contains('/') {
        true => format!("/apis/{api_version}/{plural}"),
        false => format!("/api/{api_version}/{plural}"),
    }
}
