//! Upgraded connections, in process and through the loopback listener.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use adapter_proxy::{BoxError, Engine, LoopbackError, LoopbackListener};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::rig::{
    FedBody, Sketch, app_behind, arrival, data, engine, eventually, fed, in_time, next_text,
};

fn asking(path: &str, body: FedBody) -> Request<FedBody> {
    Request::get(path)
        .header("host", "app.example")
        .header("connection", "Upgrade")
        .header("upgrade", "echo")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn bytes_flow_both_ways_and_each_direction_ends_by_itself() {
    let (app, engine) = app_behind(Http1).await;
    let (feed, body) = fed();
    let response = engine.serve(arrival(), asking("/upgrade", body)).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "echo");
    assert_eq!(response.headers()["connection"], "upgrade");
    let mut answer = response.into_body();

    for word in ["one", "two", "three"] {
        feed.send(data(word)).await.unwrap();
        assert_eq!(next_text(&mut answer).await.unwrap(), word);
    }
    assert_eq!(engine.in_flight(), 1);
    // The client has said all; the endpoint has not.
    drop(feed);
    assert_eq!(next_text(&mut answer).await.unwrap(), "total 11");
    assert_eq!(next_text(&mut answer).await, None);
    drop(answer);
    eventually("counted out", || engine.in_flight() == 0).await;
    eventually("closed", || app.seen.open.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_closes_the_endpoints_connection() {
    let (_app, engine) = app_behind(Http1).await;

    let (feed, body) = fed();
    let response = engine.serve(arrival(), asking("/upgrade", body)).await;
    drop(response);
    in_time(feed.closed()).await;
    eventually("counted out", || engine.in_flight() == 0).await;

    let (feed, body) = fed();
    let response = engine.serve(arrival(), asking("/upgrade", body)).await;
    let mut answer = response.into_body();
    feed.send(Err("gone".into())).await.unwrap();
    let broken = in_time(http_body_util::BodyExt::frame(&mut answer)).await;
    assert!(broken.unwrap().is_err());
}

#[tokio::test]
async fn an_endpoint_may_decline_and_an_http2_one_cannot_upgrade() {
    let (app, engine) = app_behind(Http1).await;
    let (_feed, body) = fed();
    let response = engine.serve(arrival(), asking("/", body)).await;
    assert_eq!(response.status(), 200);

    engine.load(Sketch::simple(H2c, &[app.at]));
    let (_feed, body) = fed();
    let response = engine.serve(arrival(), asking("/upgrade", body)).await;
    assert_eq!(response.status(), 501);
}

#[tokio::test]
async fn an_upgrade_through_the_loopback_listener_keeps_half_closed_connections() {
    let (_app, engine) = app_behind(Http1).await;
    let (address, shutdown) = listen(&engine).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /upgrade HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\n\
                Upgrade: echo\r\n\r\nright behind";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"right behind") {
        answer.push(in_time(stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));

    // A drain lets it finish.
    shutdown.0.cancel();
    stream.write_all(b", and more").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    in_time(stream.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, ", and moretotal 22");
    in_time(shutdown.1).await.unwrap();
}

#[tokio::test]
async fn the_loopback_listener_tells_scheme_and_client_from_the_headers() {
    let (_app, engine) = app_behind(Http1).await;
    let (address, _shutdown) = listen(&engine).await;
    let ask = async |headers: &str| -> Result<String, BoxError> {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!(
            "GET /echo HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await?;
        Ok(answer)
    };
    let seen = ask("X-Forwarded-Proto: https\r\nCF-Connecting-IP: 198.51.100.9\r\n").await;
    let seen = seen.unwrap();
    assert!(seen.contains("x-forwarded-proto: https"), "{seen}");
    assert!(seen.contains("x-forwarded-for: 198.51.100.9"), "{seen}");
    let seen = ask("").await.unwrap();
    assert!(seen.contains("x-forwarded-proto: http\n"), "{seen}");
    assert!(!seen.contains("x-forwarded-for"), "{seen}");
}

#[tokio::test]
async fn a_client_that_leaves_the_loopback_listener_has_its_request_given_up() {
    let (app, engine) = app_behind(Http1).await;
    let (address, _shutdown) = listen(&engine).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /wait HTTP/1.1\r\nHost: app.example\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("the endpoint has it", || app.seen.requests() == 1).await;
    drop(stream);
    eventually("given up", || app.seen.given_up.load(SeqCst) == 1).await;
    eventually("counted out", || engine.in_flight() == 0).await;
}

#[tokio::test]
async fn heads_above_the_limits_are_refused_by_the_engine_behind_the_loopback_listener() {
    let engine = engine();
    let (address, _shutdown) = listen(&engine).await;
    let long = "x".repeat(17 << 10);
    let big = format!("X-Big: {}\r\n", "x".repeat(129 << 10));
    for (path, header, status) in [(&*long, "", 414), ("", &*big, 431), ("", "", 503)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_loopback_listener_refuses_addresses_that_others_can_reach() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refused = LoopbackListener::bind(address.parse().unwrap(), engine()).await;
        assert!(matches!(refused, Err(LoopbackError::NotLoopback(_))));
    }
}

type Shutdown = (CancellationToken, tokio::task::JoinHandle<()>);

async fn listen(engine: &Arc<Engine>) -> (std::net::SocketAddr, Shutdown) {
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = LoopbackListener::bind(any, Arc::clone(engine)).await;
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    let token = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(token.clone()));
    (address, (token, serving))
}
