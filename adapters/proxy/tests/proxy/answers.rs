//! Heads, lengths and trailers of answers, valid or not.

#[path = "../../../../tests/src/raw_answers.rs"]
#[allow(unreachable_pub, reason = "the crate `tests` has it too, as a library")]
mod raw_answers;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use crate::endpoint::{bare as socket, read_head};
use crate::rig::{Sketch, arrival, bare, engine, get, in_time, read};
use raw_answers::{CODINGS, LENGTHS, RawAnswer, Then};

/// An endpoint that answers each request with these bytes, piece by piece.
async fn answering(answer: Vec<u8>, piece: usize, closes: bool) -> SocketAddr {
    socket(move |mut stream| {
        let answer = answer.clone();
        async move {
            while read_head(&mut stream).await {
                for piece in answer.chunks(piece) {
                    // Who has read enough may have closed.
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                if closes {
                    return;
                }
            }
        }
    })
    .await
}

/// An endpoint that answers one request over HTTP/2 with this head and these frames.
async fn answering_over_http2(head: HeaderMap, frames: Vec<Frame<Bytes>>) -> SocketAddr {
    let answer = Arc::new(Mutex::new(Some((head, frames))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |_| {
            let (head, frames) = answer.lock().unwrap().take().unwrap_or_default();
            let frames = frames.into_iter().map(Ok::<_, std::io::Error>);
            let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
            *response.headers_mut() = head;
            async move { Ok::<_, std::io::Error>(response) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    at
}

fn head(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut head = HeaderMap::new();
    for (name, value) in lines {
        head.append(*name, value.parse().unwrap());
    }
    head
}

/// What a client gets of an answer from here.
async fn got(
    protocol: domain::route_table::UpstreamProtocol,
    at: SocketAddr,
    method: &str,
) -> Then {
    let engine = engine();
    engine.load(Sketch::simple(protocol, &[at]));
    let response = in_time(engine.serve(arrival(), bare(method, "/"))).await;
    let status = response.status().as_u16();
    let lengths = response.headers().get_all("content-length").iter();
    let mut lengths: Vec<_> = lengths
        .map(|length| length.to_str().unwrap().to_owned())
        .collect();
    let length = lengths.pop().map(|length| &*length.leak());
    assert!(lengths.is_empty(), "more lengths: {lengths:?}");
    for gone in ["transfer-encoding", "connection"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    match in_time(response.into_body().collect()).await {
        Ok(_) if status == 502 => Then::BadGateway,
        Ok(body) => {
            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            Then::Whole(status, length, body.leak())
        }
        Err(_) => Then::Cut,
    }
}

#[tokio::test]
async fn an_answer_tells_its_length_in_one_way_that_is_true_or_is_a_502() {
    for RawAnswer {
        given,
        method,
        answer,
        closes,
        then,
    } in LENGTHS.into_iter().chain(CODINGS)
    {
        for piece in [1, answer.len()] {
            let at = answering(answer.into(), piece, closes).await;
            assert_eq!(
                got(Http1, at, method).await,
                then,
                "{given}, pieces of {piece}"
            );
        }
    }
}

#[tokio::test]
async fn over_http2_too_an_answer_has_the_length_that_it_tells() {
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    type Lines<'a> = &'a [(&'static str, &'static str)];
    let rows: [(&str, Lines<'_>, &'static str, Then); 8] = [
        ("no length", &[], "ok", Then::Whole(200, None, "ok")),
        (
            "a length",
            &[("content-length", "2")],
            "ok",
            Then::Whole(200, Some("2"), "ok"),
        ),
        (
            "a length twice",
            &[("content-length", "2"), ("content-length", "02")],
            "ok",
            Then::Whole(200, Some("2"), "ok"),
        ),
        (
            "two lengths",
            &[("content-length", "2"), ("content-length", "3")],
            "ok",
            Then::BadGateway,
        ),
        (
            "a list",
            &[("content-length", "2, 2")],
            "ok",
            Then::BadGateway,
        ),
        (
            "a sign",
            &[("content-length", "+2")],
            "ok",
            Then::BadGateway,
        ),
        (
            "more than comes",
            &[("content-length", "3")],
            "ok",
            Then::Cut,
        ),
        (
            "less than comes",
            &[("content-length", "1")],
            "ok",
            Then::Cut,
        ),
    ];
    for (given, lines, body, then) in rows {
        let at = answering_over_http2(head(lines), vec![data(body)]).await;
        assert_eq!(got(H2c, at, "GET").await, then, "{given}");
    }
}

/// A head of so many lines of this shape and size.
fn head_of(lines: usize, line: &str) -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_vec();
    head.extend(line.repeat(lines).bytes());
    head.extend(b"\r\nok");
    head
}

#[tokio::test]
async fn an_answer_may_have_any_number_of_header_lines_up_to_128_kib() {
    let too_large = "the headers of the backend's answer are above 128 KiB or 24,000 lines\n";
    let value = |kib: usize| format!("X-A: {}\r\n", "v".repeat(kib * 1024 - 100));
    let rows = [
        ("101 lines", head_of(99, "X-A: b\r\n"), true),
        (
            "150 cookies",
            head_of(150, "Set-Cookie: a=b; Secure\r\n"),
            true,
        ),
        ("5,000 lines", head_of(5_000, "X-A: 0123456789\r\n"), true),
        ("20,000 lines", head_of(20_000, "X: y\r\n"), true),
        ("30,000 lines", head_of(30_000, "X: y\r\n"), false),
        ("70 KiB", head_of(1, &value(70)), true),
        ("110 KiB", head_of(1, &value(110)), true),
        ("128 KiB", head_of(1, &value(128)), true),
        ("129 KiB", head_of(1, &value(129)), false),
        ("200 KiB", head_of(1, &value(200)), false),
        ("2 MiB", head_of(1, &value(2048)), false),
        (
            "150 KiB in 1,000 lines",
            head_of(1_000, &format!("X-A: {}\r\n", "v".repeat(150))),
            false,
        ),
    ];
    for (given, answer, fits) in rows {
        for piece in [answer.len(), 60_000, 1_500] {
            let at = answering(answer.clone(), piece, false).await;
            let engine = engine();
            engine.load(Sketch::simple(Http1, &[at]));
            let found = read(in_time(get(&engine, "/")).await).await;
            let expected = match fits {
                true => (200, "ok".to_owned()),
                false => (502, too_large.to_owned()),
            };
            assert_eq!(found, expected, "{given}, pieces of {piece}");
        }
    }
    let long = |kib: usize| {
        let mut head = HeaderMap::new();
        head.insert("x-a", "v".repeat(kib * 1024 - 100).parse().unwrap());
        head
    };
    let many = |lines: usize| {
        let mut head = HeaderMap::new();
        for _ in 0..lines {
            head.append("x", "y".parse().unwrap());
        }
        head
    };
    for (given, head, fits) in [
        ("150 lines", many(150), true),
        ("20,000 lines", many(20_000), true),
        ("70 KiB", long(70), true),
        ("128 KiB", long(128), true),
        ("129 KiB", long(129), false),
        ("200 KiB", long(200), false),
    ] {
        let ok = Frame::data(Bytes::from_static(b"ok"));
        let at = answering_over_http2(head, vec![ok]).await;
        let engine = engine();
        engine.load(Sketch::simple(H2c, &[at]));
        let found = read(in_time(get(&engine, "/")).await).await;
        let expected = match fits {
            true => (200, "ok".to_owned()),
            false => (502, too_large.to_owned()),
        };
        assert_eq!(found, expected, "{given} over HTTP/2");
    }
}

#[tokio::test]
async fn trailers_of_an_endpoint_reach_the_client_but_those_that_none_may_send() {
    let bad = "cf-cloudflared-response-meta: x\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\nX-Forwarded-For: x\r\n";
    let good = "grpc-status: 0\r\ngrpc-message: fine\r\nx-own_bin: 1\r\n";
    for (trailers, names) in [
        (
            [bad, good].concat(),
            &["grpc-message", "grpc-status", "x-own_bin"][..],
        ),
        (bad.to_owned(), &[]),
    ] {
        let announced = "Trailer: grpc-status, grpc-message, x-own_bin, set-cookie\r\n";
        let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
        let answer = [start, announced, "\r\n2\r\nok\r\n0\r\n", &trailers, "\r\n"].concat();
        let over_http1 = answering(answer.into(), 1_000, false).await;
        let mut map = HeaderMap::new();
        for line in trailers.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let frames = vec![Frame::data(Bytes::from_static(b"ok")), Frame::trailers(map)];
        let over_http2 = answering_over_http2(HeaderMap::new(), frames).await;
        for (protocol, at) in [(Http1, over_http1), (H2c, over_http2)] {
            let engine = engine();
            engine.load(Sketch::simple(protocol, &[at]));
            let response = in_time(get(&engine, "/")).await;
            let body = in_time(response.into_body().collect()).await.unwrap();
            let left = body.trailers().cloned().unwrap_or_default();
            let mut left: Vec<&str> = left.keys().map(http::HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, names, "{protocol:?}");
            assert_eq!(body.to_bytes(), "ok", "{protocol:?}");
        }
    }
}
