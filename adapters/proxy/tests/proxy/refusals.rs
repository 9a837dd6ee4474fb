//! Endpoints that say that they did nothing with a request (RFC 9113 §6.8, §8.7), and those that do not say so.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use domain::route_table::UpstreamProtocol::{H2c, Http1};
use futures_util::future::join_all;
use http::Request;

use crate::endpoint;
use crate::raw_h2::{
    self, CANCEL, DATA, END_STREAM, Frames, HEADERS, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM,
};
use crate::rig::{Sketch, arrival, data, engine, engine_with, fed, in_time, read};

/// How an endpoint ends a request that has reached it.
#[derive(Debug, Clone, Copy)]
enum Ending {
    GoAway { last: u32 },
    Reset(u32),
    Close,
}

/// What is sent of a request.
#[derive(Debug, Clone, Copy)]
struct Sent {
    method: &'static str,
    /// Pieces of 64 KiB, after a short one.
    pieces: Option<usize>,
}

const GET: Sent = Sent {
    method: "GET",
    pieces: None,
};
const BARE_POST: Sent = Sent {
    method: "POST",
    pieces: None,
};
const POST: Sent = Sent {
    method: "POST",
    pieces: Some(0),
};
const LONG_POST: Sent = Sent {
    method: "POST",
    pieces: Some(4),
};

/// Ends the first `endings` requests when their bodies have come, one on each connection, and answers the others with
/// the length of their bodies. Counts the requests.
async fn ending(how: Ending, endings: usize, requests: Arc<AtomicUsize>) -> SocketAddr {
    raw_h2::start(move |mut frames: Frames, _| {
        let requests = Arc::clone(&requests);
        async move {
            let Some(mut frame) = frames.next().await else {
                return;
            };
            let mut length = 0;
            let stream = loop {
                if frame.kind == HEADERS {
                    frames.widen(frame.stream).await;
                }
                if frame.kind == DATA {
                    length += frame.payload.len();
                }
                if frame.stream > 0 && frame.flags & END_STREAM > 0 {
                    break frame.stream;
                }
                match frames.next().await {
                    Some(next) => frame = next,
                    None => return,
                }
            };
            if requests.fetch_add(1, SeqCst) >= endings {
                frames.answer(stream, 0).await;
                let length = length.to_string();
                frames
                    .send(DATA, END_STREAM, stream, length.as_bytes())
                    .await;
            } else {
                match how {
                    Ending::GoAway { last } => {
                        frames.go_away(last, NO_ERROR).await;
                        if stream <= last {
                            return;
                        }
                    }
                    Ending::Reset(reason) => frames.reset(stream, reason).await,
                    Ending::Close => return,
                }
            }
            frames.drain().await;
        }
    })
    .await
}

async fn send(engine: &adapter_proxy::Engine, sent: Sent) -> (u16, String) {
    let (feed, body) = fed();
    let request = Request::builder().method(sent.method).uri("/");
    let request = request.header("host", "app.example");
    let serve = async {
        match sent.pieces {
            None => {
                let empty = http_body_util::Empty::new();
                engine.serve(arrival(), request.body(empty).unwrap()).await
            }
            Some(_) => engine.serve(arrival(), request.body(body).unwrap()).await,
        }
    };
    let upload = async move {
        let Some(pieces) = sent.pieces else { return };
        let _ = feed.send(data("begun")).await;
        for _ in 0..pieces {
            let _ = feed.send(data(vec![b'x'; 64 << 10])).await;
        }
    };
    let (response, ()) = in_time(async { tokio::join!(serve, upload) }).await;
    read(response).await
}

#[tokio::test]
async fn a_request_is_sent_again_only_if_the_endpoint_did_not_act_on_it() {
    const LEFT_OUT: Ending = Ending::GoAway { last: 0 };
    const REFUSED: Ending = Ending::Reset(REFUSED_STREAM);
    for (sent, how, endings, status, requests) in [
        (GET, LEFT_OUT, 1, 200, 2),
        (BARE_POST, LEFT_OUT, 1, 200, 2),
        (POST, LEFT_OUT, 1, 200, 2),
        (POST, LEFT_OUT, 7, 200, 8),
        (POST, LEFT_OUT, 8, 502, 8),
        (GET, REFUSED, 1, 200, 2),
        (BARE_POST, REFUSED, 7, 200, 8),
        (POST, REFUSED, 7, 200, 8),
        (POST, REFUSED, 8, 502, 8),
        // More of its body was sent than is kept.
        (LONG_POST, REFUSED, 0, 200, 1),
        (LONG_POST, REFUSED, 1, 502, 1),
        (LONG_POST, LEFT_OUT, 1, 502, 1),
        // Not refused.
        (POST, Ending::GoAway { last: 1 }, 1, 502, 1),
        (BARE_POST, Ending::Reset(CANCEL), 1, 502, 1),
        (POST, Ending::Reset(CANCEL), 1, 502, 1),
        (POST, Ending::Reset(INTERNAL_ERROR), 1, 502, 1),
        (POST, Ending::Reset(NO_ERROR), 1, 502, 1),
        (BARE_POST, Ending::Close, 1, 502, 1),
        (POST, Ending::Close, 1, 502, 1),
    ] {
        let case = format!("{sent:?} {how:?} {endings} times");
        let seen = Arc::new(AtomicUsize::new(0));
        let at = ending(how, endings, Arc::clone(&seen)).await;
        let (engine, metrics) = engine_with(Default::default());
        engine.load(Sketch::simple(H2c, &[at]));

        let (answered, text) = send(&engine, sent).await;

        assert_eq!(answered, status, "{case}");
        assert_eq!(seen.load(SeqCst), requests, "{case}");
        assert_eq!(metrics.retries(), requests as u64 - 1, "{case}");
        if status == 200 {
            let length = sent.pieces.map_or(0, |pieces| 5 + pieces * (64 << 10));
            assert_eq!(text, length.to_string(), "{case}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_after_its_last_request_costs_none() {
    const REQUESTS: usize = 150;
    const AT_ONCE: usize = 30;
    for each in [1, 5, 100] {
        let at = raw_h2::start(move |frames: Frames, _| serve_some(frames, each)).await;
        let engine = engine();
        engine.load(Sketch::simple(H2c, &[at]));
        let left = AtomicUsize::new(REQUESTS);
        let clients = (0..AT_ONCE).map(|_| async {
            while left
                .fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1))
                .is_ok()
            {
                let answer = send(&engine, POST).await;
                assert_eq!(answer, (200, String::new()), "{each} a connection");
            }
        });
        join_all(clients).await;
    }
}

/// Answers that many requests; with the last of them it says that it does nothing with the others, as nginx does.
async fn serve_some(mut frames: Frames, count: usize) {
    let mut taken = HashSet::new();
    let mut answered = 0;
    let mut last = 0;
    while let Some(frame) = frames.next().await {
        if frame.kind == HEADERS && taken.len() < count {
            taken.insert(frame.stream);
            last = frame.stream;
            if taken.len() == count {
                frames.go_away(last, NO_ERROR).await;
            }
        }
        let is_end = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM > 0;
        if is_end && taken.contains(&frame.stream) && frame.stream <= last {
            frames.answer(frame.stream, END_STREAM).await;
            answered += 1;
        }
        if answered == count {
            frames.drain().await;
        }
    }
}

#[tokio::test]
async fn a_request_whose_head_was_sent_reaches_one_endpoint_only() {
    for protocol in [Http1, H2c] {
        for (method, most) in [("POST", 1), ("PATCH", 1), ("PUT", 3)] {
            let seen = Arc::new(AtomicUsize::new(0));
            let mut pods = Vec::new();
            for _ in 0..3 {
                pods.push(acts_on_heads(protocol, Arc::clone(&seen)).await);
            }
            let engine = engine();
            engine.load(Sketch::simple(protocol, &pods));
            // Its body is still on its way.
            let (feed, body) = fed();
            let request = Request::builder().method(method).uri("/");
            let request = request.header("host", "app.example");
            let request = request.header("content-length", "5").body(body).unwrap();

            let response = in_time(engine.serve(arrival(), request)).await;

            assert_eq!(response.status(), 502, "{protocol:?} {method}");
            assert_eq!(seen.load(SeqCst), most, "{protocol:?} {method}");
            drop(feed);
        }
    }
}

/// Takes the head of a request and closes.
async fn acts_on_heads(
    protocol: domain::route_table::UpstreamProtocol,
    seen: Arc<AtomicUsize>,
) -> SocketAddr {
    if protocol == H2c {
        return raw_h2::start(move |mut frames: Frames, _| {
            let seen = Arc::clone(&seen);
            async move {
                if frames.next_request().await.is_some() {
                    seen.fetch_add(1, SeqCst);
                }
            }
        })
        .await;
    }
    endpoint::bare(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            if endpoint::read_head(&mut stream).await {
                seen.fetch_add(1, SeqCst);
            }
        }
    })
    .await
}
