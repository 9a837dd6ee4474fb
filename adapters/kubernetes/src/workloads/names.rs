//! What the objects of a Gateway are called, and the labels by which they are found.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Longest label value, and longest name of ours: a Deployment's name becomes part of its pods' names.
const LONGEST: usize = 63;

/// Hexadecimal digits of a hash that stands for what was cut off.
const HASH_DIGITS: usize = 10;

/// Label with the name of the Gateway that an object was made for (GEP-1762).
pub const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// Label with the name of that Gateway's class (GEP-1762).
pub(super) const CLASS_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";

/// Label with the name of a replica; its value is [`ALIKE`] where replicas have no names.
pub(super) const REPLICA_LABEL: &str = "cloudflare-gateway-controller.io/replica";

/// Stands for replicas without names. No name of a replica has an upper case letter.
pub(super) const ALIKE: &str = "Alike";

/// Who made the object, as a label.
pub(crate) const MANAGED_BY: (&str, &str) = (
    "app.kubernetes.io/managed-by",
    "cloudflare-gateway-controller",
);

/// What the object is for.
const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "proxy");

/// Name of the Secret, the ServiceAccount, the PodDisruptionBudget and the Deployment of a Gateway:
/// `gateway-<name>`, with a hash in place of what passes 63 characters.
pub fn object_name(gateway: &str) -> String {
    shortened(&format!("gateway-{gateway}"))
}

/// Name of the Deployment of a named replica.
pub(super) fn replica_name(gateway: &str, replica: &str) -> String {
    shortened(&format!("gateway-{gateway}-{replica}"))
}

/// Labels of everything that is made for a Gateway.
pub(super) fn labels(gateway: &str) -> BTreeMap<String, String> {
    let name = shortened(gateway);
    [
        ("app.kubernetes.io/name", "cfgw-proxy"),
        ("app.kubernetes.io/instance", name.as_str()),
        (GATEWAY_NAME_LABEL, name.as_str()),
        MANAGED_BY,
        COMPONENT,
    ]
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .into()
}

/// Labels by which the pods of a Gateway are chosen. They can never change: a Deployment's selector is fixed.
pub(super) fn pod_labels(gateway: &str) -> BTreeMap<String, String> {
    [
        (GATEWAY_NAME_LABEL.to_owned(), shortened(gateway)),
        (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()),
    ]
    .into()
}

/// Whether a label is one of those that the controller sets.
pub(super) fn is_own_label(label: &str) -> bool {
    [REPLICA_LABEL, CLASS_NAME_LABEL].contains(&label) || labels("").contains_key(label)
}

/// Selects what was made for a Gateway, in its namespace.
pub(super) fn selector_of(gateway: &str) -> String {
    format!(
        "{},{GATEWAY_NAME_LABEL}={}",
        selector_of_all(),
        shortened(gateway)
    )
}

/// Selects what was made for any Gateway.
pub(super) fn selector_of_all() -> String {
    [MANAGED_BY, COMPONENT]
        .map(|(label, value)| format!("{label}={value}"))
        .join(",")
}

/// Whether an object carries the labels of what is made for a Gateway.
pub(super) fn is_labelled(labels: Option<&BTreeMap<String, String>>, gateway: &str) -> bool {
    let wanted = pod_labels(gateway);
    labels.is_some_and(|labels| {
        wanted
            .iter()
            .all(|(label, value)| labels.get(label) == Some(value))
    })
}

/// The text, or its beginning with a hash of the whole where it is too long.
pub(super) fn shortened(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let hash = hex(&Sha256::digest(text.as_bytes()));
    let kept = text[..LONGEST - HASH_DIGITS - 1].trim_end_matches(['-', '.']);
    format!("{kept}-{}", &hash[..HASH_DIGITS])
}

/// Lower case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_long_as_it_fits() {
        let table = [
            ("web", "gateway-web".to_owned()),
            ("web.example.com", "gateway-web.example.com".to_owned()),
            (&"a".repeat(55), format!("gateway-{}", "a".repeat(55))),
        ];
        for (gateway, expected) in table {
            assert_eq!(object_name(gateway), expected);
        }
    }

    #[test]
    fn long_names_are_cut_and_still_differ() {
        let long = |end: char| format!("{}{end}", "a".repeat(200));
        let (one, other) = (object_name(&long('b')), object_name(&long('c')));
        assert_eq!(one.len(), 63);
        assert_ne!(one, other);
        assert_eq!(one, object_name(&long('b')), "and stay");
        let dotted = object_name(&format!("{}.{}", "a".repeat(43), "b".repeat(50)));
        assert!(!dotted.contains(".-"), "{dotted}");
    }

    #[test]
    fn every_label_value_fits_whatever_the_name() {
        for value in labels(&"g".repeat(253)).values() {
            assert!(value.len() <= 63, "{value}");
        }
    }
}
