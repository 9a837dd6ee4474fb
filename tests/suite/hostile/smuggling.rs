//! Messages that two readers could cut in different places (RFC 9112 §11.2;
//! docs/decisions/0008-ambiguous-framing.md).

use super::rig::{CANARY, Proxy, Recorder};

/// What must happen to the request of a row.
#[derive(Debug)]
enum Then {
    /// Refused with this status; no endpoint gets to see it in whole.
    Refused(u16),
    /// Read in the one way that the RFC leaves, and passed on framed anew: one request with this body.
    Served(&'static str),
}
use Then::{Refused, Served};

type Row = (&'static str, Vec<u8>, Then);

fn row(given: &'static str, request: &str, then: Then) -> Row {
    (given, request.as_bytes().to_vec(), then)
}

/// A POST with these headers and this body.
fn post(given: &'static str, headers: &str, body: &str, then: Then) -> Row {
    let request = format!(
        "POST /canary-target HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    row(given, &request, then)
}

/// A GET with these headers.
fn get(given: &'static str, headers: &str, then: Then) -> Row {
    let request = format!("GET /canary-target HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    row(given, &request, then)
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const SMUGGLED: &str = "0\r\n\r\nGET /smuggled-canary HTTP/1.1\r\nHost: app.example\r\n\r\n";

fn lengths() -> Vec<Row> {
    vec![
        post(
            "a length before a coding",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a length after a coding",
            "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a coding between two lengths",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a coding and a length that is no number",
            "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a coding in other letters, and a length",
            "transfer-ENCODING: Chunked\r\nCONTENT-length: 4\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "two lengths",
            "Content-Length: 5\r\nContent-Length: 50\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "the same length twice",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "the same length in two ways of writing it",
            "Content-Length: 5\r\nContent-Length: 005\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "a list of lengths",
            "Content-Length: 5, 5\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "a length with a sign",
            "Content-Length: +5\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "a negative length",
            "Content-Length: -1\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "a length in hexadecimal",
            "Content-Length: 0x5\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "a length beyond all numbers",
            "Content-Length: 99999999999999999999\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "an empty length",
            "Content-Length: \r\n",
            "hello",
            Refused(400),
        ),
        post(
            "a length with space before the colon",
            "Content-Length : 5\r\n",
            "hello",
            Refused(400),
        ),
        post(
            "what comes after the body",
            "Content-Length: 5\r\n",
            "helloGET /smuggled-canary HTTP/1.1\r\nHost: app.example\r\n\r\n",
            Served("hello"),
        ),
    ]
}

fn codings() -> Vec<Row> {
    vec![
        post(
            "an unknown coding",
            "Transfer-Encoding: xchunked\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "chunked and then another",
            "Transfer-Encoding: chunked, identity\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a coding that we do not take off",
            "Transfer-Encoding: gzip, chunked\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a coding with a control character",
            "Transfer-Encoding: \x0bchunked\r\n",
            SMUGGLED,
            Refused(400),
        ),
        post(
            "a coding with space before the colon",
            "Transfer-Encoding : chunked\r\n",
            SMUGGLED,
            Refused(400),
        ),
        row(
            "a coding in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Refused(400),
        ),
    ]
}

fn chunks() -> Vec<Row> {
    let flood = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a=canary;".repeat(20_000));
    vec![
        post(
            "good chunks",
            CHUNKED,
            "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
            Served("hello!"),
        ),
        post(
            "a chunk size that is no number",
            CHUNKED,
            "zz\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        post(
            "a negative chunk size",
            CHUNKED,
            "-5\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        post(
            "a chunk size beyond all numbers",
            CHUNKED,
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        post(
            "a chunk size in C",
            CHUNKED,
            "0x5\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        post(
            "a chunk longer than its size",
            CHUNKED,
            "4\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        post(
            "a chunk size without CR",
            CHUNKED,
            "5\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        post(
            "a trailer without CR",
            CHUNKED,
            "5\r\nhello\r\n0\r\nX-A: canary\n\r\n",
            Refused(400),
        ),
        post("a flood of chunk extensions", CHUNKED, &flood, Refused(400)),
        post(
            "trailers that pretend to be headers",
            CHUNKED,
            "5\r\nhello\r\n0\r\nHost: canary\r\nContent-Length: 0\r\n\r\n",
            Served("hello"),
        ),
    ]
}

fn heads() -> Vec<Row> {
    vec![
        get(
            "a folded line",
            "Host: app.example\r\nX-A: b\r\n canary\r\n",
            Refused(400),
        ),
        get(
            "a first line that is folded",
            " Host: app.example\r\n",
            Refused(400),
        ),
        get(
            "space before a colon",
            "Host: app.example\r\nX-A : canary\r\n",
            Refused(400),
        ),
        get(
            "a name without a colon",
            "Host: app.example\r\ncanary\r\n",
            Refused(400),
        ),
        get(
            "an empty name",
            "Host: app.example\r\n: canary\r\n",
            Refused(400),
        ),
        get(
            "a CR in a value",
            "Host: app.example\r\nX-A: b\rcanary: c\r\n",
            Refused(400),
        ),
        get(
            "a NUL in a value",
            "Host: app.example\r\nX-A: b\0canary\r\n",
            Refused(400),
        ),
        get("no host", "", Refused(400)),
        get(
            "two hosts",
            "Host: app.example\r\nHost: canary.example\r\n",
            Refused(400),
        ),
        get(
            "the same host twice",
            "Host: app.example\r\nHost: app.example\r\n",
            Refused(400),
        ),
        get(
            "a host with user",
            "Host: canary@app.example\r\n",
            Refused(400),
        ),
        get(
            "a host with path",
            "Host: app.example/canary\r\n",
            Refused(400),
        ),
        get(
            "a list of hosts",
            "Host: app.example, canary.example\r\n",
            Refused(400),
        ),
        get(
            "a host with a bad port",
            "Host: app.example:canary\r\n",
            Refused(400),
        ),
        row(
            "space in the target",
            "GET /a canary HTTP/1.1\r\nHost: app.example\r\n\r\n",
            Refused(400),
        ),
        row(
            "a tab in the request line",
            "GET\t/canary\tHTTP/1.1\r\nHost: app.example\r\n\r\n",
            Refused(400),
        ),
        row(
            "a control character in the target",
            "GET /a\x01canary HTTP/1.1\r\nHost: app.example\r\n\r\n",
            Refused(400),
        ),
        row(
            "a control character in the method",
            "G\x01T /canary HTTP/1.1\r\nHost: app.example\r\n\r\n",
            Refused(400),
        ),
        row("HTTP/0.9", "GET /canary\r\n\r\n", Refused(400)),
        row(
            "HTTP/3.0 in clear text",
            "GET /canary HTTP/3.0\r\nHost: app.example\r\n\r\n",
            Refused(400),
        ),
        row(
            "a tunnel",
            "CONNECT canary.example:443 HTTP/1.1\r\nHost: canary.example:443\r\n\r\n",
            Refused(405),
        ),
        row(
            "lines that end in LF alone",
            "GET /canary-target HTTP/1.1\nHost: app.example\nConnection: close\n\n",
            Refused(400),
        ),
        get(
            "one line that ends in LF alone",
            "Host: app.example\nX-A: canary\r\n",
            Refused(400),
        ),
        row(
            "a head that ends in LF alone",
            "GET /canary-target HTTP/1.1\r\nHost: app.example\r\n\n",
            Refused(400),
        ),
        row(
            "a target with another host",
            "GET http://app.example/canary-target HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            Served(""),
        ),
    ]
}

fn sizes() -> Vec<Row> {
    let path = format!(
        "GET /{} HTTP/1.1\r\nHost: app.example\r\n\r\n",
        CANARY.repeat(4_000)
    );
    let value = format!("Host: app.example\r\nX-A: {}\r\n", CANARY.repeat(24_000));
    let many = format!("Host: app.example\r\n{}", "X-A: canary\r\n".repeat(256));
    let flood = format!("Host: app.example\r\n{}", "X-A: canary\r\n".repeat(20_000));
    let endless = format!("Host: app.example\r\nX-A: {}\r\n", CANARY.repeat(200_000));
    vec![
        row("a path of 24,000 bytes", &path, Refused(414)),
        get("a header of 144,000 bytes", &value, Refused(431)),
        get("258 headers", &many, Refused(431)),
        get("20,000 headers", &flood, Refused(431)),
        get("a header of 1,200,000 bytes", &endless, Refused(431)),
    ]
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_or_read_in_the_safe_one() {
    let app = Recorder::start().await;
    let rows = [lengths(), codings(), chunks(), heads(), sizes()];
    for (given, request, then) in rows.into_iter().flatten() {
        // A proxy for each row: one that refuses many in a second leaves lines out.
        let proxy = Proxy::start(&[("/", app.address)]).await;
        assert!(proxy.serves().await, "before {given}");
        app.take();

        let statuses = proxy.statuses(&request).await;

        let reached = app.take();
        let logged = proxy.logged();
        match then {
            Refused(status) => {
                assert_eq!(statuses, [status], "{given}");
                assert!(reached.is_empty(), "{given}: {reached:?}");
                assert_eq!(logged.len(), 1, "{given}: {logged:?}");
            }
            Served(body) => {
                assert_eq!(statuses, [200], "{given}");
                assert_eq!(reached.len(), 1, "{given}: {reached:?}");
                assert_eq!(reached[0].body, body, "{given}");
                assert_eq!(reached[0].target, "/canary-target", "{given}");
                assert_eq!(reached[0].headers["host"], "app.example", "{given}");
                assert!(logged.is_empty(), "{given}: {logged:?}");
            }
        }
        assert!(!logged.concat().contains(CANARY), "{given}: {logged:?}");
        assert!(proxy.serves().await, "after {given}");
    }
}

/// A refusal waits for its turn: what was asked before it on the connection is answered, what comes after is not.
#[tokio::test]
async fn a_refused_request_takes_nothing_from_the_one_before_it() {
    let fine = "GET /fine HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let rows = [
        "POST /x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: app.example\n\r\n",
    ];
    let app = Recorder::start().await;
    for bad in rows {
        let proxy = Proxy::start(&[("/", app.address)]).await;
        app.take();
        let statuses = proxy.statuses([fine, bad, fine].concat().as_bytes()).await;
        assert_eq!(statuses, [200, 400], "{bad}");
        assert_eq!(app.take().len(), 1, "{bad}");
        assert_eq!(proxy.logged().len(), 1, "{bad}");
    }
}

/// What the parser has read of a line it cannot unread: whatever state that left it in, the rest is refused.
#[tokio::test]
async fn a_line_of_which_a_part_was_read_before_is_refused() {
    let rows = [
        (
            "a request line",
            "GET /x HTTP/1.1",
            "\nHost: app.example\r\n\r\n",
        ),
        ("a target", "GET /x", "\nHost: app.example\r\n\r\n"),
        ("a name", "GET /x HTTP/1.1\r\nHo", "\n\r\n"),
        ("a value", "GET /x HTTP/1.1\r\nHost: app.example", "\n\r\n"),
        ("an empty value", "GET /x HTTP/1.1\r\nHost:", "\n\r\n"),
        (
            "a value with CR",
            "GET /x HTTP/1.1\r\nHost: app.example\r",
            "a\n\r\n",
        ),
        (
            "a head's end",
            "GET /x HTTP/1.1\r\nHost: app.example\r\n\r",
            "a\n",
        ),
    ];
    let chunks = [
        ("a chunk's size", "5\r\nhello\r\n0", "\n\r\n"),
        ("a chunk's size with CR", "5\r\nhello\r\n0\r", "a\n\r\n"),
        ("space behind a size", "5\r\nhello\r\n0 ", "\n\r\n"),
        ("an extension", "5\r\nhello\r\n0;a", "\n\r\n"),
        ("an extension of a chunk", "5;a", "\nhello\r\n0\r\n\r\n"),
        ("an extension with CR", "5\r\nhello\r\n0;a\r", "b\n\r\n"),
        ("a chunk's data", "5\r\nhello", "\n0\r\n\r\n"),
        ("a chunk's end", "5\r\nhello\r", "a\n0\r\n\r\n"),
        ("a trailer", "5\r\nhello\r\n0\r\nX-A: b", "\n\r\n"),
        (
            "a trailer with CR",
            "5\r\nhello\r\n0\r\nX-A: b\r",
            "c\n\r\n",
        ),
        ("the trailers' beginning", "5\r\nhello\r\n0\r\n", "\n"),
        ("the trailers' end", "5\r\nhello\r\n0\r\n\r", "a\n"),
    ];
    let head = "POST /x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies = chunks.map(|(given, first, rest)| (given, [head, first].concat(), rest));
    let heads = rows.map(|(given, first, rest)| (given, first.to_owned(), rest));
    let app = Recorder::start().await;
    for (given, first, rest) in heads.into_iter().chain(bodies) {
        let proxy = Proxy::start(&[("/", app.address)]).await;

        let statuses = proxy
            .statuses_of_parts(&[first.as_bytes(), rest.as_bytes()])
            .await;

        assert_eq!(statuses, [400], "{given}");
        let reached = app.take();
        assert!(reached.is_empty(), "{given}: {reached:?}");
        assert_eq!(proxy.logged().len(), 1, "{given}");
    }
}
