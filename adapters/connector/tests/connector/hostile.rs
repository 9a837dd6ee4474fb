//! An edge that does not keep the protocol, or somebody who speaks through it: the connection is given up or
//! the one request refused, and the connector serves on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adapter_connector::Connector;
use bytes::Bytes;
use capnp_rpc::rpc_capnp::message;
use domain::secret::ConnectorToken;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::edge::{Edge, Nonsense};
use crate::log::Log;
use crate::rig::{ACCOUNT, Echo, Rig, SECRET, body, get, options, text, token, within};

const KIND: &str = "cf-cloudflared-proxy-connection-upgrade";
const LIMIT: Duration = Duration::from_secs(20);

/// A message of Cap'n Proto RPC as it goes over the stream.
fn rpc(write: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    write(message.init_root());
    capnp::serialize::write_message_to_words(&message)
}

fn answer_to(question: u32) -> Vec<u8> {
    rpc(|message| message.init_return().set_answer_id(question))
}

/// Streams that no edge would send: what they are, the bytes, and whether they end.
fn nonsense() -> Vec<(&'static str, Vec<u8>, bool)> {
    let segments = |less_one: u32| less_one.to_le_bytes().to_vec();
    let one_segment = |words: u32| [0_u32.to_le_bytes(), words.to_le_bytes()].concat();
    let whole = answer_to(1);
    // A list pointer that leads far out of the message.
    let mut astray = one_segment(1);
    astray.extend(u64::MAX.to_le_bytes());
    vec![
        ("more segments than there can be", segments(u32::MAX), false),
        ("a few more segments than allowed", segments(512), false),
        ("a segment of 32 GiB", one_segment(u32::MAX), false),
        ("a segment of 2 MiB", one_segment(1 << 18), false),
        ("the end in the middle of a header", vec![0, 0, 0], true),
        (
            "the end in the middle of a message",
            whole[..whole.len() - 8].to_vec(),
            true,
        ),
        ("the end at once", Vec::new(), true),
        ("a pointer out of the message", astray, true),
        ("text", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), true),
        (
            "answers to questions that nobody asked",
            [answer_to(77), answer_to(u32::MAX)].concat(),
            false,
        ),
        ("an answer without content", answer_to(1), false),
        (
            "no such method",
            rpc(|message| {
                message.init_unimplemented();
            }),
            false,
        ),
        (
            "the end of the session",
            rpc(|message| message.init_abort().set_reason("enough")),
            false,
        ),
        (
            "an empty message, again and again",
            one_segment(0).repeat(100_000),
            false,
        ),
    ]
}

#[tokio::test]
async fn nonsense_on_a_control_stream_costs_that_connection_only_and_is_told_once() {
    let log = Log::capture();
    for (what, bytes, ends) in nonsense() {
        let edge = Edge::start(2).await;
        edge.talk_nonsense(Nonsense {
            bytes: bytes.into(),
            ends,
        });
        let handler = Arc::new(Echo::default());
        let mut options = options(&edge, 1);
        options.rpc_timeout = Duration::from_millis(500);

        let connector = Connector::start(&token(), options, handler).unwrap();

        let connection = within(LIMIT, what, || edge.registered().pop()).await;
        assert!(
            edge.connections() >= 2,
            "{what}: the first one was given up"
        );
        let fine = connection.send(get("/")).await.unwrap();
        assert_eq!(fine.status(), 201, "{what}");
        let logged = log.take();
        let told = |line: &&String| line.contains("connection ended");
        assert_eq!(logged.iter().filter(told).count(), 1, "{what}: {logged:?}");
        let sent = |line: &String| line.contains("200 OK") || line.len() > 500;
        assert!(!logged.iter().any(sent), "{what}: {logged:?}");
        connector.shutdown().await;
        log.take();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_bytes_after_the_registration_leave_a_connection_that_serves() {
    for (what, bytes, _) in nonsense() {
        let rig = Rig::start(1).await;
        rig.connection().interject(bytes);
        // Either way there is a connection that serves, now and a moment later.
        for _ in 0..2 {
            let live = rig.registered(1).await;
            let answer = live[0].send(get("/")).await;
            if let Ok(answer) = answer {
                assert_eq!(answer.status(), 201, "{what}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        rig.registered(1).await;
        let fine = rig.connection().send(get("/")).await.unwrap();
        assert_eq!(fine.status(), 201, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_is_told_in_one_short_line() {
    let rig = Rig::start(1).await;
    let reason = format!("line\r\nbreak {} canary", "x".repeat(100_000));
    let abort = rpc(|message| message.init_abort().set_reason(&*reason));
    let mut status = rig.connector.status();
    // A first failure is followed by another attempt at once; the second one leaves a trace.
    let told = async {
        loop {
            let problems = status.borrow_and_update().problems();
            if let Some(problem) = problems.into_iter().next() {
                return problem;
            }
            if let Some(connection) = rig.edge.registered().pop() {
                connection.interject(abort.clone());
            }
            tokio::time::timeout(Duration::from_millis(50), status.changed())
                .await
                .ok();
        }
    };
    let problem = tokio::time::timeout(LIMIT, told).await.unwrap();
    assert!(problem.contains("line  break"), "{problem}");
    assert!(
        problem.len() < 500 && !problem.contains("canary"),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_opened_and_reset_leave_nothing_behind() {
    let rig = Rig::start(1).await;
    let connection = rig.connection();
    let waiting = || rig.handler.waiting.load(Ordering::SeqCst);
    let given_up = || rig.handler.given_up.load(Ordering::SeqCst);
    let mut resident = Vec::new();
    for _ in 0..3 {
        for _ in 0..100 {
            let batch = (0..100).map(|_| connection.send(get("/wait")));
            let batch = futures_util::future::join_all(batch);
            // Long enough to send them, far too short for an answer.
            let given_up = tokio::time::timeout(Duration::from_millis(1), batch).await;
            assert!(given_up.is_err(), "nobody answers /wait");
        }
        within(LIMIT, "all are given up", || {
            (given_up() == waiting()).then_some(())
        })
        .await;
        let other = connection.send(get("/")).await.unwrap();
        assert_eq!(
            other.status(),
            201,
            "others are served on the same connection"
        );
        assert_eq!(body(other).await, "");
        resident.push(resident_kilobytes());
    }
    println!("resident after each 10,000 resets: {resident:?} kB");
    assert!(connection.is_registered());
    assert!(
        resident[2] < resident[0] + (16 << 10),
        "memory grows: {resident:?} kB"
    );
}

fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_pushed_configuration_that_cannot_be_read_changes_nothing_and_is_told_once() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    let push = |body| {
        Request::post("https://edge/")
            .header(KIND, "update-configuration")
            .body(body)
            .unwrap()
    };
    let connection = rig.connection();
    connection
        .send(push(text(r#"{"version":5,"config":{}}"#)))
        .await
        .unwrap();
    log.take();
    for nonsense in [
        "canary",
        "",
        "null",
        "[]",
        "{",
        r#"{"version":"6"}"#,
        r#"{"version":-6.5}"#,
        r#"{"version":4294967296}"#,
        r#"{"config":{}}"#,
        "\u{0}",
    ] {
        let answer = connection.send(push(text(nonsense))).await.unwrap();
        assert_eq!(
            body(answer).await,
            r#"{"lastAppliedVersion":5,"err":{}}"#,
            "{nonsense}"
        );
        told_once(&log, nonsense);
    }
    let answer = connection
        .send(push(text(r#"{"version":-7,"config":{}}"#)))
        .await
        .unwrap();
    assert_eq!(body(answer).await, r#"{"lastAppliedVersion":5,"err":null}"#);

    let deep = push(endless("[", 1 << 20));
    let answer = connection.send(deep).await.unwrap();
    assert_eq!(body(answer).await, r#"{"lastAppliedVersion":5,"err":{}}"#);

    let too_long = connection.send(push(endless(" ", 32 << 20))).await.unwrap();
    assert_eq!(too_long.status(), 502);
    assert_eq!(connection.send(get("/")).await.unwrap().status(), 201);
}

/// A body of so many bytes, all alike.
fn endless(byte: &'static str, bytes: usize) -> crate::edge::TestBody {
    let chunk = Bytes::from(byte.repeat(16 << 10));
    let frames = std::iter::repeat_n(chunk, bytes / (16 << 10));
    let frames = frames.map(|chunk| Ok(Frame::data(chunk)));
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

/// In one line of the log, without what was sent.
fn told_once(log: &Log, what: &str) {
    let logged = log.take();
    assert_eq!(logged.len(), 1, "{what}: {logged:?}");
    assert!(!logged.concat().contains("canary"), "{what}: {logged:?}");
}

#[tokio::test]
async fn streams_that_no_edge_opens_are_refused_one_by_one_and_told_once() {
    let log = Log::capture();
    let rig = Rig::start(1).await;
    let connection = rig.connection();
    log.take();
    for (what, name, value) in [
        ("a second control stream", KIND, "control-stream"),
        (
            "a stream of a private network",
            "cf-cloudflared-proxy-src",
            "192.0.2.1",
        ),
    ] {
        let request = Request::post("https://edge/").header(name, value);
        let answer = connection
            .send(request.body(text("canary")).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), 502, "{what}");
        told_once(&log, what);
        assert_eq!(
            connection.send(get("/")).await.unwrap().status(),
            201,
            "{what}"
        );
        assert!(connection.is_registered(), "{what}");
    }
}

#[tokio::test]
async fn a_malformed_token_is_refused_without_being_shown() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let edge = Edge::start(1).await;
    let json = |text: &str| STANDARD.encode(text);
    let tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
    let secret = STANDARD.encode(SECRET);
    for token in [
        String::new(),
        "canary".to_owned(),
        "canary!".to_owned(),
        json("canary"),
        json("{\"canary\":1}"),
        json(&format!(
            r#"{{"a":"{ACCOUNT}","s":"{secret}","t":"canary"}}"#
        )),
        json(&format!(
            r#"{{"a":"{ACCOUNT}","s":"canary!","t":"{tunnel}"}}"#
        )),
        json(&format!(r#"{{"a":5,"s":"{secret}","t":"{tunnel}"}}"#)),
        json(&"[".repeat(100_000)),
        "A".repeat(1 << 20),
    ] {
        let handler = Arc::new(Echo::default());
        let refused = Connector::start(&ConnectorToken::new(token), options(&edge, 1), handler);
        let error = refused.err().unwrap();
        let told = format!("{error} {error:?}");
        assert!(
            !told.contains("canary") && !told.contains(&secret),
            "{told}"
        );
        assert!(told.len() < 300, "{told}");
    }
    assert_eq!(edge.connections(), 0);
}
