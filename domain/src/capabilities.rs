//! What of the Gateway API a data plane serves.
//!
//! A route that uses a feature is accepted by a Gateway only if the Gateway's data plane serves that feature. Features have
//! the names of the Gateway API (`pkg/features`) where it has one.

/// Declares the features with their names.
macro_rules! features {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$official_doc:meta])* $official:ident,)*
            => $($(#[$own_doc:meta])* $own:ident,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$official_doc])* $official,)*
            $($(#[$own_doc])* $own,)*
        }

        impl $name {
            /// All of them; those that the Gateway API has a name for come first.
            pub const ALL: &[Self] = &[$(Self::$official,)* $(Self::$own,)*];
            const OFFICIAL: usize = [$(Self::$official,)*].len();

            /// The name of the Gateway API; where it has none, our own.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$official => stringify!($official),)*
                    $(Self::$own => stringify!($own),)*
                }
            }
        }
    };
}

features! {
    /// A feature of the Gateway API, v1.7.0. Those after the arrow have no name in it.
    Feature {
        Gateway,
        HTTPRoute,
        GRPCRoute,
        ReferenceGrant,
        ListenerSet,
        ClusterTrustBundle,
        GatewayAddressEmpty,
        GatewayAddressRoutability,
        GatewayAddressRoutabilityCluster,
        GatewayBackendClientCertificate,
        GatewayFrontendClientCertificateValidation,
        GatewayFrontendClientCertificateValidationInsecureFallback,
        GatewayHTTPListenerIsolation,
        GatewayHTTPSListenerDetectMisdirectedRequests,
        GatewayInfrastructure,
        GatewayListenerFilters,
        GatewayPort8080,
        GatewayRouteHostnameIntersectionPrecedence,
        GatewayStaticAddresses,
        BackendTLSPolicy,
        BackendTLSPolicySANValidation,
        HTTPRouteBackendProtocolH2C,
        HTTPRouteBackendProtocolWebSocket,
        HTTPRouteBackendRequestHeaderModification,
        HTTPRouteBackendTimeout,
        HTTPRouteBackendURLRewrite,
        HTTPRouteCORS,
        HTTPRouteDestinationPortMatching,
        HTTPRoute303RedirectStatusCode,
        HTTPRoute307RedirectStatusCode,
        HTTPRoute308RedirectStatusCode,
        HTTPRouteHostRewrite,
        HTTPRouteMethodMatching,
        HTTPRouteNamedRouteRule,
        HTTPRouteParentRefPort,
        HTTPRoutePathRedirect,
        HTTPRoutePathRewrite,
        HTTPRoutePortRedirect,
        HTTPRouteQueryParamMatching,
        HTTPRouteRequestMirror,
        HTTPRouteRequestMultipleMirrors,
        HTTPRouteRequestPercentageMirror,
        HTTPRouteRequestTimeout,
        HTTPRouteResponseHeaderModification,
        HTTPRouteRetryCodes,
        HTTPRouteRetryConnectionError,
        HTTPRouteSchemeRedirect,
        GRPCRouteNamedRouteRule,
        GRPCRouteRequestHeaderModifier,
        =>
        /// A ResponseHeaderModifier of a backendRef.
        BackendResponseHeaderModification,
        /// Any other filter of a backendRef.
        BackendFilter,
        /// An XBackendTrafficPolicy with a retry budget.
        BackendTrafficPolicy,
        /// `spec.useDefaultGateways`.
        DefaultGateways,
        ExtensionRef,
        ExternalAuth,
        /// A backend that is a host outside of the cluster.
        ExternalHost,
        /// A ServiceImport as backend.
        ServiceImport,
        SessionPersistence,
    }
}

impl Feature {
    /// The feature of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|feature| feature.name() == name)
    }

    /// Whether the Gateway API has a name for it.
    pub fn is_official(self) -> bool {
        (self as usize) < Self::OFFICIAL
    }

    /// What a redirect with this status needs; 301 and 302 need nothing.
    pub fn of_redirect(status: u16) -> Option<Self> {
        match status {
            303 => Some(Self::HTTPRoute303RedirectStatusCode),
            307 => Some(Self::HTTPRoute307RedirectStatusCode),
            308 => Some(Self::HTTPRoute308RedirectStatusCode),
            _ => None,
        }
    }

    /// What a user wrote to use it.
    fn written(self) -> &'static str {
        match self {
            Self::HTTPRouteCORS => "the filter CORS",
            Self::HTTPRouteHostRewrite
            | Self::HTTPRoutePathRewrite
            | Self::HTTPRouteBackendURLRewrite => "the filter URLRewrite",
            Self::HTTPRouteRequestMirror => "the filter RequestMirror",
            Self::HTTPRouteRequestMultipleMirrors => "a second filter RequestMirror",
            Self::HTTPRouteResponseHeaderModification | Self::BackendResponseHeaderModification => {
                "the filter ResponseHeaderModifier"
            }
            Self::HTTPRouteBackendRequestHeaderModification => "the filter RequestHeaderModifier",
            Self::ExtensionRef => "the filter ExtensionRef",
            Self::ExternalAuth => "the filter ExternalAuth",
            Self::BackendFilter => "this filter of a backend",
            Self::HTTPRoute303RedirectStatusCode => "303",
            Self::HTTPRoute307RedirectStatusCode => "307",
            Self::HTTPRoute308RedirectStatusCode => "308",
            _ => "this field",
        }
    }

    /// Why a route that uses it is refused, and the remedy.
    pub fn refusal(self) -> String {
        let remedy = match self {
            Self::HTTPRoute303RedirectStatusCode
            | Self::HTTPRoute307RedirectStatusCode
            | Self::HTTPRoute308RedirectStatusCode => "write 301 or 302",
            _ => "remove it",
        };
        let written = self.written();
        format!("{written} is not served by the data plane of the Gateway; {remedy}")
    }
}

/// A set of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FeatureSet(u128);

const _: () = assert!(Feature::ALL.len() <= u128::BITS as usize);

impl FeatureSet {
    /// No feature.
    pub const EMPTY: Self = Self(0);

    /// These features.
    pub const fn of(features: &[Feature]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < features.len() {
            set |= 1 << features[index] as u32;
            index += 1;
        }
        Self(set)
    }

    /// Whether a feature is in it.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u32) != 0
    }

    /// Those of either set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that the other set has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has no feature.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its features, in the order of [`Feature::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        let all = Feature::ALL.iter().copied();
        all.filter(move |feature| self.has(*feature))
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        let features = features.into_iter();
        features.fold(Self::EMPTY, |set, feature| set.and(Self::of(&[feature])))
    }
}

/// As a list of names. A name that is not known is that of a feature which a later version has: it is left out.
#[cfg(feature = "serde")]
impl serde::Serialize for FeatureSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Feature::name))
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for FeatureSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names
            .iter()
            .filter_map(|name| Feature::named(name))
            .collect())
    }
}

/// What the edge in front of a data plane tells of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EdgeKind {
    /// Cloudflare's: scheme, authority and client.
    #[default]
    Cloudflare,
    /// Cloudflare's, set to hand on the certificate that a client showed, in `Client-Cert` and `Client-Cert-Chain`
    /// (RFC 9440), and to remove what a client wrote there.
    HandingCertificates,
    /// All of that, the port that the client came to and the server name of its TLS handshake; and it closes the
    /// connection of a client whose certificate is refused.
    TellingArrival,
}

impl EdgeKind {
    /// Whether it tells which certificate a client showed.
    pub fn hands_certificates(self) -> bool {
        match self {
            Self::Cloudflare => false,
            Self::HandingCertificates | Self::TellingArrival => true,
        }
    }
}

/// What carries out the routes of a Gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPlaneKind {
    /// Our own proxy, which holds the tunnel's connections itself.
    Native,
}

impl DataPlaneKind {
    /// What it serves.
    pub const fn serves(self) -> FeatureSet {
        match self {
            Self::Native => FeatureSet::of(&[
                Feature::Gateway,
                Feature::HTTPRoute,
                Feature::GRPCRoute,
                Feature::ReferenceGrant,
                Feature::GatewayAddressEmpty,
                Feature::GatewayHTTPListenerIsolation,
                Feature::GatewayHTTPSListenerDetectMisdirectedRequests,
                Feature::GatewayInfrastructure,
                Feature::GatewayListenerFilters,
                Feature::ListenerSet,
                Feature::GatewayPort8080,
                Feature::GatewayRouteHostnameIntersectionPrecedence,
                Feature::GatewayStaticAddresses,
                Feature::GatewayBackendClientCertificate,
                Feature::GatewayFrontendClientCertificateValidation,
                Feature::GatewayFrontendClientCertificateValidationInsecureFallback,
                Feature::ClusterTrustBundle,
                Feature::BackendTLSPolicy,
                Feature::BackendTLSPolicySANValidation,
                Feature::HTTPRouteBackendProtocolH2C,
                Feature::HTTPRouteBackendProtocolWebSocket,
                Feature::HTTPRouteBackendRequestHeaderModification,
                Feature::HTTPRouteBackendTimeout,
                Feature::HTTPRouteDestinationPortMatching,
                Feature::HTTPRouteBackendURLRewrite,
                Feature::HTTPRouteCORS,
                Feature::HTTPRoute303RedirectStatusCode,
                Feature::HTTPRoute307RedirectStatusCode,
                Feature::HTTPRoute308RedirectStatusCode,
                Feature::HTTPRouteHostRewrite,
                Feature::HTTPRouteMethodMatching,
                Feature::HTTPRouteNamedRouteRule,
                Feature::HTTPRouteParentRefPort,
                Feature::HTTPRoutePathRedirect,
                Feature::HTTPRoutePathRewrite,
                Feature::HTTPRoutePortRedirect,
                Feature::HTTPRouteQueryParamMatching,
                Feature::HTTPRouteRequestMirror,
                Feature::HTTPRouteRequestMultipleMirrors,
                Feature::HTTPRouteRequestPercentageMirror,
                Feature::HTTPRouteRequestTimeout,
                Feature::HTTPRouteResponseHeaderModification,
                Feature::HTTPRouteRetryCodes,
                Feature::HTTPRouteRetryConnectionError,
                Feature::HTTPRouteSchemeRedirect,
                Feature::GRPCRouteNamedRouteRule,
                Feature::GRPCRouteRequestHeaderModifier,
                Feature::BackendResponseHeaderModification,
                Feature::BackendFilter,
                Feature::BackendTrafficPolicy,
                Feature::ExternalHost,
                Feature::ServiceImport,
                Feature::ExternalAuth,
                Feature::SessionPersistence,
            ]),
        }
    }

    /// What it serves behind an edge and the conformance suite has shown: what a GatewayClass claims in
    /// `status.supportedFeatures`.
    pub fn claims(self, edge: EdgeKind) -> FeatureSet {
        let shown = self.serves().without(NOT_SHOWN);
        let shown = match edge {
            EdgeKind::TellingArrival => shown,
            EdgeKind::Cloudflare | EdgeKind::HandingCertificates => shown.without(OF_TELLING_EDGE),
        };
        let official = shown.iter().filter(|feature| feature.is_official());
        official.collect()
    }
}

/// What Cloudflare's edge does not tell enough for: it takes requests at [its own ports](crate::route_table::Scheme::ports)
/// only, hands on no server name, and refuses no connection for a certificate.
const OF_TELLING_EDGE: FeatureSet = FeatureSet::of(&[
    Feature::GatewayFrontendClientCertificateValidation,
    Feature::GatewayFrontendClientCertificateValidationInsecureFallback,
    Feature::GatewayHTTPSListenerDetectMisdirectedRequests,
    Feature::HTTPRouteParentRefPort,
]);

/// Served, but not yet run by the conformance suite.
const NOT_SHOWN: FeatureSet = FeatureSet::EMPTY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_known_by_its_name_and_the_last_official_one_comes_before_our_own() {
        for feature in Feature::ALL {
            assert_eq!(Feature::named(feature.name()), Some(*feature));
        }
        assert_eq!(Feature::named("HTTPRouteTeleport"), None);
        assert!(Feature::GRPCRouteRequestHeaderModifier.is_official());
        assert!(!Feature::BackendResponseHeaderModification.is_official());
    }

    #[test]
    fn a_set_has_what_it_was_made_of() {
        let all: FeatureSet = Feature::ALL.iter().copied().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), Feature::ALL);
        let some = FeatureSet::of(&[Feature::HTTPRoute, Feature::SessionPersistence]);
        assert_eq!(all.without(some).and(some), all);
        assert!(!all.without(some).has(Feature::HTTPRoute));
        assert!(some.without(all).is_empty());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_set_is_written_by_names_and_a_name_of_a_later_version_is_left_out() {
        let set = FeatureSet::of(&[Feature::HTTPRoute, Feature::SessionPersistence]);
        let written = serde_json::to_string(&set).unwrap();
        assert_eq!(written, r#"["HTTPRoute","SessionPersistence"]"#);
        let later = written.replace('[', r#"["HTTPRouteTeleport","#);
        for text in [written, later] {
            assert_eq!(serde_json::from_str::<FeatureSet>(&text).unwrap(), set);
        }
    }

    #[test]
    fn what_is_claimed_is_served_and_has_a_name() {
        let native = DataPlaneKind::Native;
        for edge in [
            EdgeKind::Cloudflare,
            EdgeKind::HandingCertificates,
            EdgeKind::TellingArrival,
        ] {
            let claimed = native.claims(edge);
            assert!(claimed.has(Feature::HTTPRoute));
            assert!(claimed.without(native.serves()).is_empty());
            assert!(claimed.iter().all(Feature::is_official));
        }
        let cloudflare = native.claims(EdgeKind::Cloudflare);
        let telling = native.claims(EdgeKind::TellingArrival);
        assert_eq!(telling.without(cloudflare), OF_TELLING_EDGE);
        assert!(NOT_SHOWN.without(native.serves()).is_empty());
    }

    #[test]
    fn a_refusal_names_what_was_written_and_the_remedy() {
        for (feature, written, remedy) in [
            (Feature::HTTPRouteCORS, "the filter CORS", "remove it"),
            (
                Feature::HTTPRouteHostRewrite,
                "the filter URLRewrite",
                "remove it",
            ),
            (
                Feature::HTTPRouteRequestMirror,
                "the filter RequestMirror",
                "remove it",
            ),
            (
                Feature::BackendResponseHeaderModification,
                "the filter ResponseHeaderModifier",
                "remove it",
            ),
            (
                Feature::HTTPRouteBackendRequestHeaderModification,
                "the filter RequestHeaderModifier",
                "remove it",
            ),
            (
                Feature::ExtensionRef,
                "the filter ExtensionRef",
                "remove it",
            ),
            (
                Feature::ExternalAuth,
                "the filter ExternalAuth",
                "remove it",
            ),
            (
                Feature::BackendFilter,
                "this filter of a backend",
                "remove it",
            ),
            (
                Feature::HTTPRoute303RedirectStatusCode,
                "303",
                "write 301 or 302",
            ),
            (
                Feature::HTTPRoute307RedirectStatusCode,
                "307",
                "write 301 or 302",
            ),
            (
                Feature::HTTPRoute308RedirectStatusCode,
                "308",
                "write 301 or 302",
            ),
            (Feature::SessionPersistence, "this field", "remove it"),
        ] {
            let said =
                format!("{written} is not served by the data plane of the Gateway; {remedy}");
            assert_eq!(feature.refusal(), said);
        }
    }
}
