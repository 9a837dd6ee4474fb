//! Requests that are malformed in every field and byte, and frames out of place, beside ten other requests on the
//! same connection: each costs its own stream and nothing else (RFC 9113 sections 5.4.2 and 8.1.1).

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::quic;
use crate::raw_edge::{
    As, CONTINUATION, DATA, END_HEADERS, END_STREAM, Ended, Field, HEADERS, PRIORITY,
    PRIORITY_FLAG, RST_STREAM, RawEdge, WINDOW_UPDATE, block, get,
};
use crate::rig::within;

const OTHERS: usize = 10;

/// An edge with ten requests under way.
async fn with_others() -> (RawEdge, Vec<u32>) {
    let mut edge = RawEdge::start().await;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(edge.send(&block(As::Literal, &get(b"/wait"))).await);
    }
    let begun = || (edge.handler.waiting.load(Ordering::SeqCst) == OTHERS).then_some(());
    let limit = Duration::from_secs(20);
    within(limit, "all are with the handler", begun).await;
    (edge, others)
}

/// None of the ten is lost.
async fn all_answered(mut edge: RawEdge, others: Vec<u32>) {
    // Some tests leave requests of their own waiting.
    edge.handler.go_on.add_permits(2 * OTHERS);
    for stream in others {
        let ended = edge.ended(stream, "the requests under way").await;
        assert_eq!(ended, Ended::Answered);
    }
}

type Request = Vec<(Vec<u8>, Vec<u8>)>;

/// A good request with another field at its end.
fn with(name: &[u8], value: &[u8]) -> Request {
    let mut request = owned(&get(b"/"));
    request.push((name.to_vec(), value.to_vec()));
    request
}

fn owned(fields: &[Field<'_>]) -> Request {
    let owned = |(name, value): &Field<'_>| (name.to_vec(), value.to_vec());
    fields.iter().map(owned).collect()
}

fn written(written: As, request: &Request) -> Vec<u8> {
    let fields: Vec<Field<'_>> = request.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    block(written, &fields)
}

/// Bytes that no name and no pseudo header may have, capitals apart.
fn forbidden() -> impl Iterator<Item = u8> {
    (0..=0x20).chain(0x7f..=0xff)
}

/// One name and one value for each byte that there is.
fn bytes_of_fields() -> Vec<(Request, Ended)> {
    let mut cases = Vec::new();
    for byte in forbidden().chain(b'A'..=b'Z').chain([b':']) {
        cases.push((with(&[b'x', byte, b'y'], b"z"), Ended::Reset));
        cases.push((with(&[byte], b"z"), Ended::Reset));
    }
    for byte in 0..=0xff {
        let then = match byte {
            b'\t' | 0x20..=0x7e | 0x80..=0xff => Ended::Answered,
            _ => Ended::Reset,
        };
        cases.push((with(b"x-y", &[b'a', byte, b'b']), then));
    }
    for pseudo in 0..4 {
        for byte in forbidden() {
            let mut request = owned(&get(b"/"));
            request[pseudo].1.insert(1, byte);
            // Those of a path that are no ASCII are percent-encoded.
            let is_path = request[pseudo].0 == b":path";
            let then = match byte {
                0x80.. if is_path => Ended::Answered,
                _ => Ended::Reset,
            };
            cases.push((request, then));
        }
    }
    cases
}

/// Pseudo headers that are missing, there twice, behind other fields, or none of a request.
fn pseudo_headers() -> Vec<(Request, Ended)> {
    let mut cases = Vec::new();
    for pseudo in 0..4 {
        let mut missing = owned(&get(b"/"));
        let (name, value) = missing.remove(pseudo);
        missing.push((b"host".to_vec(), b"app.example.com".to_vec()));
        let then = match &name[..] {
            b":authority" => Ended::Answered,
            _ => Ended::Reset,
        };
        cases.push((missing.clone(), then));
        missing.push((name.clone(), value.clone()));
        cases.push((missing, Ended::Reset));
        cases.push((with(&name, &value), Ended::Reset));
    }
    for (name, value) in [
        (&b":status"[..], &b"200"[..]),
        (b":status", b"1"),
        (b":status", b""),
        (b":protocol", b"websocket"),
        (b":unknown", b"1"),
        (b":", b"1"),
        (b"", b"1"),
        (b":Path", b"/"),
    ] {
        cases.push((with(name, value), Ended::Reset));
    }
    cases
}

/// Fields of a connection, and lengths that are none.
fn framing() -> Vec<(Request, Ended)> {
    let mut cases = Vec::new();
    for (name, value, then) in [
        ("connection", "close", Ended::Reset),
        ("keep-alive", "timeout=5", Ended::Reset),
        ("proxy-connection", "close", Ended::Reset),
        ("transfer-encoding", "chunked", Ended::Reset),
        ("upgrade", "websocket", Ended::Reset),
        ("te", "gzip", Ended::Reset),
        ("te", "trailers", Ended::Answered),
        ("content-length", "0", Ended::Answered),
        ("content-length", "1", Ended::Reset),
        ("content-length", "-1", Ended::Reset),
        ("content-length", "+0", Ended::Reset),
        ("content-length", "a", Ended::Reset),
        ("content-length", "0, 0", Ended::Reset),
    ] {
        cases.push((with(name.as_bytes(), value.as_bytes()), then));
    }
    let mut two = with(b"content-length", b"0");
    two.push((b"content-length".to_vec(), b"1".to_vec()));
    cases.push((two, Ended::Reset));
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_field_costs_its_own_request_only() {
    let (mut edge, others) = with_others().await;
    let cases = [bytes_of_fields(), pseudo_headers(), framing()].concat();
    for (request, then) in cases {
        for how in [As::Literal, As::Indexed] {
            let block = written(how, &request);
            let what = block.escape_ascii().to_string();
            let stream = edge.send(&block).await;
            assert_eq!(edge.ended(stream, &what).await, then, "{what}");
        }
    }
    all_answered(edge, others).await;
}

/// The same over QUIC, where capitals are allowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_field_costs_its_own_request_only_over_quic() {
    let rig = quic::Rig::start(1).await;
    let link = rig.link();
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let link = rig.link();
        let waits = async move { link.send("GET", "/wait", "").await.body().await };
        others.push(tokio::spawn(waits));
    }
    let begun = || (rig.handler.waiting.load(Ordering::SeqCst) == OTHERS).then_some(());
    let limit = Duration::from_secs(20);
    within(limit, "all are with the handler", begun).await;

    for (request, then) in bytes_of_fields() {
        let (path, entries) = over_quic(&request);
        let what = format!("{} {entries:?}", path.escape_ascii());
        let (_send, mut recv) = link.forged_bytes(&path, &entries).await;
        let answer = recv.read_to_end(10_000).await.unwrap_or_default();
        let served = answer.windows(3).any(|status| status == b"201");
        let capital = |(name, _): &(Vec<u8>, Vec<u8>)| name.iter().any(u8::is_ascii_uppercase);
        let fine = then == Ended::Answered || request.iter().any(capital);
        // What is wrong with a scheme has no place over QUIC.
        if request[1].1 == b"https" {
            assert_eq!(served, fine, "{what}");
        }
    }

    rig.handler.go_on.add_permits(OTHERS);
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), "waited");
    }
}

/// A request's path, and its other fields as entries of its head over QUIC.
fn over_quic(request: &Request) -> (Vec<u8>, Request) {
    let mut path = Vec::new();
    let mut entries = Vec::new();
    for (name, value) in request {
        let key = match &name[..] {
            b":method" => b"HttpMethod".to_vec(),
            b":authority" => b"HttpHost".to_vec(),
            b":path" => {
                path = value.clone();
                continue;
            }
            b":scheme" => continue,
            name => [b"HttpHeader:", name].concat(),
        };
        entries.push((key, value.clone()));
    }
    (path, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_field_keeps_its_place_in_the_table_of_compression() {
    let (mut edge, others) = with_others().await;
    let good = || block(As::Literal, &get(b"/"));
    let indexed = |fields: &[Field<'_>]| block(As::Indexed, fields);
    for bad in [
        (&b"x-y"[..], &b"\x7f"[..]),
        (b"x y", b"z"),
        (b":path", b"/caf\xe9"),
        (b":status", b"x"),
    ] {
        // The newest entry has index 62, the one before it 63.
        let fields = indexed(&[(b"x-before", b"1"), bad, (b"x-after", b"1")]);
        for (what, block, then) in [
            ("the field", [good(), fields].concat(), Ended::Reset),
            (
                "the newest",
                [good(), vec![0x80 | 62]].concat(),
                Ended::Answered,
            ),
            (
                "the bad one",
                [good(), vec![0x80 | 63]].concat(),
                Ended::Reset,
            ),
            (
                "the oldest",
                [good(), vec![0x80 | 64]].concat(),
                Ended::Answered,
            ),
        ] {
            let stream = edge.send(&block).await;
            assert_eq!(edge.ended(stream, what).await, then, "{what} of {bad:?}");
        }
    }
    all_answered(edge, others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_costs_its_own_stream_wherever_its_frames_are_cut() {
    let (mut edge, others) = with_others().await;
    for bad in [(&b"x y"[..], &b"z"[..]), (b"connection", b"close")] {
        let mut fields = get(b"/").to_vec();
        fields.push(bad);
        fields.push((b"x-after", b"1"));
        let block = block(As::Indexed, &fields);
        for at in 0..=block.len() {
            let stream = edge.stream();
            let (first, second) = block.split_at(at);
            edge.frame(HEADERS, END_STREAM, stream, first).await;
            edge.frame(CONTINUATION, END_HEADERS, stream, second).await;
            let what = format!("{bad:?} cut at {at}");
            assert_eq!(edge.ended(stream, &what).await, Ended::Reset, "{what}");
        }
    }
    all_answered(edge, others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_trailers_and_lengths_cost_their_own_request_only() {
    let (mut edge, others) = with_others().await;
    let end = END_STREAM | END_HEADERS;
    for (length, data, trailers, flags, then) in [
        (
            None,
            "body",
            &[(&b"x-t"[..], &b"1"[..])][..],
            end,
            Ended::Answered,
        ),
        (Some("4"), "body", &[(b"x-t", b"1")], end, Ended::Answered),
        (Some("5"), "body", &[(b"x-t", b"1")], end, Ended::Reset),
        (Some("3"), "body", &[(b"x-t", b"1")], end, Ended::Reset),
        (None, "body", &[(b"x t", b"1")], end, Ended::Reset),
        (None, "body", &[(b"X-T", b"1")], end, Ended::Reset),
        (None, "body", &[(b"x-t", b"\x7f")], end, Ended::Reset),
        (None, "body", &[(b"x-t", b"a\nb")], end, Ended::Reset),
        (None, "body", &[(b":path", b"/")], end, Ended::Reset),
        (None, "body", &[(b":status", b"200")], end, Ended::Reset),
        (None, "body", &[(b":unknown", b"1")], end, Ended::Reset),
        (
            None,
            "body",
            &[(b"connection", b"close")],
            end,
            Ended::Reset,
        ),
        (None, "body", &[(b"x-t", b"1")], END_HEADERS, Ended::Reset),
    ] {
        let mut head = owned(&get(b"/echo"));
        head[0].1 = b"POST".to_vec();
        if let Some(length) = length {
            head.push((b"content-length".to_vec(), length.into()));
        }
        let stream = edge.stream();
        let head = written(As::Literal, &head);
        edge.frame(HEADERS, END_HEADERS, stream, &head).await;
        edge.frame(DATA, 0, stream, data.as_bytes()).await;
        let block = block(As::Indexed, trailers);
        edge.frame(HEADERS, flags, stream, &block).await;
        let what = format!("{length:?} {data} {}", block.escape_ascii());
        assert_eq!(edge.ended(stream, &what).await, then, "{what}");
    }
    all_answered(edge, others).await;
}

/// Frames after the head of a request to `/wait`, whose end the edge has sent or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_out_of_place_costs_its_own_stream_only() {
    let (mut edge, others) = with_others().await;
    let trailers = block(As::Literal, &[(b"x-t", b"1")]);
    let most = 0x7fff_ffff_u32.to_be_bytes();
    for (what, flags, frames) in [
        (
            "no window",
            END_STREAM,
            &[(WINDOW_UPDATE, 0, &[0; 4][..])][..],
        ),
        ("too much window", END_STREAM, &[(WINDOW_UPDATE, 0, &most)]),
        ("a body after the end", END_STREAM, &[(DATA, 0, b"body")]),
        (
            "trailers after the end",
            END_STREAM,
            &[(HEADERS, END_STREAM | END_HEADERS, &trailers)],
        ),
        ("a priority too short", 0, &[(PRIORITY, 0, b"\0\0\0\x03")]),
    ] {
        let stream = edge.stream();
        let head = block(As::Literal, &get(b"/wait"));
        let flags = flags | END_HEADERS;
        edge.frame(HEADERS, flags, stream, &head).await;
        for (kind, flags, payload) in frames {
            edge.frame(*kind, *flags, stream, payload).await;
        }
        assert_eq!(edge.ended(stream, what).await, Ended::Reset, "{what}");
    }
    let stream = edge.stream();
    let itself = [&stream.to_be_bytes()[..], b"\x10"].concat();
    let head = [itself, block(As::Indexed, &get(b"/wait"))].concat();
    let flags = END_STREAM | END_HEADERS | PRIORITY_FLAG;
    edge.frame(HEADERS, flags, stream, &head).await;
    let what = "a stream that depends on itself";
    assert_eq!(edge.ended(stream, what).await, Ended::Reset, "{what}");
    all_answered(edge, others).await;
}

/// The connector has forgotten the first of so many streams when the rest of their requests arrives.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_on_streams_that_were_reset_long_ago_costs_nothing() {
    let (mut edge, others) = with_others().await;
    let mut bad = owned(&get(b"/"));
    bad.push((b"x y".to_vec(), b"z".to_vec()));
    let bad = written(As::Literal, &bad);
    let mut streams = Vec::new();
    for _ in 0..200 {
        let stream = edge.stream();
        edge.frame(HEADERS, END_HEADERS, stream, &bad).await;
        let what = "a malformed head before its body";
        assert_eq!(edge.ended(stream, what).await, Ended::Reset);
        streams.push(stream);
    }
    let trailers = block(As::Literal, &[(b"x-t", b"1")]);
    for stream in streams {
        edge.frame(DATA, 0, stream, b"body").await;
        edge.frame(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes())
            .await;
        edge.frame(HEADERS, END_STREAM | END_HEADERS, stream, &trailers)
            .await;
        edge.frame(RST_STREAM, 0, stream, &[0; 4]).await;
    }
    all_answered(edge, others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_malformed_requests_costs_nobody_else_a_request() {
    let (mut edge, others) = with_others().await;
    let bad = written(As::Literal, &with(b"x y", b"z"));
    let mut last = 0;
    for _ in 0..3000 {
        last = edge.send(&bad).await;
    }
    assert_eq!(edge.ended(last, "a flood").await, Ended::Reset);
    all_answered(edge, others).await;
}

/// Nobody reads the bodies of requests to `/wait`.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_small_or_empty_frames_of_a_body_costs_its_own_request_at_most() {
    let (mut edge, others) = with_others().await;
    for (what, frame, frames) in [("small", &b"x"[..], 100_000), ("empty", b"", 1000)] {
        let stream = edge.stream();
        let head = block(As::Literal, &get(b"/wait"));
        edge.frame(HEADERS, END_HEADERS, stream, &head).await;
        for _ in 0..frames {
            edge.frame(DATA, 0, stream, frame).await;
        }
        let stream = edge.send(&block(As::Literal, &get(b"/"))).await;
        assert_eq!(edge.ended(stream, what).await, Ended::Answered, "{what}");
    }
    all_answered(edge, others).await;
}
