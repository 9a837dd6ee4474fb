//! Requests that RFC 9112 lets a server read in one way or refuse, and that the loopback listener reads: both
//! framings at once (§6.1), one length twice (§6.3), lines that end in LF alone (§2.2). An endpoint must not be
//! able to read them in another way, so here every byte that reaches it counts
//! (docs/decisions/0008-ambiguous-framing.md).

use super::rig::{Proxy, RawOrigin};

/// Lines of a head by name, in lower case.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").skip(1);
    lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

struct Row {
    given: &'static str,
    request: &'static str,
    /// What the endpoint gets after the head, to the last byte.
    body: &'static str,
    lengths: &'static [&'static str],
    codings: &'static [&'static str],
}

const ROWS: [Row; 9] = [
    Row {
        given: "a length, then a coding, and a request in what is left",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /two HTTP/1.1\r\nHost: app.example\r\n\r\n",
        body: "0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
    Row {
        given: "a coding, then a length",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET /two HTTP/1.1\r\nHost: app.example\r\n\r\n",
        body: "0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
    Row {
        given: "a coding between two lengths",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /two HTTP/1.1\r\nHost: app.example\r\n\r\n",
        body: "5\r\nhello\r\n0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
    Row {
        given: "a coding and a length that is no number",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        body: "5\r\nhello\r\n0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
    Row {
        given: "a coding in other letters, and a length",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\ntransfer-ENCODING: Chunked\r\nCONTENT-length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        body: "5\r\nhello\r\n0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
    Row {
        given: "the same length twice",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        body: "hello",
        lengths: &["5"],
        codings: &[],
    },
    Row {
        given: "the same length in two ways of writing it",
        request: "POST /one HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nContent-Length: 005\r\nConnection: close\r\n\r\nhello",
        body: "hello",
        lengths: &["5"],
        codings: &[],
    },
    Row {
        given: "lines that end in LF alone",
        request: "POST /one HTTP/1.1\nHost: app.example\nContent-Length: 5\nConnection: close\n\nhello",
        body: "hello",
        lengths: &["5"],
        codings: &[],
    },
    Row {
        given: "lines that end in either way",
        request: "POST /one HTTP/1.1\r\nHost: app.example\nTransfer-Encoding: chunked\r\nConnection: close\n\r\n5\r\nhello\r\n0\r\n\r\n",
        body: "5\r\nhello\r\n0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
];

#[tokio::test]
async fn an_endpoint_never_sees_two_framings() {
    for row in ROWS {
        let given = row.given;
        let origin = RawOrigin::answering_after(row.body).await;
        let proxy = Proxy::start(&[("/", origin.address)]).await;

        let statuses = proxy.statuses(row.request.as_bytes()).await;

        assert_eq!(statuses, [200], "{given}");
        let received = origin.received();
        let (head, body) = received.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("POST /one HTTP/1.1\r\n"),
            "{given}: {head}"
        );
        assert!(
            !head.replace("\r\n", "").contains(['\r', '\n']),
            "{given}: {head:?}"
        );
        assert_eq!(
            values(head, "content-length"),
            row.lengths,
            "{given}: {head}"
        );
        assert_eq!(
            values(head, "transfer-encoding"),
            row.codings,
            "{given}: {head}"
        );
        assert_eq!(body, row.body, "{given}");
    }
}

/// RFC 9112 §6.1: whoever answers such a request must not read on.
#[tokio::test]
async fn a_connection_that_brought_both_framings_is_closed() {
    for row in ROWS.into_iter().take(5) {
        let origin = RawOrigin::answering_after(row.body).await;
        let proxy = Proxy::start(&[("/", origin.address)]).await;
        let answer = proxy.exchange_to_the_end(row.request.as_bytes()).await;
        assert!(
            answer.to_ascii_lowercase().contains("connection: close"),
            "{}: {answer}",
            row.given
        );
    }
}
