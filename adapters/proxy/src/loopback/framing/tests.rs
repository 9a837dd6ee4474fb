use proptest::collection::vec;
use proptest::prelude::*;

use super::Ambiguity::{BareLineFeed, BothFramings, LongChunk, NoNumber, SeveralLengths};
use super::{Ambiguity, Framing, Part, Refused};

/// The verdict on bytes that come in pieces of one size, and where the refused line begins in all of them, or the
/// part of it that came last.
fn verdict(bytes: &[u8], piece: usize) -> (Option<Ambiguity>, Framing) {
    let mut framing = Framing::default();
    for piece in bytes.chunks(piece) {
        if let Err(refused) = framing.follow(piece) {
            return (Some(refused.why), framing);
        }
    }
    (None, framing)
}

/// A head with these lines, then what follows it.
fn post(lines: &str, rest: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n{rest}")
}

#[test]
fn what_can_be_cut_in_two_places_is_refused() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("nothing", String::new(), None),
        ("a request without a body", post("", ""), None),
        (
            "a body of known length",
            post("Content-Length: 3\r\n", "a\nb"),
            None,
        ),
        ("chunks", post(chunked, "3\r\na\nb\r\n0\r\n\r\n"), None),
        (
            "a chunk extension",
            post(chunked, "1 ;a=\"b\"\r\nx\r\n0\r\n\r\n"),
            None,
        ),
        (
            "trailers",
            post(chunked, "0\r\nContent-Length: 1\r\n\r\n"),
            None,
        ),
        (
            "empty lines before a request",
            format!("\r\n\r\n{}", post("", "")),
            None,
        ),
        (
            "lines that end in LF",
            "GET / HTTP/1.1\nHost: a\n\n".into(),
            Some(BareLineFeed),
        ),
        (
            "one line that ends in LF",
            post("X: y\n", ""),
            Some(BareLineFeed),
        ),
        (
            "an empty line of LF before a request",
            format!("\n{}", post("", "")),
            Some(BareLineFeed),
        ),
        (
            "a head that ends in LF",
            "GET / HTTP/1.1\r\nHost: a\r\n\n".into(),
            Some(BareLineFeed),
        ),
        (
            "a chunk's size with LF",
            post(chunked, "1\nx\r\n0\r\n\r\n"),
            Some(BareLineFeed),
        ),
        (
            "an extension with LF",
            post(chunked, "1;a\nx\r\n0\r\n\r\n"),
            Some(BareLineFeed),
        ),
        (
            "a trailer with LF",
            post(chunked, "0\r\nX: y\n\r\n"),
            Some(BareLineFeed),
        ),
        (
            "length, coding",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", ""),
            Some(BothFramings),
        ),
        (
            "coding, length",
            post("transfer-encoding:chunked\r\nCONTENT-LENGTH:3\r\n", ""),
            Some(BothFramings),
        ),
        (
            "coding, no length",
            post("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", ""),
            Some(BothFramings),
        ),
        (
            "equal lengths",
            post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            Some(SeveralLengths),
        ),
        (
            "lengths of nothing",
            post("Content-Length: 0\r\nContent-Length: 0\r\n", ""),
            Some(SeveralLengths),
        ),
        (
            "different lengths",
            post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
            Some(SeveralLengths),
        ),
        (
            "a list of lengths",
            post("Content-Length: 3, 3\r\n", "abc"),
            Some(NoNumber),
        ),
        (
            "a length with a sign",
            post("Content-Length: +3\r\n", "abc"),
            Some(NoNumber),
        ),
        ("no length", post("Content-Length:\r\n", ""), Some(NoNumber)),
        (
            "too great a length",
            post("Content-Length: 18446744073709551616\r\n", ""),
            Some(NoNumber),
        ),
        (
            "a chunk's size with a sign",
            post(chunked, "+1\r\nx\r\n0\r\n\r\n"),
            Some(NoNumber),
        ),
        (
            "a chunk without a size",
            post(chunked, "\r\n"),
            Some(NoNumber),
        ),
        (
            "a long chunk",
            post(chunked, "1\r\nxy\r\n0\r\n\r\n"),
            Some(LongChunk),
        ),
    ];
    let then_more = post("", "GET /next HTTP/1.1\r\n");
    for (given, request, then) in rows {
        let pipelined = [request.as_str(), &then_more].concat();
        for piece in [1, 2, 3, 7, usize::MAX] {
            let found = verdict(pipelined.as_bytes(), piece).0;
            assert_eq!(found, then, "{given}, in pieces of {piece}");
        }
        // What came before on the connection changes nothing.
        let second = [
            then_more.trim_end_matches("GET /next HTTP/1.1\r\n"),
            &pipelined,
        ]
        .concat();
        assert_eq!(verdict(second.as_bytes(), 5).0, then, "{given}, second");
    }
}

#[test]
fn the_line_that_is_refused_is_cut_off() {
    let fine = "POST / HTTP/1.1\r\nContent-Length: 3\r\n";
    let bytes = [fine, "Transfer-Encoding: chunked\r\n\r\nrest"].concat();
    let refused = Framing::default().follow(bytes.as_bytes());
    let expected = Refused {
        why: BothFramings,
        before: fine.len(),
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn http2_is_not_followed() {
    let frames = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\nContent-Length: x\n";
    let (refused, framing) = verdict(frames.as_bytes(), 5);
    assert_eq!((refused, framing.part), (None, Part::Frames));

    let later = ["GET / HTTP/1.1\r\n\r\n", frames].concat();
    assert_eq!(verdict(later.as_bytes(), 5).0, Some(BareLineFeed));
}

#[test]
fn a_request_for_another_protocol_is_remembered() {
    let rows = [
        ("", false),
        ("Upgrade: websocket\r\n", true),
        ("X-Upgrade: no\r\n", false),
    ];
    for (line, then) in rows {
        let framing = verdict(post(line, "").as_bytes(), 100).1;
        assert_eq!(framing.upgrade_asked(), then, "{line}");
    }
}

/// A well-formed request, as [`Part::Between`] must follow on it.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = vec(any::<u8>(), 0..40);
    let line = "[A-Za-z-]{1,12}: [ -~]{0,20}\r\n".prop_filter("a header of its own", |line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("transfer-encoding:")
    });
    (vec(line, 0..4), vec(body, 0..4), any::<bool>()).prop_map(|(lines, bodies, chunked)| {
        let mut request = format!("POST / HTTP/1.1\r\n{}", lines.concat()).into_bytes();
        if chunked {
            request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in bodies.iter().filter(|chunk| !chunk.is_empty()) {
                request.extend(format!("{:X};x\r\n", chunk.len()).bytes());
                request.extend(chunk);
                request.extend(b"\r\n");
            }
            request.extend(b"0\r\n\r\n");
        } else {
            let body = bodies.concat();
            request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            request.extend(body);
        }
        request
    })
}

proptest! {
    #[test]
    fn well_formed_requests_pass_and_end_where_they_end(
        requests in vec(request(), 1..5),
        piece in 1_usize..50,
    ) {
        let (refused, framing) = verdict(&requests.concat(), piece);
        prop_assert_eq!(refused, None);
        prop_assert_eq!(framing.part, Part::Between);
    }

    #[test]
    fn pieces_change_no_verdict(bytes in "([a-zA-Z0-9:;+ \r\n]|\r\n|Content-Length: |Transfer-Encoding: chunked\r\n){0,60}", piece in 1_usize..20) {
        let whole = verdict(bytes.as_bytes(), usize::MAX).0;
        prop_assert_eq!(verdict(bytes.as_bytes(), piece).0, whole);
    }
}
