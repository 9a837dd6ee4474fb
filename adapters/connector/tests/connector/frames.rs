//! What an edge could send that is wrong in any field, as tables that are generated: frames of HTTP/2, their lengths,
//! flags, streams, contents and settings; the words of a request's head over QUIC. Only an edge can send these, not a
//! visitor. What RFC 9113 calls an error of the connection ends that connection, and no other one; everything else costs
//! at most its own stream.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::quic;
use crate::raw_edge::{
    As, CONTINUATION, DATA, END_HEADERS, END_STREAM, Ended, GOAWAY, HEADERS, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, RawEdge, SETTINGS, WINDOW_UPDATE, block, get,
};
use crate::rig::within;

const LIMIT: Duration = Duration::from_secs(20);
/// Above the largest that the connector permits.
const TOO_LONG: usize = (16 << 10) + 1;
/// No stream of the edge has these numbers.
const IDLE: u32 = 0x7fff_fffd;
const OF_THE_CONNECTOR: u32 = 2;

/// A frame as it goes over the connection.
#[derive(Debug, Clone)]
struct Sent {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    /// Every byte of it.
    byte: u8,
}

/// What must become of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Serves,
    Ends,
    /// Other fields decide.
    Either,
}
use Then::{Either, Ends, Serves};

/// All that differ in one of these values, beside the request under way on `live`.
fn frames(live: u32) -> Vec<Sent> {
    let mut frames = Vec::new();
    let kinds = (DATA..=CONTINUATION).chain([10, 0xff]);
    for kind in kinds {
        for flags in [0, END_STREAM, 0xff] {
            for stream in [0, live, OF_THE_CONNECTOR, IDLE] {
                for length in [0, 4, 5, 6, 8, TOO_LONG] {
                    for byte in [0, 0xff] {
                        frames.push(Sent {
                            kind,
                            flags,
                            stream,
                            length,
                            byte,
                        });
                    }
                }
            }
        }
    }
    frames
}

/// RFC 9113 sections 4.2, 5.1, 6.1 to 6.10.
fn then(sent: &Sent, live: u32) -> Then {
    let on_connection = sent.stream == 0;
    let of_connection = matches!(sent.kind, SETTINGS | PING | GOAWAY);
    match sent.kind {
        _ if sent.length == TOO_LONG => Ends,
        10.. => Serves,
        // h2 makes some of them errors of their stream, which costs nobody else either.
        PUSH_PROMISE if !on_connection => Either,
        CONTINUATION | PUSH_PROMISE => Ends,
        WINDOW_UPDATE if sent.length != 4 => Ends,
        WINDOW_UPDATE if on_connection => Ends,
        _ if on_connection != of_connection => Ends,
        SETTINGS if sent.flags & END_STREAM == 1 && sent.length > 0 => Ends,
        SETTINGS if !sent.length.is_multiple_of(6) => Ends,
        PING if sent.length == 8 => Serves,
        PING => Ends,
        GOAWAY if sent.length < 8 => Ends,
        RST_STREAM if sent.length != 4 || sent.stream != live => Ends,
        PRIORITY if sent.length == 5 => Serves,
        RST_STREAM => Serves,
        _ => Either,
    }
}

/// Settings, with what must become of the connection (RFC 9113 section 6.5.2).
fn settings() -> Vec<(u16, u32, Then)> {
    let most = u32::MAX;
    vec![
        (1, 0, Serves),
        (1, most, Serves),
        (2, 0, Serves),
        (2, 1, Serves),
        (2, 2, Ends),
        (2, most, Ends),
        (3, 0, Serves),
        (3, most, Serves),
        (4, 0, Serves),
        (4, 0x7fff_ffff, Serves),
        (4, 0x8000_0000, Ends),
        (4, most, Ends),
        (5, 0, Ends),
        (5, (1 << 14) - 1, Ends),
        (5, 1 << 14, Serves),
        (5, (1 << 24) - 1, Serves),
        (5, 1 << 24, Ends),
        (5, most, Ends),
        (6, 0, Serves),
        (6, most, Serves),
        (0, most, Serves),
        (7, most, Serves),
        (0xffff, most, Serves),
    ]
}

/// A connection with a request under way, and its stream.
async fn busy() -> (RawEdge, u32) {
    let mut edge = RawEdge::start().await;
    let stream = edge.stream();
    let head = block(As::Literal, &get(b"/wait"));
    edge.frame(HEADERS, END_HEADERS, stream, &head).await;
    (edge, stream)
}

/// The connection that is to go on, whatever happens to others.
struct Beside(RawEdge, Vec<u32>);

impl Beside {
    async fn start() -> Self {
        let mut edge = RawEdge::start().await;
        let head = block(As::Literal, &get(b"/wait"));
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(edge.send(&head).await);
        }
        Self(edge, streams)
    }

    async fn all_answered(mut self) {
        self.0.handler.go_on.add_permits(self.1.len());
        for stream in self.1 {
            let ended = self
                .0
                .ended(stream, "a request on another connection")
                .await;
            assert_eq!(ended, Ended::Answered);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_wrong_in_any_field_ends_its_connection_at_most() {
    let beside = Beside::start().await;
    let (mut edge, mut live) = busy().await;
    let (mut number, mut ended, mut wrong) = (0, 0, Vec::new());
    // The stream under way is the first of each connection.
    for sent in frames(live) {
        let payload = vec![sent.byte; sent.length];
        edge.frame(sent.kind, sent.flags, sent.stream, &payload)
            .await;
        let serves = edge.serves(&format!("{sent:?}")).await;
        match then(&sent, live) {
            Serves if !serves => wrong.push(format!("{sent:?}: the connection ended")),
            Ends if serves => wrong.push(format!("{sent:?}: the connection goes on")),
            _ => {}
        }
        number += 1;
        // What a frame left behind must not decide about the next one.
        let other = !matches!(sent.kind, SETTINGS | PING | PRIORITY | 10..);
        if !serves || other {
            ended += usize::from(!serves);
            (edge, live) = busy().await;
        }
    }
    assert!(wrong.is_empty(), "{} of {number}: {wrong:#?}", wrong.len());
    println!("{number} frames, {ended} of them ended their connection");
    beside.all_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_out_of_range_ends_its_connection_at_most() {
    let beside = Beside::start().await;
    for (id, value, then) in settings() {
        let (mut edge, _) = busy().await;
        let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        edge.frame(SETTINGS, 0, 0, &payload).await;
        let serves = edge.serves(&format!("setting {id} = {value}")).await;
        assert_eq!(serves, then == Serves, "setting {id} = {value}");
    }
    beside.all_answered().await;
}

/// What is put in place of a word of a head: pointers to nowhere, to themselves, of every kind, and lengths without end.
fn words(word: u64) -> [u64; 10] {
    [
        0,
        u64::MAX,
        word ^ 1,
        word ^ 2,
        word ^ 3,
        word.wrapping_add(4),
        word ^ (1 << 31),
        word ^ (1 << 32),
        word ^ (7 << 32),
        word ^ (1 << 63),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_quic_that_is_wrong_in_any_word_costs_its_own_stream_only() {
    let rig = quic::Rig::start(1).await;
    let link = rig.link();
    let waiting = {
        let link = rig.link();
        tokio::spawn(async move { link.send("GET", "/wait", "").await.body().await })
    };
    let begun = || (rig.handler.waiting.load(Ordering::SeqCst) == 1).then_some(());
    within(LIMIT, "it is with the handler", begun).await;

    let good = link.good_head();
    let (mut number, mut served) = (0, 0);
    for at in (8..good.len()).step_by(8) {
        let word = u64::from_le_bytes(good[at..at + 8].try_into().unwrap());
        for changed in words(word) {
            let mut head = good.clone();
            head[at..at + 8].copy_from_slice(&changed.to_le_bytes());
            served += usize::from(link.is_served(&head).await);
            number += 1;
        }
        served += usize::from(link.is_served(&good[..at]).await);
        number += 1;
    }
    println!("{number} heads, {served} of them are requests all the same");

    assert!(link.is_served(&good).await, "the connection serves on");
    assert!(link.is_registered());
    rig.handler.go_on.add_permits(1000);
    assert_eq!(waiting.await.unwrap().unwrap(), "waited");
}
