//! Streams over QUIC that no edge would open. Each is refused or reset, is told in one line of the log
//! without what was sent, and the connection serves on.

use std::time::Duration;

use quinn::RecvStream;

use crate::log::Log;
use crate::quic::Rig;
use crate::quic_edge::{Answered, Link};

const DATA: &[u8] = b"\x0A\x36\xCD\x12\xA1\x3E01";
const CALLS: &[u8] = b"\x52\xBB\x82\x5C\xDB\x65";
const CANARY: &str = "canary";
const LIMIT: Duration = Duration::from_secs(20);

/// A request that has nothing wrong with it is served on the same connection.
async fn serves(link: &Link, what: &str) {
    let fine = tokio::time::timeout(LIMIT, link.send("GET", "/", "")).await;
    assert_eq!(fine.unwrap().status, "201", "after {what}");
    assert!(link.is_registered(), "after {what}");
}

fn logged_once(log: &Log, what: &str) {
    let logged = log.take();
    assert_eq!(logged.len(), 1, "{what}: {logged:?}");
    assert!(!logged.concat().contains(CANARY), "{what}: {logged:?}");
}

async fn is_reset(mut recv: RecvStream, what: &str) {
    let ended = tokio::time::timeout(LIMIT, recv.read_to_end(1000)).await;
    let reset = matches!(
        ended,
        Ok(Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(_))))
    );
    assert!(reset, "{what}: {ended:?}");
}

/// A head of one segment with these words.
fn segment(words: &[u64]) -> Vec<u8> {
    let length = u32::try_from(words.len()).unwrap();
    let mut bytes = [DATA, &0_u32.to_le_bytes(), &length.to_le_bytes()].concat();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

#[tokio::test]
async fn a_malformed_beginning_is_reset_and_told_once() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    log.take();
    // A struct of one data word and two pointers, then the words themselves.
    let root = 1 << 32 | 2 << 48;
    for (what, bytes) in [
        ("text", b"GET /canary HTTP/1.1\r\n\r\n".to_vec()),
        (
            "nearly a signature",
            b"\x0A\x36\xCD\x12\xA1\x3Fcanary".to_vec(),
        ),
        (
            "more segments than there can be",
            [DATA, &[0xff; 4], b"canary"].concat(),
        ),
        (
            "a segment of 32 GiB",
            [DATA, &[0; 4], &[0xff; 4], b"canary"].concat(),
        ),
        ("a pointer out of the message", segment(&[u64::MAX])),
        ("a kind that is none", segment(&[root, 77, 0, 0])),
        (
            "a text out of the message",
            segment(&[root, 0, u64::MAX, 0]),
        ),
    ] {
        let (_send, recv) = rig.link().open(&bytes).await;
        is_reset(recv, what).await;
        logged_once(&log, what);
        serves(&rig.link(), what).await;
    }
}

#[tokio::test]
async fn forged_metadata_is_refused_and_told_once() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    let get = ("HttpMethod", "GET");
    let host = ("HttpHost", "app.example.com");
    log.take();
    for (what, entries) in [
        ("no method", vec![host]),
        ("no method in the entry", vec![("HttpMethod", ""), host]),
        (
            "two words for a method",
            vec![("HttpMethod", "GET canary"), host],
        ),
        (
            "a host of two",
            vec![get, ("HttpHost", "canary, app.example.com")],
        ),
        (
            "a host with a line break",
            vec![get, ("HttpHost", "canary\r\nb: c")],
        ),
        (
            "a header's name with a colon",
            vec![get, host, ("HttpHeader:a:canary", "b")],
        ),
        (
            "a header of the protocol",
            vec![get, host, ("HttpHeader::path", "/canary")],
        ),
        (
            "a header without a name",
            vec![get, host, ("HttpHeader:", "canary")],
        ),
        (
            "a line break in a name",
            vec![get, host, ("HttpHeader:a\r\nb", "canary")],
        ),
        (
            "a line break in a value",
            vec![get, host, ("HttpHeader:a", "b\r\nc: canary")],
        ),
        (
            "a NUL in a value",
            vec![get, host, ("HttpHeader:a", "\0canary")],
        ),
        (
            "two lengths",
            vec![
                get,
                host,
                ("HttpHeader:Content-Length", "1"),
                ("HttpHeader:Content-Length", "2"),
            ],
        ),
        (
            "a length that is no number",
            vec![get, host, ("HttpHeader:Content-Length", "canary")],
        ),
        (
            "another encoding",
            vec![get, host, ("HttpHeader:Transfer-Encoding", "canary")],
        ),
    ] {
        let (_send, recv) = rig.link().forged(&entries).await;
        let answer = tokio::time::timeout(LIMIT, Answered::read(recv))
            .await
            .unwrap();
        assert_eq!(answer.status, "400", "{what}: {}", answer.error);
        assert!(!answer.error.contains(CANARY), "{what}: {}", answer.error);
        logged_once(&log, what);
        serves(&rig.link(), what).await;
    }
    for twice in [
        [get, get, host],
        [get, host, ("HttpHost", "canary.example.com")],
    ] {
        let what = format!("{twice:?}");
        let (_send, recv) = rig.link().forged(&twice).await;
        is_reset(recv, &what).await;
        logged_once(&log, &what);
        serves(&rig.link(), &what).await;
    }
}

/// The head of a request with so many headers, all of one name: their entries share its text, so that more
/// of them than anybody could hold are in a message of a permitted length.
fn crowded(headers: usize) -> Vec<u8> {
    let entries = headers + 2;
    // A struct of one data word and two pointers; the second is a list of structs of two pointers.
    let list = 1 | 7 << 32 | (2 * entries) << 35;
    let mut words = vec![1 << 32 | 2 << 48, 0, 0, list, entries << 2 | 2 << 48];
    let pointers = words.len();
    words.resize(pointers + 2 * entries, 0);
    let mut text = |text: &str, from: &mut dyn Iterator<Item = usize>| {
        let at = words.len();
        for pointer in from {
            words[pointer] = 1 | (at - pointer - 1) << 2 | 2 << 32 | (text.len() + 1) << 35;
        }
        for chunk in format!("{text}\0").as_bytes().chunks(8) {
            let byte = |(n, byte): (usize, &u8)| usize::from(*byte) << (8 * n);
            words.push(chunk.iter().enumerate().map(byte).sum());
        }
    };
    text("https://app.example.com/", &mut [2].into_iter());
    for (n, entry) in ["HttpMethod", "GET", "HttpHost", "app.example.com"]
        .into_iter()
        .enumerate()
    {
        text(entry, &mut [pointers + n].into_iter());
    }
    let names = (2..entries).map(|entry| pointers + 2 * entry);
    text("HttpHeader:a", &mut { names });
    segment(
        &words
            .into_iter()
            .map(|word| word as u64)
            .collect::<Vec<_>>(),
    )
}

#[tokio::test]
async fn headers_in_great_number_are_refused_and_told_once() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    log.take();
    for (headers, then) in [(16_000, "201"), (17_000, "431"), (60_000, "431")] {
        let (_send, recv) = rig.link().open(&crowded(headers)).await;
        let answer = tokio::time::timeout(LIMIT, Answered::read(recv)).await;
        let what = format!("{headers} headers");
        assert_eq!(answer.unwrap().status, then, "{what}");
        if then != "201" {
            logged_once(&log, &what);
        }
        serves(&rig.link(), &what).await;
    }
}

#[tokio::test]
async fn headers_that_a_visitor_forges_are_not_believed() {
    let rig = Rig::start(1).await;
    let entries = [
        ("HttpMethod", "GET"),
        ("HttpHost", "app.example.com"),
        ("HttpHeader:Host", "canary.example.com"),
        ("HttpHeader:Cf-Warp-Tag-Id", "canary"),
        ("NoSuchEntry", "canary"),
    ];
    let (_send, recv) = rig.link().forged(&entries).await;
    let answer = Answered::read(recv).await;
    assert_eq!(answer.status, "201");
    assert_eq!(answer.header("seen-host"), ["app.example.com"]);
    let connector = rig.connector.status().borrow().connector_id.to_string();
    assert_eq!(answer.header("seen-connector"), [connector]);
}

#[tokio::test]
async fn nonsense_on_a_stream_for_calls_is_told_at_most_once() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    log.take();
    for (what, bytes) in [
        ("text", &b"HTTP/1.1 200 OK canary\r\n\r\n"[..]),
        ("a segment of 32 GiB", b"\0\0\0\0\xff\xff\xff\xff canary"),
        ("segments without end", b"\xff\xff\xff\xff canary"),
    ] {
        let (mut send, mut recv) = rig.link().open(&[CALLS, bytes].concat()).await;
        send.finish().ok();
        let ended = tokio::time::timeout(LIMIT, recv.read_to_end(1000)).await;
        assert!(ended.is_ok(), "{what}: the stream ends");
        let logged = log.take();
        assert!(logged.len() <= 1, "{what}: {logged:?}");
        assert!(!logged.concat().contains(CANARY), "{what}: {logged:?}");
        serves(&rig.link(), what).await;
    }
}

#[tokio::test]
async fn a_flood_of_streams_that_are_given_up_leaves_nothing_behind() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    log.take();
    let link = rig.link();
    for beginning in [&b"\x0A"[..], DATA, CALLS] {
        for _ in 0..4000 {
            link.open_and_reset(beginning).await;
        }
        serves(&link, "a flood").await;
    }
    assert_eq!(log.take(), Vec::<String>::new(), "the flood is not logged");
}

#[tokio::test]
async fn streams_that_never_begin_are_reset_and_keep_nobody_waiting() {
    let rig = Rig::start(1).await;
    let link = rig.link();
    let mut open = Vec::new();
    // Nearly as many as the connector permits at once.
    for _ in 0..4000 {
        open.push(link.open(b"\x0A").await);
    }
    serves(&link, "streams that never begin").await;
    for (_send, recv) in open {
        is_reset(recv, "a stream that never begins").await;
    }
    serves(&link, "streams that never began").await;
}
