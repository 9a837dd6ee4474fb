//! Paths as backends understand them, for comparing.

use std::borrow::Cow;

/// A path that servers read in different ways: a dot segment, plain or encoded, or a NUL. Clients
/// remove dot segments before they send a request (RFC 3986 §5.2.4), so who sends one wants a rule to see
/// another path than its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path can be read in more than one way")]
pub struct AmbiguousPath;

/// The form in which paths are compared with the values of rules. It undoes what a backend may undo, so that
/// a rule for `/admin` sees `//admin`, `/%61dmin` and `/x%2F..` as its backend would:
///
/// - percent-encoded printable ASCII is decoded, `%25` excepted, because what is encoded twice is data;
///   of what stays encoded the digits are upper case, and a `%` that encodes nothing is `%25`;
/// - bytes of no printable ASCII are encoded, as they are in most requests;
/// - `\` is `/`, and several slashes are one.
///
/// Requests are passed on as they came; this form is for comparing only. Parameters of segments (`;a=b`) are
/// part of the segment.
///
/// # Errors
/// The path has a segment `.` or `..` after that (also with parameters: `..;`), or a NUL.
pub fn canonical_path(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let mut canonical = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while !rest.is_empty() {
        rest = step(rest, &mut canonical)?;
    }
    let canonical = String::from_utf8(canonical).map_err(|_| AmbiguousPath)?;
    if canonical.split('/').any(is_dot_segment) {
        return Err(AmbiguousPath);
    }
    Ok(Cow::Owned(canonical))
}

/// What follows a prefix in a path, as the path has it. The prefix is canonical and does not end with `/`. `None` where the
/// canonical form of the path does not begin with it.
pub fn after_prefix<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    if let Some(rest) = path.strip_prefix(prefix) {
        return Some(rest);
    }
    let mut canonical = Vec::with_capacity(prefix.len() + 3);
    let mut rest = path.as_bytes();
    while !rest.is_empty() && canonical.len() < prefix.len() {
        rest = step(rest, &mut canonical).ok()?;
    }
    // A prefix may end within a character that the path does not encode.
    let rest = path.get(path.len() - rest.len()..)?;
    (canonical == prefix.as_bytes()).then_some(rest)
}

/// Appends the canonical form of what a path begins with, and returns what follows that.
fn step<'p>(path: &'p [u8], canonical: &mut Vec<u8>) -> Result<&'p [u8], AmbiguousPath> {
    let [first, after @ ..] = path else {
        return Ok(path);
    };
    match (first, encoded(after)) {
        (b'%', Some((0, _))) | (0, _) => return Err(AmbiguousPath),
        (b'%', Some((byte, tail))) => {
            if byte.is_ascii_graphic() && byte != b'%' {
                push(canonical, byte);
            } else {
                canonical.push(b'%');
                canonical.extend(after[..2].iter().map(u8::to_ascii_uppercase));
            }
            return Ok(tail);
        }
        (b'%', None) => canonical.extend(b"%25"),
        _ if first.is_ascii_graphic() => push(canonical, *first),
        _ => canonical.extend(format!("%{first:02X}").bytes()),
    }
    Ok(after)
}

/// Whether a path is its own canonical form at a glance, as nearly every path is.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let plain = match byte {
            b'%' | b'\\' => false,
            _ if !byte.is_ascii_graphic() => false,
            b'/' | b'.' => before != b'/',
            _ => true,
        };
        before = byte;
        plain
    }) && !path.starts_with('.')
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn encoded(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let [high, low, tail @ ..] = text else {
        return None;
    };
    Some((16 * digit(*high)? + digit(*low)?, tail))
}

fn push(canonical: &mut Vec<u8>, byte: u8) {
    let byte = if byte == b'\\' { b'/' } else { byte };
    if byte != b'/' || canonical.last() != Some(&b'/') {
        canonical.push(byte);
    }
}

fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split_once(';').map_or(segment, |(name, _)| name);
    name == "." || name == ".."
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_compared_as_a_backend_would_understand_it() {
        for (given, then) in [
            ("/", Ok("/")),
            ("/admin/x", Ok("/admin/x")),
            ("*", Ok("*")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/a.b/..c", Ok("/a.b/..c")),
            ("/%61dmin", Ok("/admin")),
            ("//admin", Ok("/admin")),
            ("/admin//", Ok("/admin/")),
            ("/%2Fadmin", Ok("/admin")),
            ("/x%2fadmin", Ok("/x/admin")),
            ("/\\admin", Ok("/admin")),
            ("/%5cadmin", Ok("/admin")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/caf\u{e9}", Ok("/caf%C3%A9")),
            ("/a b\u{7f}", Ok("/a%20b%7F")),
            ("/a%20b%7f", Ok("/a%20b%7F")),
            ("/%7Bid%7d|^", Ok("/{id}|^")),
            ("/a%3Bb%3Dc", Ok("/a;b=c")),
            ("/a/;x/b", Ok("/a/;x/b")),
            ("/a%2F%2F%5c/b", Ok("/a/b")),
            ("/x/%2e;v=1/admin", Err(AmbiguousPath)),
            ("/x/..%3b/admin", Err(AmbiguousPath)),
            ("/x%5c..%5Cadmin", Err(AmbiguousPath)),
            ("/%2561dmin", Ok("/%2561dmin")),
            ("/100%", Ok("/100%25")),
            ("/%zz/%4", Ok("/%25zz/%254")),
            ("/%%32e%%32e/", Ok("/%252e%252e/")),
            ("/a;b=c", Ok("/a;b=c")),
            ("/x/../admin", Err(AmbiguousPath)),
            ("/x/%2e%2E/admin", Err(AmbiguousPath)),
            ("/x/.%2e%2fadmin", Err(AmbiguousPath)),
            ("/./admin", Err(AmbiguousPath)),
            ("/x\\..\\admin", Err(AmbiguousPath)),
            ("/x/..;/admin", Err(AmbiguousPath)),
            ("/..", Err(AmbiguousPath)),
            ("..", Err(AmbiguousPath)),
            ("/admin%00", Err(AmbiguousPath)),
            ("/admin\0", Err(AmbiguousPath)),
        ] {
            let found = canonical_path(given);
            assert_eq!(found.as_deref(), then.as_deref(), "{given}");
        }
    }

    #[test]
    fn what_follows_a_prefix_is_as_the_path_has_it() {
        for (path, prefix, rest) in [
            ("/foo/bar", "/foo", Some("/bar")),
            ("/foo", "/foo", Some("")),
            ("/foo//a%2Fb", "/foo", Some("//a%2Fb")),
            ("//foo/a", "/foo", Some("/a")),
            ("/%66oo/a%3Fb%23c", "/foo", Some("/a%3Fb%23c")),
            ("/x%2Ffoo%2Fa", "/x/foo", Some("%2Fa")),
            ("\\foo\\a", "/foo", Some("\\a")),
            ("/caf%c3%a9/a", "/caf%C3%A9", Some("/a")),
            ("/caf\u{e9}/a", "/caf%C3%A9", Some("/a")),
            // Within a character.
            ("/caf\u{e9}/a", "/caf%C3", None),
            ("/bar", "/foo", None),
            ("/", "/foo", None),
            ("/any", "", Some("/any")),
        ] {
            assert_eq!(after_prefix(path, prefix), rest, "{path} {prefix}");
        }
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for plain in ["/", "*", "/admin/x", "/a.b/c", "/{id}|^;a=b"] {
            let found = canonical_path(plain);
            assert!(matches!(found, Ok(Cow::Borrowed(_))), "{plain}");
        }
    }

    proptest! {
        #[test]
        fn comparing_twice_is_comparing_once(path in "/[a-c%2fFeE0./\\\\;]{0,20}") {
            if let Ok(once) = canonical_path(&path) {
                let twice = canonical_path(&once).map(Cow::into_owned);
                prop_assert_eq!(twice, Ok(once.into_owned()));
            }
        }

        #[test]
        fn a_path_is_its_prefix_and_what_follows(
            path in "(/[a-c%2fFeE0.\\\\;\u{e9}]{0,5}){1,4}",
            segments in 0usize..3,
        ) {
            if let Ok(canonical) = canonical_path(&path) {
                let prefix = canonical.split('/').take(segments + 1).collect::<Vec<_>>().join("/");
                let rest = after_prefix(&path, &prefix).unwrap();
                let again = format!("{prefix}{rest}");
                let again = canonical_path(&again).map(Cow::into_owned);
                prop_assert_eq!(again, Ok(canonical.into_owned()));
            }
        }

        #[test]
        fn any_text_has_a_form_or_is_ambiguous(path in "\\PC{0,40}") {
            if let Ok(canonical) = canonical_path(&path) {
                prop_assert!(!canonical.contains("//"));
                prop_assert!(!canonical.split('/').any(|s| s == "." || s == ".."));
            }
        }

        #[test]
        fn encoding_a_path_hides_nothing_from_a_rule(
            path in "(/[a-z0-9~_-]{1,5}){1,4}",
            encode in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let written: String = path
                .chars()
                .zip(encode.iter().cycle())
                .map(|(c, encode)| if *encode && c != '/' {
                    format!("%{:02x}", u32::from(c))
                } else {
                    c.to_string()
                })
                .collect();
            let canonical = canonical_path(&written).unwrap();
            prop_assert_eq!(canonical.as_ref(), path.as_str());
        }
    }
}
