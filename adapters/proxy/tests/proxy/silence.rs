//! Endpoints and visitors that are silent.

use std::net::SocketAddr;
use std::time::Duration;

use adapter_proxy::{BodyError, Limits};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::endpoint::{self, read_head};
use crate::rig::{
    Sketch, app_behind_with, arrival, data, engine_with, eventually, fed, get, in_time, next_text,
    read,
};

/// Short, but not so short that a busy machine needs longer for an answer.
const SHORT: Duration = Duration::from_millis(500);

fn limits() -> Limits {
    Limits {
        answer_timeout: SHORT,
        body_idle_timeout: SHORT,
        upgrade_idle_timeout: SHORT,
        ..Limits::default()
    }
}

#[tokio::test]
async fn an_endpoint_that_is_silent_gets_a_504() {
    for protocol in [Http1, H2c] {
        let (_app, engine, metrics) = app_behind_with(protocol, limits()).await;

        let answer = read(in_time(get(&engine, "/wait")).await).await;
        let text = "the backend did not answer in time\n";
        assert_eq!(answer, (504, text.into()), "{protocol:?}");
        assert_eq!(metrics.answer_timeouts(), 1);
        // Nobody knows what it did with the request.
        assert_eq!(metrics.retries(), 0);
        eventually("the request is given up", || engine.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn an_upload_that_moves_may_take_as_long_as_it_needs() {
    for protocol in [Http1, H2c] {
        let (_app, engine, _) = app_behind_with(protocol, limits()).await;
        let (feed, body) = fed();
        let request = Request::post("/count").header("host", "app.example");
        let upload = async move {
            for _ in 0..3 {
                tokio::time::sleep(SHORT / 2).await;
                feed.send(data("12")).await.unwrap();
            }
        };
        let serving = engine.serve(arrival(), request.body(body).unwrap());
        let (response, ()) = in_time(async { tokio::join!(serving, upload) }).await;
        assert_eq!(read(response).await, (200, "6".into()), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_visitor_that_does_not_send_its_body_gets_a_408() {
    for protocol in [Http1, H2c] {
        let (_app, engine, _) = app_behind_with(protocol, limits()).await;
        let (feed, body) = fed();
        feed.send(data("12")).await.unwrap();
        let request = Request::post("/count").header("host", "app.example");
        let response = engine.serve(arrival(), request.body(body).unwrap());
        assert_eq!(in_time(response).await.status(), 408, "{protocol:?}");
        in_time(feed.closed()).await;
    }
}

#[tokio::test]
async fn an_answer_that_stops_is_an_error_and_one_that_moves_is_not() {
    for protocol in [Http1, H2c] {
        let (app, engine, _) = app_behind_with(protocol, limits()).await;
        let mut body = get(&engine, "/events").await.into_body();
        next_text(&mut body).await.unwrap();
        for _ in 0..2 {
            tokio::time::sleep(SHORT / 2).await;
            app.seen.go_on.add_permits(1);
            next_text(&mut body).await.unwrap();
        }
        let frame = in_time(body.frame()).await.unwrap();
        assert!(matches!(frame, Err(BodyError::Silent)), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_visitor_that_pauses_gets_the_rest_of_its_answer() {
    for protocol in [Http1, H2c] {
        let (_app, engine, _) = app_behind_with(protocol, limits()).await;
        let mut body = get(&engine, "/endless").await.into_body();
        next_text(&mut body).await.unwrap();
        tokio::time::sleep(2 * SHORT).await;
        for _ in 0..20 {
            next_text(&mut body).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_upgraded_connection_ends_only_when_nothing_moves_in_either_direction() {
    // An endpoint that only listens.
    let listens: SocketAddr = endpoint::bare(|mut stream| async move {
        read_head(&mut stream).await;
        let agreed = b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(agreed).await.unwrap();
        let mut bytes = [0; 100];
        while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let (engine, _) = engine_with(limits());
    engine.load(Sketch::simple(Http1, &[listens]));
    let (feed, body) = fed();
    let request = Request::get("/")
        .header("host", "app.example")
        .header("connection", "upgrade")
        .header("upgrade", "echo");
    let response = engine.serve(arrival(), request.body(body).unwrap()).await;
    assert_eq!(response.status(), 101);
    let mut answer = response.into_body();

    let mut frame = std::pin::pin!(answer.frame());
    for _ in 0..3 {
        let moving = tokio::time::timeout(SHORT / 2, &mut frame).await;
        assert!(moving.is_err(), "the client still sends");
        feed.send(data("x")).await.unwrap();
    }
    let frame = in_time(frame).await.unwrap();
    assert!(matches!(frame, Err(BodyError::Silent)));
    drop(answer);
    eventually("counted out", || engine.in_flight() == 0).await;
}
