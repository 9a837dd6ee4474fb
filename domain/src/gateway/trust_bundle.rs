//! ClusterTrustBundle: certificate authorities for the whole cluster (`certificates.k8s.io`).

use crate::certificate::TrustBundle;

/// API group of ClusterTrustBundles.
pub const TRUST_BUNDLE_GROUP: &str = "certificates.k8s.io";

/// Kind of [`ClusterTrustBundle`], in group [`TRUST_BUNDLE_GROUP`].
pub const TRUST_BUNDLE_KIND: &str = "ClusterTrustBundle";

/// A ClusterTrustBundle. It is in no namespace, so that no ReferenceGrant is asked for (GEP-5075).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTrustBundle {
    pub name: String,
    /// `spec.trustBundle`.
    pub trust: TrustBundle,
}
