//! `timeouts` of a rule (GEP-1742).

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use adapter_proxy::{Engine, GatewayMetrics, Limits};
use domain::gateway::Timeouts;
use domain::route_table::UpstreamProtocol::{self, H2c, Http1};
use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::endpoint::{self, Endpoint, read_head, refusing};
use crate::rig::{
    Sketch, arrival, data, engine, engine_with, eventually, fed, get, in_time, next_text, read,
    share,
};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

fn timeouts(request: Option<Duration>, backend_request: Option<Duration>) -> Timeouts {
    Timeouts {
        request,
        backend_request,
    }
}

/// Each way in which the time for an answer is short.
fn short() -> [Timeouts; 4] {
    [
        timeouts(Some(SHORT), None),
        timeouts(None, Some(SHORT)),
        timeouts(Some(LONG), Some(SHORT)),
        timeouts(Some(Duration::ZERO), Some(SHORT)),
    ]
}

async fn app_within(
    protocol: UpstreamProtocol,
    timeouts: Timeouts,
    limits: Limits,
) -> (Endpoint, Arc<Engine>, Arc<GatewayMetrics>) {
    let app = Endpoint::start("app").await;
    let (engine, metrics) = engine_with(limits);
    let table = Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .within(timeouts)
        .upstream("app", protocol, &[app.at]);
    engine.load(table.table());
    (app, engine, metrics)
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_a_504_and_the_request_is_given_up() {
    for protocol in [Http1, H2c] {
        for times in short() {
            let (app, engine, metrics) = app_within(protocol, times, Limits::default()).await;
            let began = Instant::now();
            let (status, text) = read(in_time(get(&engine, "/wait")).await).await;
            assert_eq!(status, 504, "{times:?} {text}");
            assert!(began.elapsed() >= SHORT && began.elapsed() < LONG / 6);
            assert_eq!(metrics.answer_timeouts(), 1, "{times:?}");
            eventually("it is given up", || app.seen.given_up.load(SeqCst) == 1).await;
            assert_eq!(app.seen.requests(), 1, "it is not sent again");
            assert_eq!(read(get(&engine, "/").await).await.0, 200);
        }
    }
}

#[tokio::test]
async fn a_rule_says_in_place_of_the_proxy_how_long_an_answer_may_take_to_begin() {
    let impatient = || Limits {
        answer_timeout: SHORT,
        ..Limits::default()
    };
    let zero = Some(Duration::ZERO);
    for (times, status) in [
        (timeouts(None, None), 504),
        (timeouts(zero, None), 200),
        (timeouts(None, zero), 200),
        (timeouts(zero, zero), 200),
        (timeouts(Some(LONG), None), 200),
        (timeouts(None, Some(LONG)), 200),
    ] {
        let (app, engine, _) = app_within(Http1, times, impatient()).await;
        let answer = tokio::spawn(async move { get(&engine, "/wait").await.status() });
        sleep(3 * SHORT).await;
        app.seen.go_on.add_permits(1);
        assert_eq!(in_time(answer).await.unwrap(), status, "{times:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_complete_in_time_is_cut() {
    for protocol in [Http1, H2c] {
        for times in short() {
            let (app, engine, _) = app_within(protocol, times, Limits::default()).await;
            let response = get(&engine, "/events").await;
            assert_eq!(response.status(), 200);
            let mut body = response.into_body();
            assert_eq!(next_text(&mut body).await.unwrap(), "data: 0\n\n");
            let cut = in_time(body.frame()).await.unwrap().unwrap_err();
            assert_eq!(cut.to_string(), "the answer was not complete in time");
            drop(body);
            assert_eq!(engine.in_flight(), 0);
            app.seen.go_on.add_permits(3);
            assert_eq!(read(get(&engine, "/").await).await.0, 200);
        }
    }
}

#[tokio::test]
async fn an_answer_that_flows_all_the_time_is_cut_as_well_and_one_in_time_is_whole() {
    for protocol in [Http1, H2c] {
        let times = timeouts(None, Some(SHORT));
        let (_app, engine, _) = app_within(protocol, times, Limits::default()).await;
        let mut body = get(&engine, "/endless").await.into_body();
        let cut = loop {
            match in_time(body.frame()).await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(cut.to_string(), "the answer was not complete in time");

        let times = timeouts(Some(LONG), Some(LONG));
        let (app, engine, _) = app_within(protocol, times, Limits::default()).await;
        app.seen.go_on.add_permits(3);
        let whole = read(get(&engine, "/events").await).await;
        assert_eq!(whole.1, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    }
}

#[tokio::test]
async fn a_grpc_call_that_is_not_answered_in_time_has_the_status_of_a_504() {
    let times = timeouts(Some(SHORT), None);
    let (_app, engine, _) = app_within(H2c, times, Limits::default()).await;
    let call = Request::post("/wait")
        .header("host", "app.example")
        .header("content-type", "application/grpc")
        .body(Empty::new())
        .unwrap();
    let response = in_time(engine.serve(arrival(), call)).await;
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["grpc-status"], "14");
    let said = "the request was not answered in time";
    assert_eq!(response.headers()["grpc-message"], said);
}

#[tokio::test]
async fn an_open_websocket_has_no_timeout_but_its_opening_has() {
    for times in short() {
        let (_app, engine, _) = app_within(Http1, times, Limits::default()).await;
        let upgrading = |path: &str, body| {
            Request::get(path)
                .header("host", "app.example")
                .header("connection", "Upgrade")
                .header("upgrade", "echo")
                .body(body)
                .unwrap()
        };
        let (feed, body) = fed();
        let response = engine.serve(arrival(), upgrading("/upgrade", body)).await;
        assert_eq!(response.status(), 101);
        let mut answer = response.into_body();
        sleep(2 * SHORT).await;
        feed.send(data("still open")).await.unwrap();
        assert_eq!(next_text(&mut answer).await.unwrap(), "still open");

        let (_feed, body) = fed();
        let waiting = engine.serve(arrival(), upgrading("/wait", body));
        assert_eq!(in_time(waiting).await.status(), 504, "{times:?}");
    }
}

#[tokio::test]
async fn an_upload_counts_for_the_time_and_ends_with_it() {
    for protocol in [Http1, H2c] {
        for times in short() {
            let (app, engine, _) = app_within(protocol, times, Limits::default()).await;
            let (feed, body) = fed();
            let post = Request::post("/count").header("host", "app.example");
            let post = post.body(body).unwrap();
            let uploading = tokio::spawn(async move {
                while feed.send(data("a little")).await.is_ok() {
                    sleep(SHORT / 10).await;
                }
            });
            let response = in_time(engine.serve(arrival(), post)).await;
            assert_eq!(response.status(), 504, "{times:?}");
            in_time(uploading).await.unwrap();
            assert_eq!(app.seen.requests(), 1);
        }
    }
}

/// Endpoints that take this long: the first one asked then closes its connection, the others answer.
async fn two_slow_ones(time: Duration) -> [std::net::SocketAddr; 2] {
    let asked = Arc::new(AtomicUsize::new(0));
    let start = || {
        let asked = Arc::clone(&asked);
        endpoint::bare(move |mut stream| {
            let asked = Arc::clone(&asked);
            async move {
                if !read_head(&mut stream).await {
                    return;
                }
                let is_first = asked.fetch_add(1, SeqCst) == 0;
                sleep(time).await;
                if !is_first {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                    pending::<()>().await;
                }
            }
        })
    };
    [start().await, start().await]
}

#[tokio::test]
async fn each_attempt_has_its_own_time_and_all_of_them_that_of_the_request() {
    let attempt = 2 * SHORT;
    for (times, status) in [
        (timeouts(None, Some(3 * SHORT)), 200),
        (timeouts(Some(LONG), Some(3 * SHORT)), 200),
        (timeouts(Some(3 * SHORT), Some(3 * SHORT)), 504),
        (timeouts(Some(3 * SHORT), None), 504),
        (timeouts(None, Some(SHORT)), 504),
    ] {
        let engine = engine();
        let table = Sketch::default()
            .rule("/", vec![], vec![share("app", 1)])
            .within(times)
            .upstream("app", Http1, &two_slow_ones(attempt).await);
        engine.load(table.table());
        let got = in_time(get(&engine, "/")).await.status();
        assert_eq!(got, status, "{times:?}");
    }
}

#[tokio::test]
async fn another_endpoint_is_tried_within_the_time_of_the_request() {
    let app = Endpoint::start("app").await;
    let engine = engine();
    let table = Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .within(timeouts(Some(LONG), Some(LONG)))
        .upstream("app", Http1, &[refusing().await, app.at]);
    engine.load(table.table());
    for _ in 0..20 {
        assert_eq!(read(get(&engine, "/").await).await.0, 200);
    }
}
