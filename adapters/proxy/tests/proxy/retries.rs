//! `retry` of a rule (GEP-1731).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use adapter_proxy::{Engine, GatewayMetrics, Limits};
use bytes::Bytes;
use domain::gateway::{Retry, RetryConstraint, Timeouts};
use domain::route_table::UpstreamProtocol::{self, H2c, Http1};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::endpoint::{self, Endpoint, addresses, refusing};
use crate::rig::{Sketch, arrival, bare, engine_with, get, in_time, read, share};

fn retry(codes: &[u16], attempts: u32) -> Retry {
    Retry {
        codes: codes.to_vec(),
        attempts,
        backoff: Some(Duration::from_millis(1)),
    }
}

fn engine(
    protocol: UpstreamProtocol,
    endpoints: &[SocketAddr],
    retry: Retry,
    timeouts: Timeouts,
) -> (Arc<Engine>, Arc<GatewayMetrics>) {
    let (engine, metrics) = engine_with(Limits {
        max_kept_body_bytes: 4 * 1024,
        ..Limits::default()
    });
    let table = Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .within(timeouts)
        .retrying(retry)
        .upstream("app", protocol, endpoints);
    engine.load(table.table());
    (engine, metrics)
}

fn posting(path: &str, bytes: usize) -> Request<Full<Bytes>> {
    let post = Request::post(path).header("host", "app.example");
    post.body(Full::new(vec![b'x'; bytes].into())).unwrap()
}

#[tokio::test]
async fn an_answer_with_a_listed_code_is_retried_as_often_as_the_rule_says() {
    for protocol in [Http1, H2c] {
        for (codes, attempts, path, failing, status, sent) in [
            (&[503][..], 3, "/flaky/503", 2, 200, 3),
            (&[503], 2, "/flaky/503", 2, 200, 3),
            (&[503], 1, "/flaky/503", 2, 503, 2),
            (&[500, 503], 3, "/flaky/503", 1, 200, 2),
            (&[500], 3, "/flaky/503", 1, 503, 1),
            (&[], 3, "/flaky/503", 1, 503, 1),
            (&[503], 0, "/flaky/503", 1, 503, 1),
            (&[429], 1, "/flaky/429", 1, 200, 2),
        ] {
            let app = Endpoint::start("app").await;
            app.seen.failing.store(failing, SeqCst);
            let retry = retry(codes, attempts);
            let (engine, metrics) = engine(protocol, &[app.at], retry, Timeouts::default());
            let answer = in_time(engine.serve(arrival(), posting(path, 3))).await;
            let given = format!("{protocol:?} {codes:?} {attempts} {path} {failing}");
            assert_eq!(read(answer).await, (status, "3".into()), "{given}");
            assert_eq!(app.seen.requests(), sent, "{given}");
            assert_eq!(metrics.retries(), sent as u64 - 1, "{given}");
            assert_eq!(engine.in_flight(), 0);
        }
    }
}

#[tokio::test]
async fn a_request_beyond_the_budget_that_a_policy_asks_for_is_answered_with_503() {
    let hour = Duration::from_secs(3600);
    let none_but_one = RetryConstraint {
        percent: 0,
        interval: hour,
        min_count: 1,
        min_interval: hour,
    };
    let gone = refusing().await;
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        app.seen.failing.store(usize::MAX, SeqCst);
        for (given, at, asked, statuses) in [
            ("a policy", app.at, Some(none_but_one), [500, 503, 503]),
            ("no policy", app.at, None, [500, 500, 500]),
            (
                "a policy, and nothing answers",
                gone,
                Some(none_but_one),
                [502, 503, 503],
            ),
        ] {
            let (engine, _) = engine_with(Limits::default());
            let table = Sketch::default()
                .rule("/", vec![], vec![share("app", 1)])
                .retrying(retry(&[500], 1))
                .upstream("app", protocol, &[at])
                .constrained("app", asked);
            engine.load(table.table());
            for status in statuses {
                let answer = get(&engine, "/flaky/500").await;
                assert_eq!(answer.status(), status, "{given} {protocol:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_whose_body_is_longer_than_what_is_kept_is_not_retried() {
    for protocol in [Http1, H2c] {
        for (bytes, status, sent) in [(0, 200, 2), (3 << 10, 200, 2), (64 << 10, 503, 1)] {
            let app = Endpoint::start("app").await;
            app.seen.failing.store(1, SeqCst);
            let (engine, _) = engine(protocol, &[app.at], retry(&[503], 3), Timeouts::default());
            let answer = in_time(engine.serve(arrival(), posting("/flaky/503", bytes))).await;
            assert_eq!(read(answer).await, (status, bytes.to_string()));
            assert_eq!(app.seen.requests(), sent, "{protocol:?} {bytes}");
        }
    }
}

#[tokio::test]
async fn another_endpoint_gets_the_retry_and_the_same_one_where_there_is_no_other() {
    let pods = Endpoint::start_many(3).await;
    pods[0].seen.failing.store(usize::MAX, SeqCst);
    let at = addresses(&pods);
    let (engine, _) = engine(Http1, &at, retry(&[503], 1), Timeouts::default());
    // Few enough for the budget.
    while pods[0].seen.requests() < 5 {
        assert_eq!(get(&engine, "/flaky/503").await.status(), 200);
    }
}

#[tokio::test]
async fn retries_wait_longer_each_time_and_end_with_the_time_of_the_request() {
    let slow = Retry {
        backoff: Some(Duration::from_millis(100)),
        ..retry(&[503], 10)
    };
    for (failing, request, status, least) in [(2, 60_000, 200, 300), (9, 500, 504, 500)] {
        let app = Endpoint::start("app").await;
        app.seen.failing.store(failing, SeqCst);
        let timeouts = Timeouts {
            request: Some(Duration::from_millis(request)),
            backend_request: None,
        };
        let (engine, _) = engine(Http1, &[app.at], slow.clone(), timeouts);
        let began = Instant::now();
        let answer = in_time(get(&engine, "/flaky/503")).await;
        assert_eq!(answer.status(), status);
        assert!(began.elapsed() >= Duration::from_millis(least));
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn an_attempt_that_is_too_late_is_given_up_and_retried_whatever_its_method() {
    let timeouts = Timeouts {
        request: None,
        backend_request: Some(Duration::from_millis(200)),
    };
    for protocol in [Http1, H2c] {
        for (failing, attempts, status) in [(1, 1, 200), (3, 2, 504), (1, 0, 504)] {
            let app = Endpoint::start("app").await;
            app.seen.failing.store(failing, SeqCst);
            let (engine, _) = engine(protocol, &[app.at], retry(&[], attempts), timeouts);
            let answer = in_time(engine.serve(arrival(), posting("/stalled", 3))).await;
            assert_eq!(answer.status(), status, "{protocol:?} {failing} {attempts}");
            assert_eq!(app.seen.requests(), 1 + attempts as usize);
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_retried_only_for_a_method_that_may_be_repeated() {
    for protocol in [Http1, H2c] {
        for (method, attempts, sent) in
            [("GET", 4, 5), ("GET", 1, 2), ("GET", 0, 1), ("POST", 4, 1)]
        {
            let app = Endpoint::start("app").await;
            let retry = retry(&[502], attempts);
            let (engine, _) = engine(protocol, &[app.at], retry, Timeouts::default());
            let answer = in_time(engine.serve(arrival(), bare(method, "/break-off"))).await;
            assert_eq!(answer.status(), 502);
            assert_eq!(
                app.seen.requests(),
                sent,
                "{protocol:?} {method} {attempts}"
            );
        }
    }
}

#[tokio::test]
async fn where_nobody_can_be_connected_to_it_is_tried_again_later() {
    for (attempts, status) in [(3, 200), (0, 502)] {
        let at = refusing().await;
        let slow = Retry {
            backoff: Some(Duration::from_millis(100)),
            ..retry(&[], attempts)
        };
        let (engine, _) = engine(Http1, &[at], slow, Timeouts::default());
        let later = tokio::spawn(async move {
            sleep(Duration::from_millis(150)).await;
            let listener = TcpListener::bind(at).await.unwrap();
            endpoint::answering_once(listener).await;
        });
        let answer = in_time(engine.serve(arrival(), bare("POST", "/"))).await;
        assert_eq!(answer.status(), status, "{attempts} attempts");
        later.abort();
    }
}

#[tokio::test]
async fn no_retries_means_that_a_request_stays_with_its_endpoint() {
    let app = Endpoint::start("app").await;
    let at = [refusing().await, app.at];
    let (engine, _) = engine(Http1, &at, retry(&[], 0), Timeouts::default());
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(get(&engine, "/").await.status() == 502);
    }
    // Afterwards the endpoint is avoided.
    assert_eq!(failed, 1);
}

#[tokio::test]
async fn nothing_is_retried_once_the_head_of_the_answer_is_out() {
    let app = Endpoint::start("app").await;
    let (engine, _) = engine(Http1, &[app.at], retry(&[502], 3), Timeouts::default());
    let response = get(&engine, "/broken").await;
    assert_eq!(response.status(), 200);
    assert!(in_time(response.into_body().collect()).await.is_err());
    assert_eq!(app.seen.requests(), 1);
}

#[tokio::test]
async fn retries_do_not_multiply_an_overload_even_while_tables_change() {
    let app = Endpoint::start("app").await;
    app.seen.failing.store(usize::MAX, SeqCst);
    let hasty = Retry {
        backoff: Some(Duration::ZERO),
        ..retry(&[503], 5)
    };
    let (engine, metrics) = engine(Http1, &[app.at], hasty, Timeouts::default());
    let began = Instant::now();
    for _ in 0..300 {
        assert_eq!(get(&engine, "/flaky/503").await.status(), 503);
        engine.load(engine.table().unwrap());
    }
    // A hundred in ten seconds, which is more than a fifth of so few.
    let seconds = began.elapsed().as_secs() as usize;
    let most = 300 + 100 * (seconds / 10 + 1);
    assert!(
        app.seen.requests() <= most,
        "{} in {seconds} s",
        app.seen.requests()
    );
    assert!(metrics.denied_retries() > 0);
}
