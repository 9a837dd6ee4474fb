//! Bodies that take their time.

use std::io::{self, Read as _, Write as _};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::endpoint::{self, Endpoint, addresses};
use crate::rig::{
    Sketch, app_behind, arrival, data, engine, eventually, fed, get, in_time, next_text, read,
};

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_sent() {
    for protocol in [Http1, H2c] {
        let (app, engine) = app_behind(protocol).await;
        let response = get(&engine, "/events").await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        for event in 0..3 {
            let text = next_text(&mut body).await.unwrap();
            assert_eq!(text, format!("data: {event}\n\n"));
            app.seen.go_on.add_permits(1);
        }
        assert_eq!(next_text(&mut body).await, None);
    }
}

#[tokio::test]
async fn an_answer_may_begin_while_the_request_still_flows() {
    for protocol in [Http1, H2c] {
        let (_app, engine) = app_behind(protocol).await;
        let (feed, body) = fed();
        let request = Request::post("/early").header("host", "app.example");
        let request = request.body(body).unwrap();
        let response = in_time(engine.serve(arrival(), request)).await;
        let mut body = response.into_body();
        assert_eq!(next_text(&mut body).await.unwrap(), "early ");
        for _ in 0..5 {
            in_time(feed.send(data("12"))).await.unwrap();
        }
        drop(feed);
        assert_eq!(next_text(&mut body).await.unwrap(), "10");
        assert_eq!(next_text(&mut body).await, None);
    }
}

/// The endpoint takes the head alone and resets the connection behind its answer. No time passes in which the proxy could
/// see the answer before it sends more.
#[tokio::test]
async fn an_answer_arrives_although_its_endpoint_takes_no_more_of_the_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (has_head, heads) = std::sync::mpsc::channel();
    let (go, may_answer) = std::sync::mpsc::channel::<()>();
    let (has_closed, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        has_head.send(()).unwrap();
        may_answer.recv().unwrap();
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";
        stream.write_all(answer).unwrap();
        let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.unwrap();
        drop(stream);
        has_closed.send(()).unwrap();
    });
    let engine = engine();
    engine.load(Sketch::simple(Http1, &[at]));
    let (feed, body) = fed();
    let request = Request::post("/").header("host", "app.example");
    let request = request.body(body).unwrap();
    let served = tokio::spawn(async move { engine.serve(arrival(), request).await });
    eventually("the endpoint has the head", || heads.try_recv().is_ok()).await;
    go.send(()).unwrap();
    closed.recv().unwrap();

    feed.send(data("more")).await.unwrap();

    let response = in_time(served).await.unwrap();
    assert_eq!(read(response).await, (413, "big".to_owned()));
}

#[tokio::test]
async fn a_client_that_reads_nothing_stops_the_endpoint() {
    for (protocol, most) in [(Http1, 32 << 20), (H2c, 4 << 20)] {
        let (app, engine) = app_behind(protocol).await;
        let mut body = get(&engine, "/endless").await.into_body();
        next_text(&mut body).await.unwrap();

        // Until the windows and the kernel's buffers are full.
        let mut sent = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = app.seen.sent.load(SeqCst);
            if now == sent {
                break;
            }
            assert!(now < most, "{protocol:?}: {now} bytes and more");
            sent = now;
        }

        // Others are served meanwhile, and reading sets it going again.
        assert_eq!(read(get(&engine, "/").await).await.0, 200);
        let mut taken = 0;
        while taken <= sent + (1 << 20) {
            taken += next_text(&mut body).await.unwrap().len() as u64;
        }
        assert!(app.seen.sent.load(SeqCst) > sent);
    }
}

#[tokio::test]
async fn an_endpoint_that_reads_nothing_stops_the_client() {
    for protocol in [Http1, H2c] {
        let (app, engine) = app_behind(protocol).await;
        let (feed, body) = fed();
        let request = Request::post("/wait").header("host", "app.example");
        let request = request.body(body).unwrap();
        let response = tokio::spawn({
            let engine = std::sync::Arc::clone(&engine);
            async move { engine.serve(arrival(), request).await }
        });
        let chunk = Bytes::from(vec![0; 64 * 1024]);
        let mut sent = 0;
        let patience = Duration::from_secs(1);
        while let Ok(Ok(())) = tokio::time::timeout(patience, feed.send(data(chunk.clone()))).await
        {
            sent += chunk.len();
            assert!(sent < 32 << 20, "{protocol:?}: {sent} bytes and more");
        }
        app.seen.go_on.add_permits(1);
        assert_eq!(in_time(response).await.unwrap().status(), 200);
    }
}

/// Is a client that goes away as soon as the endpoint has seen its request.
async fn leave_once_seen(app: &Endpoint, serving: impl Future) {
    let before = app.seen.requests();
    tokio::select! {
        _ = serving => panic!("nothing answers this request"),
        () = eventually("the endpoint sees it", || app.seen.requests() > before) => {}
    }
}

#[tokio::test]
async fn a_client_that_goes_away_has_its_request_given_up() {
    for protocol in [Http1, H2c] {
        let (app, engine) = app_behind(protocol).await;
        let given_up = |count| {
            let seen = &app.seen;
            move || seen.given_up.load(SeqCst) == count
        };

        leave_once_seen(&app, get(&engine, "/wait")).await;
        eventually("before the answer", given_up(1)).await;

        let mut body = get(&engine, "/endless").await.into_body();
        next_text(&mut body).await.unwrap();
        drop(body);
        eventually("in the middle of the answer", given_up(2)).await;

        let (feed, body) = fed();
        let request = Request::post("/count").header("host", "app.example");
        let request = request.body(body).unwrap();
        feed.send(data("abc")).await.unwrap();
        let serving = engine.serve(arrival(), request);
        leave_once_seen(&app, serving).await;
        eventually("in the middle of the request", given_up(3)).await;
        in_time(feed.closed()).await;

        let (feed, body) = fed();
        let request = Request::post("/early").header("host", "app.example");
        let response = engine.serve(arrival(), request.body(body).unwrap()).await;
        drop(response);
        in_time(feed.closed()).await;

        assert_eq!(engine.in_flight(), 0);
    }
}

/// The kernel would else hold what was to be sent for a minute, for as many requests as anybody likes to give up.
#[tokio::test]
async fn an_endpoint_that_takes_nothing_is_reset_when_the_client_goes_away() {
    let (accepted, mut connections) = tokio::sync::mpsc::unbounded_channel();
    let at = endpoint::bare(move |stream| {
        accepted.send(stream).unwrap();
        std::future::ready(())
    })
    .await;
    let engine = engine();
    engine.load(Sketch::simple(Http1, &[at]));
    let (feed, body) = fed();
    let request = Request::post("/").header("host", "app.example");
    let serving = engine.serve(arrival(), request.body(body).unwrap());
    let full = Duration::from_millis(300);
    let filling = async {
        while let Ok(Ok(())) = timeout(full, feed.send(data(vec![b'x'; 64 << 10]))).await {}
    };
    tokio::select! {
        _ = serving => panic!("nothing answers this request"),
        () = filling => {}
    }

    let mut connection = connections.recv().await.unwrap();
    let read = in_time(connection.read_to_end(&mut Vec::new())).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_flow_at_once() {
    for protocol in [Http1, H2c] {
        let pods = Endpoint::start_many(4).await;
        let engine = engine();
        engine.load(Sketch::simple(protocol, &addresses(&pods)));
        let opened = (0..1_000).map(|_| async { get(&engine, "/events").await.into_body() });
        let mut bodies = in_time(join_all(opened)).await;
        for body in &mut bodies {
            assert_eq!(next_text(body).await.unwrap(), "data: 0\n\n");
        }
        assert_eq!(engine.in_flight(), 1_000);
        for pod in &pods {
            pod.seen.go_on.add_permits(3_000);
        }
        let ends = in_time(join_all(bodies.into_iter().map(BodyExt::collect))).await;
        for end in ends {
            assert_eq!(end.unwrap().to_bytes(), "data: 1\n\ndata: 2\n\n");
        }
        assert_eq!(engine.in_flight(), 0, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_bodies_arrive_whole_both_ways() {
    const SIZE: u64 = 64 << 20;
    for protocol in [Http1, H2c] {
        let (_app, engine) = app_behind(protocol).await;

        let (feed, body) = fed();
        let request = Request::post("/count").header("host", "app.example");
        let request = request.body(body).unwrap();
        tokio::spawn(async move {
            let chunk = Bytes::from(vec![7; 64 * 1024]);
            for _ in 0..SIZE / (64 * 1024) {
                feed.send(data(chunk.clone())).await.unwrap();
            }
        });
        let answer = read(engine.serve(arrival(), request).await).await;
        assert_eq!(answer, (200, SIZE.to_string()));

        let mut body = get(&engine, "/endless").await.into_body();
        let mut taken = 0;
        while taken < SIZE {
            let frame = in_time(body.frame()).await.unwrap().unwrap();
            taken += frame.into_data().unwrap().len() as u64;
        }
    }
}
