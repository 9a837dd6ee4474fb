//! Answers of endpoints: [`LENGTHS`], [`CODINGS`], and others.

use tests::raw_answers::{CODINGS, LENGTHS, Then};

use super::endpoint::Said;

const OK: Then = Then::Whole(200, Some("2"), "ok");

/// An answer of an endpoint, and what the visitor gets.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) given: String,
    /// Where the right value comes from.
    pub(super) source: &'static str,
    pub(super) method: &'static str,
    pub(super) answer: Answer,
    pub(super) then: Then,
}

/// What the endpoint says.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Over HTTP/1.1; whether it closes afterwards.
    Http1(Vec<u8>, bool),
    /// Over HTTP/2.
    H2c(Vec<Said>),
}

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let framing = LENGTHS.into_iter().chain(CODINGS).map(|row| Row {
        given: row.given.to_owned(),
        source: "RFC 9110 §8.6, RFC 9112 §6",
        method: row.method,
        answer: Answer::Http1(row.answer.into(), row.closes),
        then: row.then,
    });
    framing.chain(http1()).chain(h2c()).collect()
}

fn http1() -> Vec<Row> {
    let row = |given: &str, source, method, answer: String, closes, then| Row {
        given: given.to_owned(),
        source,
        method,
        answer: Answer::Http1(answer.into_bytes(), closes),
        then,
    };
    let get = |given, source, answer: &str, then| {
        row(given, source, "GET", answer.to_owned(), true, then)
    };
    let with = |given, source, lines: &str, then| {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
        row(given, source, "GET", answer, false, then)
    };
    let bad = Then::BadGateway;
    let value = |size: usize| format!("X-A: {}\r\n", "v".repeat(size));
    vec![
        with("a NUL in a value", "RFC 9110 §5.5", "X-A: b\0c\r\n", bad),
        with("a CR in a value", "RFC 9112 §2.2", "X-A: b\rc\r\n", bad),
        with("a folded line", "RFC 9112 §5.2", "X-A: b\r\n c\r\n", bad),
        with(
            "a space before the colon",
            "RFC 9112 §5.1",
            "X-A : b\r\n",
            bad,
        ),
        with("an empty name", "RFC 9110 §5.1", ": b\r\n", bad),
        with("a space in a name", "RFC 9110 §5.1", "X A: b\r\n", bad),
        with("a line without a colon", "RFC 9112 §5", "nonsense\r\n", bad),
        with("UTF-8 in a value", "RFC 9110 §5.5", "X-A: S\u{e3}o\r\n", OK),
        with("an empty value", "RFC 9110 §5.5", "X-A:\r\n", OK),
        with("an underscore in a name", "RFC 9110 §5.1", "X_A: b\r\n", OK),
        with(
            "110 KiB of headers",
            "Cloudflare, Connection limits: 128 KB",
            &value(110 << 10),
            OK,
        ),
        with(
            "140 KiB of headers",
            "Cloudflare, Connection limits: 128 KB",
            &value(140 << 10),
            bad,
        ),
        with(
            "150 lines of cookies",
            "RFC 6265 §3",
            &"Set-Cookie: a=b; Secure\r\n".repeat(150),
            OK,
        ),
        with(
            "5,000 header lines",
            "Cloudflare, Connection limits: 128 KB",
            &"X-A: b\r\n".repeat(5_000),
            OK,
        ),
        get(
            "early hints",
            "RFC 8297 §2",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            OK,
        ),
        get(
            "100 and 102 that nobody asked for",
            "RFC 9110 §15.2",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            OK,
        ),
        get(
            "101 that nobody asked for",
            "RFC 9110 §7.8",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            bad,
        ),
        get(
            "a body after 204",
            "RFC 9112 §6.3",
            "HTTP/1.1 204 No Content\r\n\r\nok",
            Then::Whole(204, None, ""),
        ),
        get(
            "a body after 304",
            "RFC 9112 §6.3",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
            Then::Whole(304, Some("2"), ""),
        ),
        row(
            "a body after the head for HEAD",
            "RFC 9112 §6.3",
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            true,
            Then::Whole(200, Some("2"), ""),
        ),
        get(
            "HTTP/1.0, to the connection's end",
            "RFC 9112 §6.3",
            "HTTP/1.0 200 OK\r\n\r\nok",
            Then::Whole(200, None, "ok"),
        ),
        get("nothing", "RFC 9110 §15.6.3", "", bad),
        get(
            "half a head",
            "RFC 9112 §8",
            "HTTP/1.1 200 OK\r\nX-A: b\r\n",
            bad,
        ),
        get(
            "another protocol",
            "RFC 9110 §15.6.3",
            "SSH-2.0-x\r\n\r\n",
            bad,
        ),
        get(
            "a status that is no number",
            "RFC 9112 §4",
            "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
            bad,
        ),
        get(
            "a chunk that is cut",
            "RFC 9112 §8",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
            Then::Cut,
        ),
        get(
            "a chunk's size that is no number",
            "RFC 9112 §7.1",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n",
            Then::Cut,
        ),
    ]
}

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;

fn said(fields: &[(&str, &[u8])]) -> Said {
    let field = |(name, value): &(&str, &[u8])| ((*name).to_owned(), value.to_vec());
    Said::Head(fields.iter().map(field).collect())
}

fn data() -> Said {
    Said::Data(b"ok".to_vec())
}

/// Where RFC 9113 §8.1.1 wants an error of the stream, a proxy that has passed nothing on answers 502.
fn h2c() -> Vec<Row> {
    let row = |given: &str, source, method, answer, then| Row {
        given: given.to_owned(),
        source,
        method,
        answer: Answer::H2c(answer),
        then,
    };
    let status: (&str, &[u8]) = (":status", b"200");
    let with = |given, source, fields: &[(&str, &[u8])], then| {
        let head = said(&[&[status][..], fields].concat());
        row(given, source, "GET", vec![head, data()], then)
    };
    let ends = |given, source, last: Said, then| {
        let answer = vec![said(&[status]), data(), last];
        row(given, source, "GET", answer, then)
    };
    let bad = Then::BadGateway;
    let mut rows = vec![
        with(
            "a length",
            "RFC 9113 §8.1.1",
            &[("content-length", b"2")],
            OK,
        ),
        with(
            "no length",
            "RFC 9113 §8.1",
            &[],
            Then::Whole(200, None, "ok"),
        ),
        with(
            "a length twice, alike",
            "RFC 9110 §8.6",
            &[("content-length", b"2"), ("content-length", b"2")],
            OK,
        ),
        with(
            "two lengths",
            "RFC 9110 §8.6",
            &[("content-length", b"2"), ("content-length", b"3")],
            bad,
        ),
        with("a sign", "RFC 9110 §8.6", &[("content-length", b"+2")], bad),
        with(
            "Connection",
            "RFC 9113 §8.2.2",
            &[("connection", b"close")],
            bad,
        ),
        with(
            "Transfer-Encoding",
            "RFC 9113 §8.2.2",
            &[("transfer-encoding", b"chunked")],
            bad,
        ),
        with(
            "capitals in a name",
            "RFC 9113 §8.2.1",
            &[("X-A", b"b")],
            bad,
        ),
        with(
            "a space in a name",
            "RFC 9113 §8.2.1",
            &[("x a", b"b")],
            bad,
        ),
        with("an empty name", "RFC 9113 §8.2.1", &[("", b"b")], bad),
        with(
            "a NUL in a value",
            "RFC 9113 §8.2.1",
            &[("x-a", b"b\0c")],
            bad,
        ),
        with(
            "a CR in a value",
            "RFC 9113 §8.2.1",
            &[("x-a", b"b\rc")],
            bad,
        ),
        with("two statuses", "RFC 9113 §8.3", &[(":status", b"200")], bad),
        with(
            "an unknown pseudo header",
            "RFC 9113 §8.3",
            &[(":x", b"b")],
            bad,
        ),
        with(
            "UTF-8 in a value",
            "RFC 9110 §5.5",
            &[("content-length", b"2"), ("x-a", b"S\xc3\xa3o")],
            OK,
        ),
        ends(
            "a reset without an error",
            "RFC 9113 §8.1",
            Said::Reset(NO_ERROR),
            Then::Cut,
        ),
        ends(
            "a reset with CANCEL",
            "RFC 9113 §8.1",
            Said::Reset(CANCEL),
            Then::Cut,
        ),
        ends(
            "a reset with INTERNAL_ERROR",
            "RFC 9113 §8.1",
            Said::Reset(INTERNAL_ERROR),
            Then::Cut,
        ),
        ends(
            "the connection's end",
            "RFC 9113 §8.1",
            Said::Close,
            Then::Cut,
        ),
    ];
    let cookies = [("set-cookie", &b"a=b"[..]); 150];
    let length = |bytes: &'static [u8]| said(&[status, ("content-length", bytes)]);
    let whole = |status, length, body| Then::Whole(status, length, body);
    rows.extend([
        row(
            "more than comes",
            "RFC 9113 §8.1.1",
            "GET",
            vec![length(b"3"), data()],
            Then::Cut,
        ),
        row(
            "less than comes",
            "RFC 9113 §8.1.1",
            "GET",
            vec![length(b"1"), data()],
            Then::Cut,
        ),
        row(
            "early hints",
            "RFC 8297 §2",
            "GET",
            vec![
                said(&[(":status", b"103"), ("link", b"</a>")]),
                length(b"2"),
                data(),
            ],
            OK,
        ),
        row(
            "100 that nobody asked for",
            "RFC 9110 §15.2",
            "GET",
            vec![said(&[(":status", b"100")]), length(b"2"), data()],
            OK,
        ),
        row(
            "101",
            "RFC 9113 §8.6",
            "GET",
            vec![said(&[(":status", b"101")])],
            bad,
        ),
        row(
            "204",
            "RFC 9110 §8.6",
            "GET",
            vec![said(&[(":status", b"204"), ("content-length", b"0")])],
            whole(204, None, ""),
        ),
        row(
            "304 with a length",
            "RFC 9110 §8.6",
            "GET",
            vec![said(&[(":status", b"304"), ("content-length", b"2")])],
            whole(304, Some("2"), ""),
        ),
        row(
            "a length for HEAD",
            "RFC 9110 §8.6",
            "HEAD",
            vec![length(b"2")],
            whole(200, Some("2"), ""),
        ),
        row(
            "no status",
            "RFC 9113 §8.3.2",
            "GET",
            vec![said(&[("x-a", b"b")])],
            bad,
        ),
        row(
            "no answer, but a reset",
            "RFC 9110 §15.6.3",
            "GET",
            vec![Said::Reset(INTERNAL_ERROR)],
            bad,
        ),
        row(
            "110 KiB of headers",
            "Cloudflare, Connection limits: 128 KB",
            "GET",
            vec![
                said(&[
                    status,
                    ("content-length", b"2"),
                    ("x-a", &[b'v'; 110 << 10]),
                ]),
                data(),
            ],
            OK,
        ),
        row(
            "150 lines of cookies",
            "RFC 6265 §3",
            "GET",
            vec![
                said(&[&[status, ("content-length", b"2")][..], &cookies].concat()),
                data(),
            ],
            OK,
        ),
        row(
            "GOAWAY while the answer goes on",
            "RFC 9113 §6.8",
            "GET",
            vec![length(b"2"), Said::GoAway { processed: true }, data()],
            OK,
        ),
    ]);
    rows
}
