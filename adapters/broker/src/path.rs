//! The paths of the API, made and read alike.

use domain::ObjectKey;

use crate::wire::Malformed;

/// Namespace and name as Kubernetes has them: a label (RFC 1123) and a subdomain of labels. Such names need
/// no encoding in a path, so an encoded path is never a right one.
pub(crate) fn gateway_key(namespace: &str, name: &str) -> Result<ObjectKey, Malformed> {
    if !is_label(namespace) {
        return Err(Malformed(
            "the namespace must have 1 to 63 of a-z, 0-9 and inner `-`".to_owned(),
        ));
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(Malformed(
            "the name must be labels of a-z, 0-9 and inner `-` with dots between them, 253 characters at most"
                .to_owned(),
        ));
    }
    Ok(ObjectKey::new(namespace, name))
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let fit = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(fit)
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}
