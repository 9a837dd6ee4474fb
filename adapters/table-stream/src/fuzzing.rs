//! Entry points to the parsers for the fuzz targets, which are outside the workspace. Each panics where a rule of
//! its parser does not hold.

use std::collections::{BTreeSet, VecDeque};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use domain::route_table::RouteTable;
use http_body::{Body, Frame};

use crate::delta::TableDelta;
use crate::frames::{FrameReader, encode};
use crate::wire::{Delta, LARGEST_REPORT, ToController, ToProxy, read_to_proxy};

/// A body that comes in pieces, each at once.
#[derive(Debug)]
pub(crate) struct Chunks(VecDeque<Bytes>);

impl Chunks {
    /// Pieces of so many bytes (at least one).
    pub(crate) fn of(bytes: &[u8], piece: usize) -> Self {
        let pieces = bytes.chunks(piece.max(1));
        Self(pieces.map(Bytes::copy_from_slice).collect())
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Reads the body that a proxy sends to the controller: frames and what they say. The first byte says in which pieces the
/// rest comes.
pub fn table_frames(input: &[u8]) {
    if let [piece, bytes @ ..] = input {
        let whole = frames(bytes, usize::MAX);
        assert_eq!(frames(bytes, usize::from(*piece)), whole);
        for frame in whole {
            to_controller(&frame);
        }
    }
}

/// Reads what the controller says to a proxy: a frame, and from the second line on a table to which it is applied.
pub fn table_delta(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (frame, table) = (parts.next().unwrap_or_default(), parts.next());
    if let Ok(table) = serde_json::from_slice(table.unwrap_or_default()) {
        to_proxy(frame, &table);
    }
}

/// Reads bytes as the body of a proxy's request that comes in pieces of `piece` bytes. Returns the frames before the
/// first that is malformed.
fn frames(bytes: &[u8], piece: usize) -> Vec<Bytes> {
    let mut reader = FrameReader::new(Chunks::of(bytes, piece), LARGEST_REPORT);
    let mut frames = Vec::new();
    while let Poll::Ready(Ok(Some(frame))) =
        pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop()))
    {
        assert!(frame.len() <= LARGEST_REPORT);
        frames.push(frame);
    }
    frames
}

/// Reads what a proxy says. `true` where it is a frame; then it is the same after writing it.
fn to_controller(json: &[u8]) -> bool {
    let Ok(frame) = serde_json::from_slice::<ToController>(json) else {
        return false;
    };
    let written = serde_json::to_vec(&frame).expect("frames can be written");
    assert_eq!(
        serde_json::from_slice::<ToController>(&written).ok(),
        Some(frame)
    );
    true
}

/// Reads what the controller says, and applies it to `table` where it is a difference. `true` where it is a frame;
/// then it is the same after writing it.
fn to_proxy(json: &[u8], table: &RouteTable) -> bool {
    let Ok(frame) = read_to_proxy(json) else {
        return false;
    };
    let written = encode(&frame);
    let again = read_to_proxy(&written[4..]);
    assert_eq!(again.as_ref(), Ok(&frame));
    if let ToProxy::Delta(Delta { changes, .. }) = frame
        && let Ok(next) = changes.apply(table)
    {
        assert_eq!(next.gateway, table.gateway);
        difference(table, &next);
    }
    true
}

/// Goes from one table to another by their difference. Tables in which a listener has two meanings are no tables.
pub fn difference(old: &RouteTable, new: &RouteTable) {
    let are_named_once = |table: &RouteTable| {
        let names: BTreeSet<_> = table.listeners.iter().map(|l| &l.name).collect();
        names.len() == table.listeners.len()
    };
    if old.gateway == new.gateway && are_named_once(old) && are_named_once(new) {
        let applied = TableDelta::between(old, new).apply(old);
        assert_eq!(applied.as_ref(), Ok(new));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed, and the seed changed and cut at each of its bytes, and with each of its numbers at their ends.
    fn variants(seed: &[u8]) -> Vec<Vec<u8>> {
        let mut variants = vec![seed.to_vec()];
        for at in 0..seed.len() {
            for byte in [seed[at] ^ 1, seed[at] ^ 0x80, b'"', b'9'] {
                let mut changed = seed.to_vec();
                changed[at] = byte;
                variants.push(changed);
            }
            variants.push(seed[..at].to_vec());
            if seed[at].is_ascii_digit() {
                for number in ["18446744073709551615", "-1", "1e999"] {
                    variants.push([&seed[..at], number.as_bytes(), &seed[at + 1..]].concat());
                }
            }
        }
        variants
    }

    fn table() -> RouteTable {
        let golden = include_bytes!("../tests/stream/route-table.json");
        let golden: serde_json::Value = serde_json::from_slice(golden).expect("JSON");
        serde_json::from_value(golden["table"]["table"].clone()).expect("a table")
    }

    #[test]
    fn no_input_of_the_corpus_breaks_a_rule() {
        corpus::run(&[("table_frames", table_frames), ("table_delta", table_delta)]);
    }

    #[test]
    fn whatever_becomes_of_a_body_its_pieces_make_no_difference() {
        let body = [encode(&"heartbeat"), encode(&ToController::Ready(true))].concat();
        for bytes in variants(&body) {
            assert_eq!(frames(&bytes, 3), frames(&bytes, usize::MAX), "{bytes:?}");
        }
    }

    #[test]
    fn whatever_becomes_of_a_frame_it_is_read_as_it_was_written() {
        let version = r#"{"term":1,"counter":2}"#;
        let token = "ab".repeat(32);
        for seed in [
            format!(
                r#"{{"hello":{{"protocol":1,"replica":"a","held":{{"gateway":{{"namespace":"a","name":"b"}},"version":{version}}},"ready":true,"connections":{{"tokens":[{token:?}],"http2":4,"quic":0}},"features":["HTTPRoute"]}}}}"#
            ),
            format!(r#"{{"connections":{{"tokens":[{token:?}],"http2":0,"quic":4}}}}"#),
            format!(r#"{{"acknowledge":{version}}}"#),
            format!(r#"{{"refuse":{{"version":{version},"reason":"older","message":"m"}}}}"#),
        ] {
            assert!(to_controller(seed.as_bytes()), "{seed}");
            for json in variants(seed.as_bytes()) {
                to_controller(&json);
            }
        }
    }

    #[test]
    fn whatever_becomes_of_a_difference_it_leads_to_a_table_or_is_refused() {
        let table = table();
        let version = r#"{"term":1,"counter":2}"#;
        let keep = r#"{"keep":{"from":0,"count":1}}"#;
        let name = &table.listeners[0].name;
        let put = format!(
            r#"{{"put":{{"name":"{name}","port":443,"protocol":"https","hostname":null,"routes":[{keep}]}}}}"#
        );
        let seed = format!(
            r#"{{"delta":{{"format":{},"version":{version},"base":{version},"changes":{{"listeners":[{put}],"upstreams":[],"removed":[]}}}}}}"#,
            crate::wire::FORMAT
        );
        assert!(to_proxy(seed.as_bytes(), &table), "{seed}");
        for json in variants(seed.as_bytes()) {
            to_proxy(&json, &table);
        }
    }
}
