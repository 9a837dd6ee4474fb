//! No framing of a client is passed on: an endpoint gets each request framed anew, to the byte, so it cannot read
//! it in another way than the proxy did. What could be read in two ways does not get this far: `smuggling`.

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
    /// The last lines of the head and what follows it.
    framing: &'static str,
    /// What the endpoint gets after the head, to the last byte.
    body: &'static str,
    lengths: &'static [&'static str],
    codings: &'static [&'static str],
}

const NEXT: &str = "GET /two HTTP/1.1\r\nHost: app.example\r\n\r\n";

const ROWS: [Row; 5] = [
    Row {
        given: "a length, and something after the body",
        framing: "Content-Length: 5\r\n\r\nhello",
        body: "hello",
        lengths: &["5"],
        codings: &[],
    },
    Row {
        given: "a length with zeros in front",
        framing: "CONTENT-length: 005\r\n\r\nhello",
        body: "hello",
        lengths: &["5"],
        codings: &[],
    },
    Row {
        given: "chunks with zeros in front and extensions",
        framing: "transfer-ENCODING: Chunked\r\n\r\n005;a=b\r\nhello\r\n000;c\r\n\r\n",
        body: "5\r\nhello\r\n0\r\n\r\n",
        lengths: &[],
        codings: &["chunked"],
    },
    Row {
        given: "a body that looks like a request",
        framing: "Content-Length: 42\r\n\r\nGET /two HTTP/1.1\r\nHost: app.example\r\n\r\n\r\n",
        body: "GET /two HTTP/1.1\r\nHost: app.example\r\n\r\n\r\n",
        lengths: &["42"],
        codings: &[],
    },
    Row {
        given: "no body",
        framing: "Content-Length: 0\r\n\r\n",
        body: "",
        lengths: &["0"],
        codings: &[],
    },
];

#[tokio::test]
async fn an_endpoint_sees_one_framing_and_it_is_ours() {
    for row in ROWS {
        let given = row.given;
        let origin = RawOrigin::answering_after(row.body).await;
        let proxy = Proxy::start(&[("/", origin.address)]).await;

        let lines = "Host: app.example\r\nConnection: close\r\n";
        let request = ["POST /one HTTP/1.1\r\n", lines, row.framing, NEXT].concat();
        let statuses = proxy.statuses(request.as_bytes()).await;

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

/// HTTP/1.1 has a body wherever the framing says so (RFC 9112 §6), and an endpoint must not take the rest for the whole.
#[tokio::test]
async fn a_body_of_unknown_length_is_passed_on_whatever_the_method() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        let body = "5\r\nhello\r\n0\r\n\r\n";
        let origin = RawOrigin::answering_after(body).await;
        let proxy = Proxy::start(&[("/", origin.address)]).await;

        let lines = "Host: app.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request = [method, " /one HTTP/1.1\r\n", lines, body].concat();
        let statuses = proxy.statuses(request.as_bytes()).await;

        assert_eq!(statuses, [200], "{method}");
        let received = origin.received();
        let (head, received) = received.split_once("\r\n\r\n").expect("a head");
        assert_eq!(values(head, "transfer-encoding"), ["chunked"], "{method}");
        assert_eq!(received, body, "{method}");
    }
}
