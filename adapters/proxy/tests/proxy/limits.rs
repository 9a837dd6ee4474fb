//! What is refused, and that refusing costs the others nothing.

use std::time::Duration;

use adapter_proxy::{Limits, Memory};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use http_body_util::{BodyExt, Empty};

use crate::endpoint::Endpoint;
use crate::rig::{
    Sketch, app_behind_with, arrival, data, engine_within, eventually, fed, get, in_time, read,
};

#[tokio::test]
async fn requests_above_the_limit_in_flight_are_told_to_come_back() {
    let (_app, engine, metrics) = app_behind_with(
        Http1,
        Limits {
            max_in_flight: 2,
            ..Limits::default()
        },
    )
    .await;

    let first = get(&engine, "/events").await;
    let second = get(&engine, "/events").await;
    assert_eq!(engine.in_flight(), 2);
    let third = get(&engine, "/").await;
    assert_eq!(third.status(), 503);
    assert_eq!(third.headers()["retry-after"], "1");

    drop((first, second, third));
    assert_eq!(metrics.in_flight(), 0);
    assert_eq!(read(get(&engine, "/").await).await.0, 200);
}

#[tokio::test]
async fn heads_and_bodies_above_their_limits_are_refused() {
    for protocol in [Http1, H2c] {
        let (_app, engine, _) = app_behind_with(
            protocol,
            Limits {
                max_uri_bytes: 100,
                max_header_bytes: 1_000,
                max_body_bytes: Some(10),
                ..Limits::default()
            },
        )
        .await;

        let long = format!("/{}", "x".repeat(100));
        assert_eq!(read(get(&engine, &long).await).await.0, 414);

        let request = Request::get("/").header("x-big", "x".repeat(1_000));
        let request = request.body(Empty::new()).unwrap();
        assert_eq!(engine.serve(arrival(), request).await.status(), 431);

        let (feed, body) = fed();
        let request = Request::post("/count").header("host", "app.example");
        let upload =
            tokio::spawn(async move { while feed.send(data("12345678")).await.is_ok() {} });
        let response = engine.serve(arrival(), request.body(body).unwrap());
        assert_eq!(in_time(response).await.status(), 413, "{protocol:?}");
        in_time(upload).await.unwrap();

        assert_eq!(read(get(&engine, "/").await).await.0, 200);
        eventually("all counted out", || engine.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn requests_that_memory_does_not_reach_for_are_told_to_come_back() {
    let app = Endpoint::start("app").await;
    // Half of it is for what requests hold: two with heads that are next to nothing, or one with a large one.
    let memory = Memory::of(80 * 1024);
    let (engine, metrics) = engine_within(Limits::default(), memory.clone());
    engine.load(Sketch::simple(Http1, &[app.at]));
    let with_head = async |size: usize| {
        let request = Request::get("/events").header("host", "app.example");
        let request = request.header("x-large", "x".repeat(size));
        let request = request.body(Empty::new()).unwrap();
        engine.serve(arrival(), request).await
    };

    let first = with_head(0).await;
    let second = with_head(0).await;
    let third = with_head(0).await;
    assert_eq!(third.status(), 503);
    assert_eq!(third.headers()["retry-after"], "1");
    let text = "the proxy is short of memory\n";
    assert_eq!(read(third).await, (503, text.into()));
    drop((first, second));
    assert_eq!(with_head(4 * 1024).await.status(), 200);
    assert_eq!(with_head(10 * 1024).await.status(), 503);

    assert_eq!(metrics.shed(), 2);
    assert_eq!(memory.held(), 0, "given back with the requests");
    assert_eq!(read(get(&engine, "/").await).await.0, 200);
}

#[tokio::test]
async fn an_upload_behind_an_early_answer_counts_until_it_ends() {
    for protocol in [Http1, H2c] {
        // Answers before it has read the body, and reads on.
        let (_app, engine, _) = app_behind_with(
            protocol,
            Limits {
                max_in_flight: 2,
                ..Limits::default()
            },
        )
        .await;
        let mut feeds = Vec::new();
        for _ in 0..2 {
            let (feed, body) = fed();
            feed.send(data("begun")).await.unwrap();
            let request = Request::post("/unread").header("host", "app.example");
            let request = request.body(body).unwrap();
            let response = in_time(engine.serve(arrival(), request)).await;
            assert_eq!(read(response).await.0, 401, "{protocol:?}");
            feeds.push(feed);
        }
        assert_eq!(engine.in_flight(), 2, "{protocol:?}");
        assert_eq!(get(&engine, "/").await.status(), 503, "{protocol:?}");

        let [over, endless] = feeds.try_into().unwrap();
        drop(over);
        eventually("one has ended", || engine.in_flight() == 1).await;
        // The other is cut off.
        let more = || data(vec![b'x'; 64 * 1024]);
        in_time(async { while endless.send(more()).await.is_ok() {} }).await;
        eventually("the other has ended", || engine.in_flight() == 0).await;
        assert_eq!(read(get(&engine, "/").await).await.0, 200);
    }
}

#[tokio::test]
async fn while_memory_is_short_an_answer_has_one_frame_at_a_time_on_its_way() {
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        let memory = Memory::of(1 << 30);
        let (engine, _) = engine_within(Limits::default(), memory.clone());
        engine.load(Sketch::simple(protocol, &[app.at]));
        let mut body = get(&engine, "/endless").await.into_body();
        let mut next = async || in_time(body.frame()).await.unwrap().unwrap();
        let before = [next().await, next().await];
        memory.observe(usize::MAX);
        let first = next().await;
        let early = tokio::time::timeout(Duration::from_millis(200), next()).await;
        assert!(early.is_err(), "{protocol:?}: the first is not sent yet");
        drop(first);
        let second = next().await;
        memory.observe(0);
        let others = [next().await, next().await];
        drop((before, second, others));
    }
}
