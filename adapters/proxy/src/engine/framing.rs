//! The length of a message, written in one way. Each hop frames what it sends anew, so whatever an endpoint wrote, the next
//! reader sees at most one `Content-Length`, and one that is true.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;

use crate::body::BodyEnd;

/// A message that could be read in two ways, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Writes an answer's length in one way (RFC 9110 §8.6, RFC 9112 §6):
///
/// - several lengths are one if they are the same number, and none beside `chunked` or where the status allows none;
/// - `identity` is no coding, so a length beside it counts, as it does for nginx;
/// - the client would have to know any other coding, which HTTP/2 cannot say.
pub(super) fn of_answer(head: &mut Parts) -> Result<BodyEnd, Unreadable> {
    let coding = coding(&head.headers)?;
    let length = plain_length(&mut head.headers)?;
    let Some(length) = length else {
        return Ok(BodyEnd::OfConnection);
    };
    let has_none = head.status.is_informational() || head.status == StatusCode::NO_CONTENT;
    if has_none || coding == Coding::Chunked {
        head.headers.remove(CONTENT_LENGTH);
    }
    Ok(match coding {
        Coding::Identity => BodyEnd::AfterBytes(length),
        Coding::None | Coding::Chunked => BodyEnd::OfConnection,
    })
}

/// The number in `Content-Length`, written in the one way that every reader understands alike: once, and without
/// zeros in front, because `010` is eight to a reader of octal numbers.
pub(super) fn plain_length(headers: &mut HeaderMap) -> Result<Option<u64>, Unreadable> {
    let mut found = None;
    let mut is_plain = true;
    for text in headers.get_all(CONTENT_LENGTH).iter().flat_map(tokens) {
        let length = number(text).ok_or(Unreadable)?;
        is_plain = found.is_none() && (text.len() == 1 || text[0] != b'0');
        if found.replace(length).is_some_and(|other| other != length) {
            return Err(Unreadable);
        }
    }
    if let Some(length) = found.filter(|_| !is_plain) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    None,
    Identity,
    Chunked,
}

fn coding(headers: &HeaderMap) -> Result<Coding, Unreadable> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().flat_map(tokens);
    let Some(first) = codings.next() else {
        return Ok(Coding::None);
    };
    let is_identity = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    if is_identity(first) && codings.all(is_identity) {
        Ok(Coding::Identity)
    } else if first.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
        Ok(Coding::Chunked)
    } else {
        Err(Unreadable)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    digits.parse().ok()
}

/// The items of a comma list.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    #[test]
    fn an_answer_tells_its_length_in_one_way_or_is_refused() {
        type Lines<'a> = &'a [(&'a str, &'a str)];
        type Told<'a> = Result<(Option<&'a str>, BodyEnd), Unreadable>;
        const PLAIN: BodyEnd = BodyEnd::OfConnection;
        let rows: [(u16, Lines<'_>, Told<'_>); 35] = [
            (200, &[], Ok((None, PLAIN))),
            (200, &[("content-length", "2")], Ok((Some("2"), PLAIN))),
            (200, &[("content-length", "0")], Ok((Some("0"), PLAIN))),
            (200, &[("content-length", "00")], Ok((Some("0"), PLAIN))),
            (200, &[("content-length", "0002")], Ok((Some("2"), PLAIN))),
            (200, &[("content-length", "2, 2")], Ok((Some("2"), PLAIN))),
            (200, &[("content-length", "02,2")], Ok((Some("2"), PLAIN))),
            (
                200,
                &[("content-length", "2"), ("content-length", "2")],
                Ok((Some("2"), PLAIN)),
            ),
            (
                200,
                &[("content-length", "2"), ("content-length", "3")],
                Err(Unreadable),
            ),
            (200, &[("content-length", "2, 3")], Err(Unreadable)),
            (200, &[("content-length", "2,")], Err(Unreadable)),
            (200, &[("content-length", "")], Err(Unreadable)),
            (200, &[("content-length", "+2")], Err(Unreadable)),
            (200, &[("content-length", "-2")], Err(Unreadable)),
            (200, &[("content-length", "0x2")], Err(Unreadable)),
            (200, &[("content-length", "2 2")], Err(Unreadable)),
            (200, &[("content-length", "2.0")], Err(Unreadable)),
            (
                200,
                &[("content-length", "18446744073709551616")],
                Err(Unreadable),
            ),
            (204, &[("content-length", "2")], Ok((None, PLAIN))),
            (204, &[("content-length", "0")], Ok((None, PLAIN))),
            (101, &[("content-length", "2")], Ok((None, PLAIN))),
            (304, &[("content-length", "02")], Ok((Some("2"), PLAIN))),
            (304, &[("content-length", "x")], Err(Unreadable)),
            (200, &[("transfer-encoding", "Chunked")], Ok((None, PLAIN))),
            (
                200,
                &[("transfer-encoding", "chunked"), ("content-length", "2")],
                Ok((None, PLAIN)),
            ),
            (
                200,
                &[("transfer-encoding", "chunked"), ("content-length", "x")],
                Err(Unreadable),
            ),
            (200, &[("transfer-encoding", "identity")], Ok((None, PLAIN))),
            (
                200,
                &[("transfer-encoding", "Identity"), ("content-length", "02")],
                Ok((Some("2"), BodyEnd::AfterBytes(2))),
            ),
            (
                200,
                &[("transfer-encoding", ""), ("content-length", "2")],
                Ok((Some("2"), BodyEnd::AfterBytes(2))),
            ),
            (200, &[("transfer-encoding", "gzip")], Err(Unreadable)),
            (
                200,
                &[("transfer-encoding", "gzip, chunked")],
                Err(Unreadable),
            ),
            (
                200,
                &[("transfer-encoding", "chunked, chunked")],
                Err(Unreadable),
            ),
            (
                200,
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                Err(Unreadable),
            ),
            (
                200,
                &[("transfer-encoding", "chunked, identity")],
                Err(Unreadable),
            ),
            (200, &[("transfer-encoding", "chunked,")], Err(Unreadable)),
        ];
        for (status, lines, expected) in rows {
            let mut answer = Response::builder().status(status);
            for (name, value) in lines {
                answer = answer.header(*name, *value);
            }
            let (mut head, ()) = answer.body(()).unwrap().into_parts();
            let found = of_answer(&mut head).map(|end| {
                let lengths = head.headers.get_all(CONTENT_LENGTH).iter();
                let lengths: Vec<&str> = lengths.map(|length| length.to_str().unwrap()).collect();
                assert!(lengths.len() < 2, "{status} {lines:?}: {lengths:?}");
                (lengths.first().copied(), end)
            });
            assert_eq!(found, expected, "{status} {lines:?}");
        }
    }
}
