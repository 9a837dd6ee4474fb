//! Outlier ejection, and what one upstream may take of a Gateway.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use adapter_proxy::Limits;
use domain::gateway::Timeouts;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use tokio::net::{TcpSocket, TcpStream};

use crate::endpoint::{Endpoint, addresses};
use crate::rig::{Sketch, arrival, bare, engine_with, eventually, get, in_time, read, share};

#[tokio::test]
async fn endpoints_that_fail_again_and_again_are_ejected_but_at_most_half_of_them() {
    for protocol in [Http1, H2c] {
        for (pods, failing, ejected) in [
            (4, 1, 1),
            (4, 3, 2),
            (5, 5, 2),
            (3, 3, 1),
            (2, 2, 1),
            (1, 1, 0),
        ] {
            let pods = Endpoint::start_many(pods).await;
            for pod in &pods[..failing] {
                pod.seen.failing.store(usize::MAX, SeqCst);
            }
            let (engine, metrics) = engine_with(Limits::default());
            engine.load(Sketch::simple(protocol, &addresses(&pods)));
            for _ in 0..200 {
                get(&engine, "/flaky/503").await;
            }
            let given = format!("{protocol:?} {failing} of {}", pods.len());
            assert_eq!(metrics.ejections(), ejected, "{given}");
            let requests = || pods[..failing].iter().map(|pod| pod.seen.requests());
            let before: Vec<_> = requests().collect();
            for _ in 0..100 {
                get(&engine, "/flaky/503").await;
            }
            let after = requests().zip(before);
            let avoided = after.filter(|(after, before)| after == before).count();
            assert_eq!(avoided as u64, ejected, "{given}");
        }
    }
}

#[tokio::test]
async fn what_counts_as_a_failure_is_no_answer_and_502_to_504() {
    let short = Timeouts {
        request: None,
        backend_request: Some(Duration::from_millis(20)),
    };
    for (path, is_failure) in [
        ("/flaky/502", true),
        ("/flaky/504", true),
        ("/flaky/500", false),
        ("/flaky/429", false),
        ("/stalled", true),
        ("/break-off", true),
        ("/", false),
    ] {
        let pods = Endpoint::start_many(2).await;
        pods[0].seen.failing.store(usize::MAX, SeqCst);
        let (engine, metrics) = engine_with(Limits::default());
        let table = Sketch::default()
            .rule("/stalled", vec![], vec![share("app", 1)])
            .within(short)
            .rule("/", vec![], vec![share("app", 1)])
            .upstream("app", Http1, &addresses(&pods));
        engine.load(table.table());
        for _ in 0..40 {
            in_time(engine.serve(arrival(), bare("POST", path))).await;
        }
        assert_eq!(metrics.ejections(), u64::from(is_failure), "{path}");
    }
}

#[tokio::test]
async fn an_answer_between_failures_starts_the_count_anew() {
    let pods = Endpoint::start_many(2).await;
    let (engine, metrics) = engine_with(Limits::default());
    engine.load(Sketch::simple(Http1, &addresses(&pods)));
    for _ in 0..5 {
        pods[0].seen.failing.store(4, SeqCst);
        while pods[0].seen.failing.load(SeqCst) > 0 {
            get(&engine, "/flaky/503").await;
        }
        let before = pods[0].seen.requests();
        while pods[0].seen.requests() == before {
            get(&engine, "/flaky/503").await;
        }
    }
    assert_eq!(metrics.ejections(), 0);
}

#[tokio::test]
async fn one_of_several_upstreams_leaves_half_of_the_requests_to_the_others() {
    let pods = Endpoint::start_many(2).await;
    let (engine, metrics) = engine_with(Limits {
        max_in_flight: 6,
        ..Limits::default()
    });
    let table = Sketch::default()
        .rule("/events", vec![], vec![share("a", 1)])
        .rule("/", vec![], vec![share("b", 1)])
        .upstream("a", Http1, &[pods[0].at])
        .upstream("b", Http1, &[pods[1].at]);
    engine.load(table.table());
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(get(&engine, "/events").await);
    }
    let further = get(&engine, "/events").await;
    assert_eq!(further.headers()["retry-after"], "1");
    assert_eq!(read(further).await.0, 503);
    assert_eq!(metrics.shed(), 1);
    assert_eq!(read(get(&engine, "/").await).await, (200, "pod-1".into()));
    held.pop();
    assert_eq!(get(&engine, "/events").await.status(), 200);
}

#[tokio::test]
async fn so_many_requests_wait_for_connections_to_an_endpoint_and_no_more() {
    for protocol in [Http1, H2c] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let at = listener.local_addr().unwrap();
        // Fills the queue of connections that nobody accepts.
        let mut queued = Vec::new();
        let patience = Duration::from_millis(300);
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(at)).await {
            queued.push(stream.unwrap());
        }
        let (engine, _) = engine_with(Limits {
            connect_timeout: Duration::from_secs(2),
            max_pending_per_endpoint: 2,
            ..Limits::default()
        });
        engine.load(Sketch::simple(protocol, &[at]));
        let waiting = [(); 2].map(|()| {
            let engine = engine.clone();
            tokio::spawn(async move { get(&engine, "/").await.status() })
        });
        eventually("both wait", || engine.in_flight() == 2).await;
        let third = in_time(get(&engine, "/")).await;
        assert_eq!(third.headers()["retry-after"], "1", "{protocol:?}");
        assert_eq!(third.status(), 503);
        for waiting in waiting {
            assert_eq!(in_time(waiting).await.unwrap(), 504);
        }
    }
}
