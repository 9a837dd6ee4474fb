//! The error of every port.

use std::time::Duration;

/// Why a port could not do what was asked. The pass goes on without it and tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    pub kind: PortErrorKind,
    /// For the user: what failed and what would help. Never holds a secret.
    pub message: String,
    /// The least time to the next attempt, where one is known.
    pub retry_after: Option<Duration>,
}

/// Sorts of failure, of the cluster and of the edge alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PortErrorKind {
    /// The Gateway's Cloudflare credentials are missing or incomplete; the user must act.
    Credentials,
    /// The Cloudflare API token is not accepted.
    Unauthenticated,
    /// A permission is missing. Of the API server also: a quota or a policy of the cluster refuses the request, which
    /// it answers in the same way.
    Forbidden,
    /// The cluster has as many Gateways as the broker takes of it.
    TooManyGateways,
    NotFound,
    /// It is there already or in use, another owner's object has the name, or others keep writing the object.
    Conflict,
    /// The request breaks a rule.
    Invalid,
    RateLimited,
    /// Not reachable, timed out, not ready, or failed on its side. The request may have had its effect.
    Unavailable,
    /// The broker that stands before the edge is not reachable.
    BrokerUnavailable,
}

impl PortErrorKind {
    /// Whether another attempt may help although nothing was changed.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Unavailable | Self::BrokerUnavailable | Self::Conflict
        )
    }
}

impl PortError {
    /// An error without a time for the next attempt.
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// One of kind [`PortErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Unavailable, message)
    }
}
