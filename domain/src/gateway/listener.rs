//! Listeners of a Gateway.

use std::collections::BTreeMap;

use super::{Defect, GatewayPart, RouteKind};
use crate::names::{Hostname, ObjectRef};

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique within the Gateway; what a route's `sectionName` names.
    pub name: String,
    /// `None` means all hostnames. A malformed one is `None` with a defect.
    pub hostname: Option<Hostname>,
    /// 1 to 65535; 0 with a defect where the written one is out of range.
    pub port: u16,
    pub protocol: Protocol,
    /// `tls`; may be absent on HTTPS, because Cloudflare's edge terminates TLS.
    pub tls: Option<ListenerTls>,
    /// `allowedRoutes.namespaces`; the API's default is [`AllowedNamespaces::Same`].
    pub namespaces: AllowedNamespaces,
    /// `allowedRoutes.kinds`; empty means all that the protocol takes.
    pub kinds: Vec<AllowedKind>,
    /// What cannot be acted upon in this listener.
    pub defects: Vec<(GatewayPart, Defect)>,
}

/// `listener.protocol`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Protocol {
    /// Clear text at the edge.
    Http,
    /// TLS, terminated by the edge.
    Https,
    /// Anything else, by its name: never accepted.
    Other(String),
}

impl Protocol {
    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Other(name) => name,
        }
    }
}

/// `listener.tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// `mode: Terminate` (the default); `false` for Passthrough and anything else.
    pub terminates: bool,
    /// `certificateRefs`, with the Gateway's namespace where none is written.
    pub certificates: Vec<ObjectRef>,
}

/// `allowedRoutes.namespaces.from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedNamespaces {
    Same,
    All,
    None,
    Selector(LabelSelector),
}

/// One of `allowedRoutes.kinds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AllowedKind {
    Route(RouteKind),
    /// Any other, as `group/Kind`: reported as InvalidRouteKinds.
    Other(String),
}

/// A Kubernetes label selector: all rules must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    /// `matchLabels` and `matchExpressions` together.
    pub rules: Vec<SelectorRule>,
}

/// One requirement of a [`LabelSelector`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectorRule {
    In(String, Vec<String>),
    /// The label is absent or has none of the values.
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

impl LabelSelector {
    /// Whether a set of labels satisfies every rule. No rules select everything.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.rules.iter().all(|rule| match rule {
            SelectorRule::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            SelectorRule::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            SelectorRule::Exists(key) => labels.contains_key(key),
            SelectorRule::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}
