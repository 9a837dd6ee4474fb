//! What an operator lets the namespaces of a cluster have.

use super::LabelSelector;
use crate::names::AllowedHostnames;

/// An entry of `spec.tenants` of the CloudflareGatewayParameters that a GatewayClass names: some namespaces,
/// and what is permitted to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// `namespaceSelector`. Without rules it selects every namespace.
    pub namespaces: LabelSelector,
    /// `hostnames`.
    pub hostnames: AllowedHostnames,
    /// Whether `certificates.upload` is `Allowed`.
    pub may_upload_certificates: bool,
    /// `maxGateways`: how many Gateways the namespaces may have together.
    pub max_gateways: Option<u32>,
    /// `infrastructure.labels`: those that reach the objects that are made for a Gateway.
    pub labels: AllowedKeys,
    /// `infrastructure.annotations`, alike.
    pub annotations: AllowedKeys,
    /// Whether `infrastructure.nodeSelector` is `Allowed`: what decides on which nodes pods run, and before which others.
    pub may_select_nodes: bool,
    /// Whether `infrastructure.patches` is `Allowed`.
    pub may_patch: bool,
}

/// Keys of labels or annotations that are permitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowedKeys {
    #[default]
    Any,
    /// Those of a list. An empty list allows none.
    Listed(Vec<KeyPattern>),
}

impl AllowedKeys {
    /// Whether a key is permitted.
    pub fn allows(&self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(patterns) => patterns.iter().any(|pattern| pattern.matches(key)),
        }
    }
}

/// A key, or the beginning of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPattern {
    Exact(String),
    /// Keys that begin so; written with `*` at the end.
    Prefix(String),
}

impl KeyPattern {
    /// Parses `team.example.com/name` or `team.example.com/*`. `None` where `*` stands elsewhere than at the
    /// end, or where a character is none of a key.
    pub fn parse(text: &str) -> Option<Self> {
        let is_of_a_key = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
        let (key, pattern): (&str, fn(String) -> Self) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, Self::Prefix),
            None => (text, Self::Exact),
        };
        let fits = !text.is_empty() && text.len() <= 317 && key.bytes().all(is_of_a_key);
        fits.then(|| pattern(key.to_owned()))
    }

    fn matches(&self, key: &str) -> bool {
        match self {
            Self::Exact(exact) => key == exact,
            Self::Prefix(beginning) => key.starts_with(beginning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_allows_its_keys_and_what_begins_as_they_say() {
        let table = [
            ("team", "team", true),
            ("team", "teams", false),
            ("team.example.com/*", "team.example.com/cost", true),
            ("team.example.com/*", "team.example.com.evil/cost", false),
            ("*", "sidecar.istio.io/proxyImage", true),
            (
                "eks.amazonaws.com/role",
                "eks.amazonaws.com/role-arn",
                false,
            ),
        ];
        for (pattern, key, allowed) in table {
            let list = AllowedKeys::Listed(vec![KeyPattern::parse(pattern).unwrap()]);
            assert_eq!(list.allows(key), allowed, "{pattern} {key}");
        }
        assert!(!AllowedKeys::Listed(vec![]).allows("team"));
        assert!(AllowedKeys::Any.allows("team"));
    }

    #[test]
    fn a_star_stands_at_the_end_only() {
        for text in ["", "*/team", "a*b", "**", "team name", &"k".repeat(318)] {
            assert_eq!(KeyPattern::parse(text), None, "{text}");
        }
    }
}
