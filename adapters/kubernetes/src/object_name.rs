//! Names that users wrote into references, before they become part of a path or a selector.

use domain::ObjectKey;
use domain::names::is_object_name;

/// Whether an object may have this key. No object has another one, so the API server need not be asked for it.
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
