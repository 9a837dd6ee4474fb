//! Which endpoint gets a request, and over which connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use adapter_proxy::{Engine, Limits, LoopbackListener};
use bytes::Bytes;
use domain::gateway::EndpointHost;
use domain::route_table::UpstreamEndpoint;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Endpoint, addresses};
use crate::rig::{
    Sketch, app_behind, app_behind_with, bare, engine, eventually, get, in_time, invalid, read,
    share,
};

#[tokio::test]
async fn traffic_is_split_by_weight_and_an_invalid_backend_keeps_its_share() {
    let (one, two, never) = (
        Endpoint::start("one").await,
        Endpoint::start("two").await,
        Endpoint::start("never").await,
    );
    let engine = engine();
    let backends = vec![
        share("one", 6),
        share("two", 3),
        invalid(1),
        share("never", 0),
    ];
    let table = Sketch::default()
        .rule("/", vec![], backends)
        .upstream("one", Http1, &[one.at])
        .upstream("two", Http1, &[two.at])
        .upstream("never", Http1, &[never.at])
        .table();
    engine.load(table);

    let mut answers = BTreeMap::new();
    for _ in 0..2_000 {
        let (status, _) = read(get(&engine, "/").await).await;
        *answers.entry(status).or_insert(0) += 1;
    }
    let seen = (one.seen.requests(), two.seen.requests(), answers[&500]);
    // Five standard deviations around 1200, 600 and 200.
    assert!((1090..=1310).contains(&seen.0), "{seen:?}");
    assert!((497..=703).contains(&seen.1), "{seen:?}");
    assert!((133..=267).contains(&seen.2), "{seen:?}");
    assert_eq!(never.seen.requests(), 0);
}

#[tokio::test]
async fn requests_of_one_client_connection_reach_every_endpoint() {
    for upstream in [Http1, H2c] {
        for front_is_http2 in [false, true] {
            let pods = Endpoint::start_many(10).await;
            let engine = engine();
            engine.load(Sketch::simple(upstream, &addresses(&pods)));
            if front_is_http2 {
                requests_over_http2(&engine, 300).await;
            } else {
                requests_over_http1(&engine, 300).await;
            }
            let counts: Vec<_> = pods.iter().map(|pod| pod.seen.requests()).collect();
            assert_eq!(counts.iter().sum::<usize>(), 300);
            let case = format!("{upstream:?} behind HTTP/2 {front_is_http2}: {counts:?}");
            assert!(counts.iter().all(|count| *count >= 5), "{case}");
        }
    }
}

async fn front(engine: &Arc<Engine>) -> TcpStream {
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = LoopbackListener::bind(address, Arc::clone(engine));
    let listener = listener.await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listener.serve(CancellationToken::new()));
    TcpStream::connect(address).await.unwrap()
}

async fn requests_over_http1(engine: &Arc<Engine>, count: usize) {
    let stream = TokioIo::new(front(engine).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..count {
        sender.ready().await.unwrap();
        let response = sender.send_request(bare("GET", "/")).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
}

async fn requests_over_http2(engine: &Arc<Engine>, count: usize) {
    let stream = TokioIo::new(front(engine).await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let requests = (0..count).map(|_| {
        let mut sender = sender.clone();
        async move {
            let mut request = bare("GET", "http://app.example/");
            request.headers_mut().remove("host");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
        }
    });
    in_time(join_all(requests)).await;
}

#[tokio::test]
async fn a_kept_connection_carries_one_request_after_the_other() {
    for protocol in [Http1, H2c] {
        let (app, engine) = app_behind(protocol).await;
        for path in ["/", "/nothing", "/echo"].into_iter().cycle().take(300) {
            read(get(&engine, path).await).await;
        }
        assert_eq!(app.seen.requests(), 300);
        let accepted = app.seen.accepted.load(SeqCst);
        // One that settles late may have another opened beside it.
        assert!(accepted <= 3, "{protocol:?}: {accepted} connections");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    for protocol in [Http1, H2c] {
        let (app, engine, _) = app_behind_with(
            protocol,
            Limits {
                idle_timeout: Duration::from_millis(200),
                ..Limits::default()
            },
        )
        .await;
        for _ in 0..2 {
            assert_eq!(read(get(&engine, "/").await).await.0, 200);
            eventually("closed", || app.seen.open.load(SeqCst) == 0).await;
        }
    }
}

#[tokio::test]
async fn many_requests_at_once_share_few_http2_connections() {
    let (app, engine) = app_behind(H2c).await;
    app.seen.go_on.add_permits(1_000);
    let answers = join_all((0..1_000).map(|_| async {
        let response = get(&engine, "/wait").await;
        read(response).await.0
    }));
    let answers = in_time(answers).await;
    assert!(answers.iter().all(|status| *status == 200));
    let accepted = app.seen.accepted.load(SeqCst);
    assert!(accepted <= 10, "100 streams each: {accepted} connections");
}

#[tokio::test]
async fn an_endpoint_may_be_a_name() {
    let app = Endpoint::start("app").await;
    let engine = engine();
    let named = UpstreamEndpoint {
        host: EndpointHost::Name("localhost".into()),
        port: app.at.port(),
    };
    let table = Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .upstream_at("app", Http1, vec![named])
        .table();
    engine.load(table);
    assert_eq!(read(get(&engine, "/").await).await, (200, "app".into()));
}
