//! Query parameters of a raw query.
//!
//! The Gateway API leaves the encoding open. Read here is `application/x-www-form-urlencoded` as the URL
//! standard parses it (<https://url.spec.whatwg.org/#urlencoded-parsing>): pieces are parted by `&`, name
//! and value by the first `=`, `+` is a space, `%` with two hexadecimal digits is a byte, and any other
//! `%` is itself. Names and values are compared after decoding, byte by byte.

use std::borrow::Cow;

/// The raw value of the first parameter with this name; empty where it has no `=`.
pub(super) fn first_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .find(|(raw, _)| decodes_to(raw, name))
        .map(|(_, value)| value)
}

/// Whether a raw text decodes to this one. Allocates nothing.
pub(super) fn decodes_to(raw: &str, text: &str) -> bool {
    decoded_bytes(raw).eq(text.bytes())
}

/// The decoded text; bytes that are no UTF-8 become U+FFFD. Allocates only where something is encoded.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    let bytes: Vec<u8> = decoded_bytes(raw).collect();
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn decoded_bytes(raw: &str) -> impl Iterator<Item = u8> {
    let mut rest = raw.as_bytes();
    std::iter::from_fn(move || {
        let (byte, taken) = match *rest {
            [] => return None,
            [b'%', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (16 * high + low, 3),
                _ => (b'%', 1),
            },
            [b'+', ..] => (b' ', 1),
            [byte, ..] => (byte, 1),
        };
        rest = &rest[taken..];
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
