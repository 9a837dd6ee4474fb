//! Listeners of a Gateway or of a ListenerSet.

use std::collections::BTreeMap;

use super::{ExternalAuth, FieldError, GatewayPart, RouteKind};
use crate::names::{Hostname, ObjectRef};

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique within the object; what a route's `sectionName` names.
    pub name: String,
    /// `None` means all hostnames. A malformed one is `None` with a field error.
    pub hostname: Option<Hostname>,
    /// 1 to 65535; 0 with a field error where the written one is out of range.
    pub port: u16,
    pub protocol: Protocol,
    /// `tls`; may be absent on HTTPS, because Cloudflare's edge terminates TLS.
    pub tls: Option<ListenerTls>,
    /// `allowedRoutes.namespaces`; the API's default is [`AllowedNamespaces::Same`].
    pub namespaces: AllowedNamespaces,
    /// `allowedRoutes.kinds`; empty means all that the protocol takes.
    pub kinds: Vec<AllowedKind>,
    /// `filters.requests`, in the order written: each authorizer is asked about a request before the rules are looked at.
    pub filters: Vec<ExternalAuth>,
    /// What cannot be acted upon in this listener.
    pub field_errors: Vec<(GatewayPart, FieldError)>,
}

impl Listener {
    /// What its filters name.
    pub fn references(&self) -> impl Iterator<Item = &ObjectRef> {
        let to = self.filters.iter().filter_map(|filter| filter.to.as_ref());
        to.map(|to| &to.target)
    }
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
    /// `certificateRefs`, with the object's own namespace where none is written.
    pub certificates: Vec<ObjectRef>,
}

/// `allowedRoutes.namespaces.from`, or `spec.allowedListeners.namespaces.from` of a Gateway.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_selects_labels_that_satisfy_every_rule() {
        let values = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        let is_in = || SelectorRule::In("team".to_owned(), values(&["shop", "infra"]));
        let not_in = || SelectorRule::NotIn("team".to_owned(), values(&["shop"]));
        let exists = || SelectorRule::Exists("team".to_owned());
        let absent = || SelectorRule::DoesNotExist("team".to_owned());
        for (given, rules, of_shop, of_infra, of_none) in [
            ("no rule", vec![], true, true, true),
            ("In", vec![is_in()], true, true, false),
            ("NotIn", vec![not_in()], false, true, true),
            ("Exists", vec![exists()], true, true, false),
            ("DoesNotExist", vec![absent()], false, false, true),
            ("In and NotIn", vec![is_in(), not_in()], false, true, false),
        ] {
            let selector = LabelSelector { rules };
            let labels = |team: &str| [("team".to_owned(), team.to_owned())].into();
            assert_eq!(selector.selects(&labels("shop")), of_shop, "{given}");
            assert_eq!(selector.selects(&labels("infra")), of_infra, "{given}");
            assert_eq!(selector.selects(&[].into()), of_none, "{given}");
        }
    }

    #[test]
    fn a_protocol_is_spelled_as_the_api_spells_it() {
        let other = Protocol::Other("TCP".to_owned());
        let spelled = [Protocol::Http, Protocol::Https, other];
        assert_eq!(
            spelled.each_ref().map(Protocol::as_str),
            ["HTTP", "HTTPS", "TCP"]
        );
    }
}
