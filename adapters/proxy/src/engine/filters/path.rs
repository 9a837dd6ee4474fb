//! New paths for old ones (Gateway API, `HTTPPathModifier`).
//!
//! What a filter does not replace stays as the client wrote it, byte by byte: `//` and `%2F` too. Dot segments do not come
//! here: a request that has one is refused.

use domain::gateway::PathMatch;
use domain::route_table::after_prefix;

/// What is before and after a mark.
pub(super) fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Appends a part of a URI. Bytes that no URI may hold are encoded (RFC 3986 §2.1).
pub(super) fn push_encoded(uri: &mut String, text: &str) {
    for byte in text.bytes() {
        let fits = byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
        match fits {
            true => uri.push(char::from(byte)),
            false => uri.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// A prefix that replaces another: a prefix is no place for a query, so its marks are data, and its trailing slash does not
/// count.
pub(super) fn as_data(replacement: &str) -> String {
    let replacement = replacement.replace('?', "%3F").replace('#', "%23");
    replacement.trim_end_matches('/').to_owned()
}

/// Replaces the matched prefix element-wise by one that was made by [`as_data`]. The trailing slash of the prefix does not
/// count; the result starts with `/`. A rule matched otherwise than by prefix has nothing to replace, so the replacement
/// becomes the whole path.
pub(super) fn replace_prefix(path: &str, matched: &PathMatch, replacement: &str) -> String {
    let rest = match matched {
        PathMatch::Prefix(prefix) if path.starts_with('/') => {
            after_prefix(path, prefix.trim_end_matches('/')).unwrap_or_default()
        }
        // `*` of OPTIONS is no path.
        PathMatch::Prefix(_) | PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Call(_) => "",
    };
    let mut result = String::with_capacity(replacement.len() + rest.len() + 1);
    result.push_str(replacement);
    result.push_str(rest);
    if !result.starts_with('/') {
        result.insert(0, '/');
    }
    result
}
