//! XBackendTrafficPolicy: how many retries a backend gets, and sessions with its endpoints (GEP-3388, GEP-1619).

use std::time::Duration;

use super::{FieldError, PolicyTarget, RouteKind, Session};
use crate::names::{ObjectKey, Timestamp};

/// API group of the experimental kinds of the Gateway API.
pub const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

/// Kind of the policy, in group [`EXPERIMENTAL_GROUP`].
pub const BACKEND_TRAFFIC_POLICY_KIND: &str = "XBackendTrafficPolicy";

/// An XBackendTrafficPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTrafficPolicy {
    pub key: ObjectKey,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none. The older of two policies for one target wins.
    pub created: Timestamp,
    /// `spec.targetRefs`, in the order written, in the policy's own namespace. They name no port.
    pub targets: Vec<PolicyTarget>,
    /// `spec.retryConstraint`.
    pub retries: Option<RetryConstraint>,
    /// `spec.sessionPersistence`.
    pub session: Option<BackendSession>,
    /// What cannot be acted upon.
    pub field_errors: Vec<FieldError>,
}

/// How many retries a backend gets. What it does not grant is answered with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RetryConstraint {
    /// Retries for a hundred requests of the last `interval`: 0 to 100.
    pub percent: u32,
    /// One second to one hour.
    pub interval: Duration,
    /// Retries that are always granted in a time of `min_interval`: 1 to 1,000,000.
    pub min_count: u32,
    /// More than zero, up to one hour.
    pub min_interval: Duration,
}

/// The defaults of the schema.
impl Default for RetryConstraint {
    fn default() -> Self {
        Self {
            percent: 20,
            interval: Duration::from_secs(10),
            min_count: 10,
            min_interval: Duration::from_secs(1),
        }
    }
}

/// The sessions that each rule gets which leads to a backend and says nothing of sessions itself. Rules do not share sessions,
/// though they lead to one Service (GEP-1619).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSession {
    /// Without a rule.
    pub session: Session,
    /// Whether the name of the cookie or header is written; else each rule has one of its own.
    pub is_named: bool,
}

impl BackendSession {
    /// The session of a rule, which is known by its position.
    pub fn of_rule(&self, kind: RouteKind, route: &ObjectKey, position: usize) -> Session {
        let mut session = self.session.clone();
        session.rule = format!("spec.rules[{position}]");
        if !self.is_named {
            let name = Session::default_name(kind, route, &session.rule);
            session.carrier.rename(name);
        }
        session
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{SessionCarrier, SessionCookie};

    #[test]
    fn each_rule_has_a_session_of_its_own_and_a_cookie_too_where_no_name_is_written() {
        let carrier = SessionCarrier::Cookie(SessionCookie {
            name: "cart".to_owned(),
            path: None,
            is_permanent: false,
        });
        for (is_named, same) in [(true, true), (false, false)] {
            let policy = BackendSession {
                session: Session {
                    rule: String::new(),
                    carrier: carrier.clone(),
                    beats_weights: false,
                    absolute: None,
                    idle: None,
                    key: None,
                },
                is_named,
            };
            let route = ObjectKey::new("shop", "store");
            let of = |position| policy.of_rule(RouteKind::Http, &route, position);
            assert_eq!(of(0), of(0));
            assert_ne!(of(0).rule, of(1).rule);
            assert_eq!(of(0).carrier == of(1).carrier, same, "{is_named}");
            assert_eq!(of(0).carrier == carrier, is_named);
        }
    }
}
