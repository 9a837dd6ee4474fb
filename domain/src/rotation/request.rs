//! What is wanted of the token of a Gateway.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Schedule;

/// Annotation of a Gateway: each new value replaces the token once. Any value does; the time is usual.
pub const REQUEST_ANNOTATION: &str =
    "gateways.cloudflare-gateway-controller.io/rotateTokenRequestedAt";

/// Annotation of a Gateway: with the value of [`REQUEST_ANNOTATION`], that request does not wait until every replica is
/// ready.
pub const FORCE_ANNOTATION: &str = "gateways.cloudflare-gateway-controller.io/rotateTokenForce";

/// Annotation of a Gateway: with the value of [`REQUEST_ANNOTATION`], all connections to the edge are closed once every
/// replica has the new token, those of whoever else had the old one among them.
pub const CLOSE_ANNOTATION: &str =
    "gateways.cloudflare-gateway-controller.io/rotateTokenCloseConnections";

/// Longest value that is kept as it is.
const LONGEST: usize = 128;

/// A value of [`REQUEST_ANNOTATION`], or the hash of one that is too long to be kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(String);

impl Request {
    /// `None` for an empty value, which asks for nothing.
    pub fn new(value: &str) -> Option<Self> {
        let kept = match value.len() {
            0 => return None,
            length if length <= LONGEST => value.to_owned(),
            _ => {
                let hash = Sha256::digest(value);
                let hash = hash.iter().map(|byte| format!("{byte:02x}"));
                format!("sha256:{}", hash.collect::<String>())
            }
        };
        Some(Self(kept))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When the token of a Gateway is to be replaced, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationIntent {
    /// `None` where only requests count.
    pub schedule: Option<Schedule>,
    pub request: Option<Request>,
    /// Whether the request does not wait for replicas.
    pub is_forced: bool,
    /// Whether the request calls for closing all connections at its end.
    pub closes_connections: bool,
}

impl RotationIntent {
    /// Of a Gateway with these annotations.
    pub fn new(schedule: Option<Schedule>, annotations: &BTreeMap<String, String>) -> Self {
        let value = |annotation: &str| Request::new(annotations.get(annotation)?);
        let request = value(REQUEST_ANNOTATION);
        let is_same = |annotation: &str| request.is_some() && value(annotation) == request;
        Self {
            schedule,
            is_forced: is_same(FORCE_ANNOTATION),
            closes_connections: is_same(CLOSE_ANNOTATION),
            request,
        }
    }
}
