//! What is refused, and that refusing costs the others nothing.

use adapter_proxy::Limits;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use http_body_util::Empty;

use crate::endpoint::Endpoint;
use crate::rig::{Sketch, arrival, data, engine_with, eventually, fed, get, in_time, read};

#[tokio::test]
async fn requests_above_the_limit_in_flight_are_told_to_come_back() {
    let app = Endpoint::start("app").await;
    let (engine, metrics) = engine_with(Limits {
        max_in_flight: 2,
        ..Limits::default()
    });
    engine.load(Sketch::simple(Http1, &[app.at]));

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
        let app = Endpoint::start("app").await;
        let (engine, _) = engine_with(Limits {
            max_uri_bytes: 100,
            max_header_bytes: 1_000,
            max_body_bytes: Some(10),
            ..Limits::default()
        });
        engine.load(Sketch::simple(protocol, &[app.at]));

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
