//! One complete view of the cluster. A source never yields a partly filled one: a kind that could not be
//! read is [`Reading::Unknown`], and unknown deletes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::certificate::TlsPair;
use crate::endpoint_policy::EndpointPolicy;
use crate::gateway::{
    EndpointSlice, Gateway, GatewayClass, GatewayParameters, Namespace, ReferenceGrant, Route,
    Service,
};
use crate::names::ObjectRef;

/// What reading one kind of object gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// All there is.
    Known(T),
    /// The kind does not exist here (its CRD is not installed).
    Absent,
    /// Reading failed, for this reason.
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
        matches!(self, Self::Unknown(_))
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
    /// All Gateways.
    pub gateways: Reading<Vec<Gateway>>,
    /// CloudflareGatewayParameters.
    pub parameters: Reading<Vec<GatewayParameters>>,
    /// HTTPRoutes and GRPCRoutes. Unknown when either is. Shared, because a cluster may have many thousands
    /// and each of them outlives one view.
    pub routes: Reading<Vec<Arc<Route>>>,
    /// ReferenceGrants.
    pub grants: Reading<Vec<ReferenceGrant>>,
    /// Services.
    pub services: Reading<Vec<Service>>,
    /// EndpointSlices.
    pub endpoint_slices: Reading<Vec<EndpointSlice>>,
    /// Namespaces.
    pub namespaces: Reading<Vec<Namespace>>,
    /// Whether each Secret that the source was asked to follow is there, and what is known of it without a value.
    pub secrets: BTreeMap<ObjectRef, Reading<SecretFacts>>,
    /// Where endpoints may be.
    pub endpoint_rules: EndpointRules,
    /// Why objects may be missing although each kind was read (a file that cannot be parsed); absence then proves nothing.
    pub incomplete: Option<String>,
}

/// Where endpoints may be. It depends on who writes them: the proxy's network is not every tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointRules {
    /// Which addresses are refused.
    pub policy: EndpointPolicy,
    /// Whether names may stand for addresses: in EndpointSlices of type FQDN and Services of type ExternalName.
    /// Whoever writes a name has it resolved by servers of their own choice.
    pub names: bool,
}

impl EndpointRules {
    /// Without Kubernetes, where the author of the manifests owns the machine.
    pub const STANDALONE: Self = Self {
        policy: EndpointPolicy::Standalone,
        names: true,
    };
}

impl Default for EndpointRules {
    fn default() -> Self {
        Self {
            policy: EndpointPolicy::Cluster,
            names: false,
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
    /// A number that becomes another one when a value does. It tells nothing of the values, and nothing to
    /// another process.
    pub edition: u64,
}
