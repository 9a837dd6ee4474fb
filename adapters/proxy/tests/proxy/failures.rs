//! Endpoints that refuse, hang, break off or lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use adapter_proxy::Limits;
use bytes::Bytes;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::endpoint::{self, Endpoint, addresses, read_head, refusing};
use crate::rig::{Sketch, app_behind, arrival, bare, engine, engine_with, fed, get, in_time, read};

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        let (engine, metrics) = engine_with(Limits::default());
        engine.load(Sketch::simple(protocol, &[refusing().await, app.at]));
        for _ in 0..50 {
            let post = Request::post("/count").header("host", "app.example");
            let post = post.body(Full::new(Bytes::from("abc"))).unwrap();
            let answer = read(engine.serve(arrival(), post).await).await;
            assert_eq!(answer, (200, "3".into()));
        }
        assert!(metrics.connect_failures() > 0);
        assert_eq!(metrics.retries(), metrics.connect_failures());
    }
}

#[tokio::test]
async fn nobody_to_connect_to_is_a_502() {
    let engine = engine();
    for protocol in [Http1, H2c] {
        let nobody = [refusing().await, refusing().await];
        engine.load(Sketch::simple(protocol, &nobody));
        assert_eq!(read(get(&engine, "/").await).await.0, 502);
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_accept_in_time_is_a_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    // Fills the queue of connections that nobody accepts.
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(at)).await
    {
        queued.push(stream.unwrap());
    }
    let (engine, metrics) = engine_with(Limits {
        connect_timeout: Duration::from_millis(300),
        ..Limits::default()
    });
    engine.load(Sketch::simple(Http1, &[at]));
    assert_eq!(read(in_time(get(&engine, "/")).await).await.0, 504);
    assert_eq!(metrics.connect_failures(), 1);
}

/// Answers the first request of each connection, takes the second one and closes.
async fn answers_once(requests: Arc<AtomicUsize>) -> std::net::SocketAddr {
    endpoint::bare(move |mut stream| {
        let requests = Arc::clone(&requests);
        async move {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if read_head(&mut stream).await {
                requests.fetch_add(1, SeqCst);
                stream.write_all(answer).await.unwrap();
            }
            if read_head(&mut stream).await {
                requests.fetch_add(1, SeqCst);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_ends_has_its_request_repeated_only_where_that_is_safe() {
    for (method, status, taken) in [
        ("GET", 200, 3),
        ("DELETE", 200, 3),
        ("POST", 502, 2),
        ("PATCH", 502, 2),
    ] {
        let requests = Arc::new(AtomicUsize::new(0));
        let at = answers_once(Arc::clone(&requests)).await;
        let (engine, metrics) = engine_with(Limits::default());
        engine.load(Sketch::simple(Http1, &[at]));
        assert_eq!(read(get(&engine, "/").await).await.0, 200);
        let second = engine.serve(arrival(), bare(method, "/")).await;
        assert_eq!(second.status(), status, "{method}");
        assert_eq!(requests.load(SeqCst), taken, "{method}");
        assert_eq!(metrics.retries(), u64::from(status == 200), "{method}");
    }
}

#[tokio::test]
async fn a_request_that_every_connection_breaks_off_on_is_not_repeated_for_ever() {
    for protocol in [Http1, H2c] {
        for (method, endpoints, taken) in [("GET", 1, 2), ("GET", 9, 3), ("POST", 9, 1)] {
            let pods = Endpoint::start_many(endpoints).await;
            let engine = engine();
            engine.load(Sketch::simple(protocol, &addresses(&pods)));
            // So that every endpoint has a connection that is kept alive.
            while pods.iter().any(|pod| pod.seen.requests() == 0) {
                read(get(&engine, "/").await).await;
            }
            let count = || pods.iter().map(|pod| pod.seen.requests()).sum::<usize>();
            let before = count();
            let response = engine.serve(arrival(), bare(method, "/break-off")).await;
            assert_eq!(response.status(), 502);
            let seen = count() - before;
            assert!((1..=taken).contains(&seen), "{protocol:?} {method}: {seen}");
            assert_eq!(read(get(&engine, "/").await).await.0, 200);
        }
    }
}

#[tokio::test]
async fn a_request_whose_body_turned_out_empty_is_repeated_only_where_that_is_safe() {
    for protocol in [Http1, H2c] {
        for (method, taken) in [("POST", 1), ("PATCH", 1), ("PUT", 3), ("DELETE", 3)] {
            let pods = Endpoint::start_many(3).await;
            let engine = engine();
            engine.load(Sketch::simple(protocol, &addresses(&pods)));
            let (feed, body) = fed();
            drop(feed);
            let request = Request::builder().method(method).uri("/break-off");
            let request = request.header("host", "app.example").body(body).unwrap();

            let response = in_time(engine.serve(arrival(), request)).await;

            assert_eq!(response.status(), 502, "{protocol:?} {method}");
            let seen: usize = pods.iter().map(|pod| pod.seen.requests()).sum();
            assert_eq!(seen, taken, "{protocol:?} {method}");
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_502_and_not_repeated() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let at = endpoint::bare(move |mut stream| {
        counted.fetch_add(1, SeqCst);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"SSH-2.0-what\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let engine = engine();
    engine.load(Sketch::simple(Http1, &[at]));
    assert_eq!(read(get(&engine, "/").await).await.0, 502);
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn endpoints_killed_between_requests_cost_no_request() {
    // Of twelve all but one, as when a Service is scaled down.
    for (protocol, endpoints) in [(Http1, 3), (H2c, 3), (Http1, 12), (H2c, 12)] {
        let mut pods = Endpoint::start_many(endpoints).await;
        let engine = engine();
        let at: Vec<_> = pods.iter().map(|pod| pod.at).collect();
        engine.load(Sketch::simple(protocol, &at));
        // So that every endpoint has a connection that is kept alive.
        while pods.iter().any(|pod| pod.seen.requests() == 0) {
            assert_eq!(read(get(&engine, "/").await).await.0, 200);
        }
        pods.truncate(1);
        for _ in 0..30 {
            let answer = read(get(&engine, "/").await).await;
            let expected = (200, "pod-0".into());
            assert_eq!(answer, expected, "{protocol:?} of {endpoints}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_an_end() {
    for protocol in [Http1, H2c] {
        let (_app, engine) = app_behind(protocol).await;
        let response = get(&engine, "/broken").await;
        assert_eq!(response.status(), 200);
        let collected = in_time(response.into_body().collect()).await;
        assert!(collected.is_err(), "{protocol:?}");
        // The next request is not affected.
        assert_eq!(read(get(&engine, "/").await).await.0, 200);
    }
}
