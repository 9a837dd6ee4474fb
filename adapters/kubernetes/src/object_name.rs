//! Names that users wrote into references, before they become part of a path or a selector.

use domain::ObjectKey;

/// Whether a name can be one of Kubernetes' (RFC 1123 subdomain).
fn is_object_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        label.bytes().all(|b| inner(b) || b == b'-')
            && label.bytes().next().is_some_and(inner)
            && label.bytes().last().is_some_and(inner)
    };
    (1..=253).contains(&name.len()) && name.split('.').all(is_label)
}

/// Whether an object may have this key. No object has another one, so nobody needs to be asked for it.
pub(crate) fn is_possible(key: &ObjectKey) -> bool {
    is_object_name(&key.namespace) && is_object_name(&key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_would_leave_its_path_is_no_name() {
        for (namespace, name, possible) in [
            ("default", "tls", true),
            ("a-1", "v1.example.com", true),
            ("default", "../../apis", false),
            ("default", "a,metadata.name!=b", false),
            ("default?x=", "tls", false),
            ("", "tls", false),
            ("default", "", false),
            ("default", "TLS", false),
        ] {
            let key = ObjectKey::new(namespace, name);
            assert_eq!(is_possible(&key), possible, "{key}");
        }
    }
}
