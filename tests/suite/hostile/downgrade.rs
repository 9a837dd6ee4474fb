//! HTTP/2 messages that would become two requests when they are written as HTTP/1.1 for an endpoint
//! (RFC 9113 §8.2, §8.3 and §10.3). Frames are written by hand, as no client library sends these.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{CANARY, Proxy, RawOrigin};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What a response of 200 begins with: an index into the static table (RFC 7541, Appendix A).
const STATUS_200: u8 = 0x88;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, stream]);
    frame.extend(payload);
    frame
}

/// Literal fields with new names, without indexing and Huffman codes (RFC 7541 §6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(
                u8::try_from(text.len())
                    .ok()
                    .filter(|len| *len < 127)
                    .unwrap(),
            );
            block.extend(text.as_bytes());
        }
    }
    block
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Answered,
    /// By another status than 200, a reset, or the end of the connection.
    Refused,
}

/// Sends one request and reads on until its stream has an end.
async fn request(proxy: &Proxy, fields: &[(&str, &str)], body: &str) -> End {
    let mut stream = proxy.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &block(fields)));
    bytes.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
    stream.write_all(&bytes).await.unwrap();
    let end = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return End::Refused;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if stream.read_exact(&mut payload).await.is_err() {
                return End::Refused;
            }
            match head[3] {
                HEADERS if payload.first() == Some(&STATUS_200) => return End::Answered,
                HEADERS | RST_STREAM | GOAWAY => return End::Refused,
                _ => {}
            }
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(10), end).await;
    end.expect("the stream has an end")
}

/// A POST of `hello` with these fields besides.
fn post<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/one"),
        (":authority", "app.example"),
    ];
    usual.iter().chain(more).copied().collect()
}

/// The same with one pseudo-header changed.
fn but<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = post(&[]);
    let field = fields.iter_mut().find(|(found, _)| *found == name).unwrap();
    field.1 = value;
    fields
}

#[tokio::test]
async fn a_request_of_http2_is_one_request_of_http1_or_none() {
    const SMUGGLED: &str = "helloGET /canary HTTP/1.1\r\nHost: app.example\r\n\r\n";
    const CHUNKS: &str = "0\r\n\r\nGET /canary HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let rows = [
        (
            "a length shorter than the body",
            post(&[("content-length", "5")]),
            SMUGGLED,
        ),
        (
            "a length longer than the body",
            post(&[("content-length", "99")]),
            "hello",
        ),
        (
            "two lengths",
            post(&[("content-length", "5"), ("content-length", "47")]),
            SMUGGLED,
        ),
        (
            "a list of lengths",
            post(&[("content-length", "5, 47")]),
            SMUGGLED,
        ),
        (
            "a coding",
            post(&[("transfer-encoding", "chunked")]),
            CHUNKS,
        ),
        (
            "a coding and a length",
            post(&[("transfer-encoding", "chunked"), ("content-length", "5")]),
            CHUNKS,
        ),
        (
            "a line end in a value",
            post(&[("x-a", "b\r\ntransfer-encoding: chunked")]),
            CHUNKS,
        ),
        (
            "a line feed in a value",
            post(&[("x-a", "b\ncanary: c")]),
            "hello",
        ),
        (
            "a line end in a name",
            post(&[("x-a: b\r\ncanary", "c")]),
            "hello",
        ),
        ("a colon in a name", post(&[("x-a: b", "canary")]), "hello"),
        (
            "a space in a name",
            post(&[("transfer-encoding ", "chunked")]),
            CHUNKS,
        ),
        (
            "capitals in a name",
            post(&[("Transfer-Encoding", "chunked")]),
            CHUNKS,
        ),
        (
            "a request in the path",
            but(
                ":path",
                "/one HTTP/1.1\r\nHost: app.example\r\n\r\nGET /canary",
            ),
            "",
        ),
        ("a space in the path", but(":path", "/one /canary"), ""),
        (
            "a request in the method",
            but(":method", "GET /canary HTTP/1.1\r\nX-A: b\r\n\r\nPOST"),
            "",
        ),
        (
            "a path in the authority",
            but(":authority", "app.example/canary"),
            "",
        ),
        ("a path twice", post(&[(":path", "/canary")]), ""),
        ("a made-up pseudo-header", post(&[(":canary", "x")]), ""),
        (
            "an upgrade",
            post(&[("connection", "upgrade"), ("upgrade", "canary")]),
            "",
        ),
    ];
    for (given, fields, body) in rows {
        let origin = RawOrigin::answering_after("hello").await;
        let proxy = Proxy::start(&[("/", origin.address)]).await;

        let end = request(&proxy, &fields, body).await;

        assert_eq!(end, End::Refused, "{given}");
        let received = origin.received();
        assert!(!received.contains(CANARY), "{given}: {received:?}");
        assert!(
            received.matches("HTTP/1.1").count() <= 1,
            "{given}: {received:?}"
        );
        let logged = proxy.logged();
        assert!(logged.len() <= 1, "{given}: {logged:?}");
        assert!(!logged.concat().contains(CANARY), "{given}: {logged:?}");
    }
}

#[tokio::test]
async fn a_request_of_http2_with_nothing_wrong_reaches_its_endpoint_framed_once() {
    for (given, fields, framing) in [
        (
            "with a length",
            post(&[("content-length", "5")]),
            "content-length: 5",
        ),
        ("without", post(&[]), "transfer-encoding: chunked"),
        (
            "the same length twice",
            post(&[("content-length", "5"), ("content-length", "5")]),
            "content-length: 5",
        ),
    ] {
        let end_of_body = if framing.ends_with('5') {
            "hello"
        } else {
            "0\r\n\r\n"
        };
        let origin = RawOrigin::answering_after(end_of_body).await;
        let proxy = Proxy::start(&[("/", origin.address)]).await;
        let end = request(&proxy, &fields, "hello").await;
        let received = origin.received().to_ascii_lowercase();
        let framings = received.matches("content-length:").count()
            + received.matches("transfer-encoding:").count();
        if end == End::Refused {
            assert_eq!((given, received.as_str()), ("the same length twice", ""));
            continue;
        }
        assert_eq!(framings, 1, "{given}: {received}");
        assert!(received.contains(framing), "{given}: {received}");
    }
}
