//! Bodies, trailers and WebSockets: nothing is held back, nothing piles up, ends and resets arrive.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::visitor::{get, http1, http2, post, request, request2, status, text, tls};
use super::{HOST, World, soon, until};
use crate::edge::body::BoxError;

over_both_transports! {
    the_first_byte_of_a_stream_is_not_held_back,
    a_body_goes_up_whole,
    a_visitor_that_does_not_read_slows_the_origin_down_and_its_going_stops_it,
    a_visitor_that_breaks_off_an_upload_breaks_it_off_at_the_origin,
    a_response_that_breaks_off_breaks_off_at_the_visitor,
    a_thousand_requests_are_in_flight_at_once,
    a_websocket_carries_bytes_both_ways_and_each_way_ends_by_itself,
    a_websocket_that_the_origin_ends_still_carries_the_visitors_bytes,
    the_last_words_of_a_websocket_arrive_when_its_origin_reads_nothing,
    an_origin_that_declines_a_websocket_answers_as_ever,
}

async fn the_first_byte_of_a_stream_is_not_held_back(world: World) {
    let connection = world.connect().await;
    for version in [1, 2] {
        let mut response = if version == 1 {
            let mut visitor = http1(&world.edge).await;
            soon("an answer", visitor.send_request(request("/held-stream"))).await
        } else {
            let mut visitor = http2(&world.edge).await;
            soon("an answer", visitor.send_request(request2("/held-stream"))).await
        }
        .unwrap();

        let first = soon("the first byte", response.frame())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(first.into_data().unwrap(), "first ");
        connection.origin.release.notify_one();
        assert_eq!(text(response).await, "last");
    }
}

#[tokio::test]
async fn trailers_arrive() {
    let world = World::new().await;
    let _connection = world.connect().await;
    let mut visitor = http2(&world.edge).await;
    let mut grpc = request2("/trailers");
    grpc.headers_mut().insert("te", "trailers".parse().unwrap());

    let response = soon("an answer", visitor.send_request(grpc)).await.unwrap();

    let collected = soon("the body ends", response.into_body().collect())
        .await
        .unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "message");
}

async fn a_body_goes_up_whole(world: World) {
    let _connection = world.connect().await;
    let length: usize = 20 << 20;
    for version in [1, 2] {
        let chunks = (0..length / 65_536)
            .map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from_static(&[b'x'; 65_536]))));
        let body = StreamBody::new(stream::iter(chunks)).boxed_unsync();
        let response = if version == 1 {
            let mut visitor = http1(&world.edge).await;
            let upload = post(request("/upload")).map(|_| body);
            soon("an answer", visitor.send_request(upload)).await
        } else {
            let mut visitor = http2(&world.edge).await;
            let upload = post(request2("/upload")).map(|_| body);
            soon("an answer", visitor.send_request(upload)).await
        };
        assert_eq!(text(response.unwrap()).await, length.to_string());
    }
}

async fn a_visitor_that_does_not_read_slows_the_origin_down_and_its_going_stops_it(world: World) {
    let connection = world.connect().await;
    let origin = connection.origin.clone();
    let mut tcp = TcpStream::connect(world.edge.public_http()).await.unwrap();
    let request = format!("GET /endless HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();

    // Once every buffer on the way is full, the origin gives nothing more.
    let mut before = 0;
    until("the origin stands still", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = origin.given.load(Ordering::Relaxed);
        let still = now > 0 && now == before;
        before = now;
        still
    })
    .await;
    assert!(
        before < 32 << 20,
        "{before} bytes for a visitor that reads none"
    );

    drop(tcp);
    until("the origin is told", async || {
        origin.abandoned.load(Ordering::Relaxed) == 1
    })
    .await;
}

async fn a_visitor_that_breaks_off_an_upload_breaks_it_off_at_the_origin(world: World) {
    let connection = world.connect().await;
    let mut tcp = TcpStream::connect(world.edge.public_http()).await.unwrap();
    let upload =
        format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\nonly this");
    tcp.write_all(upload.as_bytes()).await.unwrap();
    until("the origin has the request", async || {
        connection.origin.requests.load(Ordering::Relaxed) == 1
    })
    .await;

    drop(tcp);

    until("the origin's body fails", async || {
        connection.origin.failed_uploads.load(Ordering::Relaxed) == 1
    })
    .await;
}

async fn a_response_that_breaks_off_breaks_off_at_the_visitor(world: World) {
    let _connection = world.connect().await;
    let mut visitor = http2(&world.edge).await;

    let response = soon("an answer", visitor.send_request(request2("/breaks")))
        .await
        .unwrap();

    let outcome = soon("the body ends", response.into_body().collect()).await;
    assert!(outcome.is_err(), "a broken body must not look whole");

    let over_http1 = get(&world.edge, "/breaks", "").await;
    assert!(over_http1.contains("part"), "{over_http1}");
    assert!(!over_http1.ends_with("0\r\n\r\n"), "{over_http1}");
}

async fn a_thousand_requests_are_in_flight_at_once(world: World) {
    let connection = world.connect().await;
    let visitor = http2(&world.edge).await;
    let answers: Vec<_> = (0..1_000)
        .map(|_| {
            let mut visitor = visitor.clone();
            tokio::spawn(async move { visitor.send_request(request2("/held")).await })
        })
        .collect();
    until("all are in flight", async || {
        world.edge.connections()[0].in_flight == 1_000
            && connection.origin.requests.load(Ordering::Relaxed) == 1_000
    })
    .await;

    until("all are answered", async || {
        connection.origin.release.notify_waiters();
        answers.iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;

    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    until("nothing is in flight", async || {
        world.edge.connections()[0].in_flight == 0
    })
    .await;
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n";

/// Asks for a WebSocket and reads the head of the answer.
async fn upgraded<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{UPGRADE}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn echoes_until_half_closed<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let head = upgraded(&mut stream, "/websocket").await;
    assert_eq!(status(&head), 101);
    assert!(
        head.to_ascii_lowercase()
            .contains("sec-websocket-accept: accepted")
    );
    for message in ["one", "two"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut back = [0; 3];
        soon("the echo", stream.read_exact(&mut back))
            .await
            .unwrap();
        assert_eq!(&back, message.as_bytes());
    }
    stream.write_all(b"last words").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    soon("the end", stream.read_to_string(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, "last words");
}

async fn a_websocket_carries_bytes_both_ways_and_each_way_ends_by_itself(world: World) {
    let _connection = world.connect().await;
    let tcp = TcpStream::connect(world.edge.public_http()).await.unwrap();
    echoes_until_half_closed(tcp).await;
    let stream = tls(&world.edge, world.edge.public_https(), HOST, &["http/1.1"]).await;
    echoes_until_half_closed(stream.unwrap()).await;
    until("nothing is in flight", async || {
        world.edge.connections()[0].in_flight == 0
    })
    .await;
}

async fn a_websocket_that_the_origin_ends_still_carries_the_visitors_bytes(world: World) {
    let connection = world.connect().await;
    let mut tcp = TcpStream::connect(world.edge.public_http()).await.unwrap();
    let head = upgraded(&mut tcp, "/websocket-origin-ends").await;
    assert_eq!(status(&head), 101);

    let mut rest = String::new();
    soon("the origin's end", tcp.read_to_string(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, "bye");
    tcp.write_all(b"still here").await.unwrap();

    until("the origin has read it", async || {
        connection.origin.received.load(Ordering::Relaxed) == 10
    })
    .await;
    assert_eq!(world.edge.connections()[0].in_flight, 1);
    drop(tcp);
    until("nothing is in flight", async || {
        world.edge.connections()[0].in_flight == 0
    })
    .await;
}

async fn the_last_words_of_a_websocket_arrive_when_its_origin_reads_nothing(world: World) {
    let _connection = world.connect().await;
    let mut tcp = TcpStream::connect(world.edge.public_http()).await.unwrap();
    let head = upgraded(&mut tcp, "/websocket-refuses-input").await;
    assert_eq!(status(&head), 101);

    let mut rest = String::new();
    soon("the origin's end", tcp.read_to_string(&mut rest))
        .await
        .unwrap();

    assert_eq!(rest, "bye");
}

async fn an_origin_that_declines_a_websocket_answers_as_ever(world: World) {
    let _connection = world.connect().await;
    let mut tcp = TcpStream::connect(world.edge.public_http()).await.unwrap();
    let head = upgraded(&mut tcp, "/no-websocket").await;
    assert_eq!(status(&head), 200);
}
