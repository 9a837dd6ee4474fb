//! Sessions of a rule (GEP-1619).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use adapter_proxy::Engine;
use bytes::Bytes;
use domain::gateway::{
    Filter, HeaderModifier, Retry, Session, SessionCarrier, SessionCookie, SessionKey,
};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use http_body_util::Empty;

use crate::endpoint::{Endpoint, addresses};
use crate::rig::{Sketch, arrival, engine, in_time, read, share};

fn session() -> Session {
    Session {
        rule: "0".into(),
        carrier: SessionCarrier::Cookie(SessionCookie {
            name: "stay".into(),
            path: None,
            is_permanent: false,
        }),
        beats_weights: true,
        absolute: None,
        idle: Some(Duration::from_secs(600)),
        key: Some(SessionKey::new([9; 32])),
    }
}

/// A visitor with the cookies that it got.
#[derive(Default, Clone)]
struct Visitor(String);

impl Visitor {
    /// Status and body of what it asks for, and whether it got a cookie.
    async fn ask(&mut self, engine: &Engine, path: &str) -> (u16, String, bool) {
        let mut request = Request::get(path).header("host", "app.example");
        if !self.0.is_empty() {
            request = request.header("cookie", format!("a=b; {}", self.0));
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = in_time(engine.serve(arrival(), request)).await;
        let told = response.headers().get("set-cookie");
        let is_told = told.is_some();
        if let Some(told) = told {
            let (pair, _) = told.to_str().unwrap().split_once(';').unwrap();
            self.0 = pair.to_owned();
        }
        let (status, body) = read(response).await;
        (status, body, is_told)
    }
}

fn one_backend(at: &[SocketAddr]) -> Sketch {
    Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .staying(session())
        .upstream("app", Http1, at)
}

#[tokio::test]
async fn each_visitor_stays_with_its_endpoint_over_restarts_and_replicas() {
    for protocol in [Http1, H2c] {
        let pods = Endpoint::start_many(5).await;
        let at = addresses(&pods);
        let started = || {
            let engine = engine();
            let table = Sketch::default()
                .rule("/", vec![], vec![share("app", 1)])
                .staying(session())
                .upstream("app", protocol, &at);
            engine.load(table.table());
            engine
        };
        let replicas = [started(), started()];
        let mut seen = BTreeSet::new();
        for _ in 0..40 {
            let mut visitor = Visitor::default();
            let (_, pod, is_told) = visitor.ask(&replicas[0], "/").await;
            assert!(is_told);
            for round in 0..4 {
                let answer = visitor.ask(&replicas[round % 2], "/").await;
                assert_eq!(answer, (200, pod.clone(), false), "{protocol:?}");
            }
            seen.insert(pod);
        }
        assert_eq!(seen.len(), 5, "new visitors are spread");
    }
}

#[tokio::test]
async fn a_session_beats_weights_but_for_0_and_ends_with_its_backend() {
    let pods = Endpoint::start_many(2).await;
    let table = |weights: [u32; 2]| {
        let shares = [share("a", weights[0]), share("b", weights[1])];
        let shares = shares.into_iter().filter(|share| share.weight < 100);
        Sketch::default()
            .rule("/", vec![], shares.collect())
            .staying(session())
            .upstream("a", Http1, &[pods[0].at])
            .upstream("b", Http1, &[pods[1].at])
            .table()
    };
    let engine = engine();
    let mut visitor = Visitor::default();
    for (weights, expected, told) in [
        ([1, 0], "pod-0", true),
        ([1, 99], "pod-0", false),
        ([0, 1], "pod-1", true),
        ([1, 1], "pod-1", false),
        ([1, 0], "pod-0", true),
        // 100: the backend is not in the rule any more.
        ([100, 1], "pod-1", true),
        ([99, 1], "pod-1", false),
    ] {
        engine.load(table(weights));
        for round in 0..5 {
            let answer = visitor.ask(&engine, "/").await;
            let expected = (200, expected.to_owned(), told && round == 0);
            assert_eq!(answer, expected, "{weights:?}");
        }
    }
}

#[tokio::test]
async fn where_weights_choose_a_visitor_stays_with_one_endpoint_of_each_backend() {
    let pods = Endpoint::start_many(6).await;
    let at = addresses(&pods);
    let by_weights = Session {
        beats_weights: false,
        ..session()
    };
    let table = |weights: [u32; 2]| {
        let shares = vec![share("a", weights[0]), share("b", weights[1])];
        Sketch::default()
            .rule("/", vec![], shares)
            .staying(by_weights.clone())
            .upstream("a", Http1, &at[..3])
            .upstream("b", Http1, &at[3..])
            .table()
    };
    let engine = engine();
    for _ in 0..5 {
        engine.load(table([1, 1]));
        let mut visitor = Visitor::default();
        let (mut seen, mut told, mut of_a) = (BTreeSet::new(), 0, 0);
        for _ in 0..100 {
            let (_, pod, is_told) = visitor.ask(&engine, "/").await;
            told += usize::from(is_told);
            of_a += usize::from(pods[..3].iter().any(|it| it.seen.name == pod));
            seen.insert(pod);
        }
        assert_eq!((seen.len(), told), (2, 2), "{seen:?}");
        assert!((20..=80).contains(&of_a), "{of_a} of 100 by weight");
        for weights in [[0, 1], [1, 0]] {
            engine.load(table(weights));
            for _ in 0..5 {
                let (_, pod, is_told) = visitor.ask(&engine, "/").await;
                assert!(seen.contains(&pod) && !is_told, "{weights:?} {pod}");
                let of_a = pods[..3].iter().any(|it| it.seen.name == pod);
                assert_eq!(of_a, weights[0] == 1, "{weights:?} {pod}");
            }
        }
    }
}

#[tokio::test]
async fn a_draining_endpoint_keeps_its_sessions_and_gets_no_other() {
    let pods = Endpoint::start_many(3).await;
    let at = addresses(&pods);
    let engine = engine();
    engine.load(one_backend(&at[..1]).table());
    let mut old = Visitor::default();
    old.ask(&engine, "/").await;
    engine.load(one_backend(&at[1..]).draining("app", &at[..1]).table());
    for _ in 0..10 {
        let answer = old.ask(&engine, "/").await;
        assert_eq!(answer, (200, "pod-0".into(), false));
        let (_, other, is_told) = Visitor::default().ask(&engine, "/").await;
        assert!(other != "pod-0" && is_told);
    }
    engine.load(one_backend(&at[1..]).table());
    let (_, moved, is_told) = old.ask(&engine, "/").await;
    assert!(moved != "pod-0" && is_told);
    assert_eq!(old.ask(&engine, "/").await, (200, moved, false));
}

#[tokio::test]
async fn a_session_moves_when_its_endpoint_cannot_be_connected_to() {
    let mut pods = Endpoint::start_many(3).await;
    let engine = engine();
    engine.load(one_backend(&addresses(&pods)).table());
    let mut visitor = Visitor::default();
    let (_, first, _) = visitor.ask(&engine, "/").await;
    pods.retain(|pod| pod.seen.name != first);
    let (status, second, is_told) = visitor.ask(&engine, "/").await;
    assert!(status == 200 && second != first && is_told);
    for _ in 0..5 {
        assert_eq!(
            visitor.ask(&engine, "/").await,
            (200, second.clone(), false)
        );
    }
}

#[tokio::test]
async fn a_retry_stays_with_the_endpoint_of_the_session() {
    let pods = Endpoint::start_many(4).await;
    let engine = engine();
    let retry = Retry {
        codes: vec![503],
        attempts: 2,
        backoff: None,
    };
    engine.load(one_backend(&addresses(&pods)).retrying(retry).table());
    let mut visitor = Visitor::default();
    let (_, name, _) = visitor.ask(&engine, "/").await;
    let own = pods.iter().find(|pod| pod.seen.name == name).unwrap();
    own.seen.failing.store(2, SeqCst);
    let answer = visitor.ask(&engine, "/flaky/503").await;
    assert_eq!(answer, (200, "0".into(), false));
    assert_eq!(own.seen.requests(), 4);
}

#[tokio::test]
async fn rules_do_not_share_sessions_and_their_filters_leave_the_cookie() {
    let pods = Endpoint::start_many(4).await;
    let other = Session {
        key: Some(SessionKey::new([8; 32])),
        ..session()
    };
    let without_cookies = Filter::ResponseHeaders(HeaderModifier {
        remove: vec!["set-cookie".into()],
        ..HeaderModifier::default()
    });
    let table = Sketch::default()
        .rule("/a", vec![without_cookies], vec![share("app", 1)])
        .staying(session())
        .rule("/b", vec![], vec![share("app", 1)])
        .staying(other)
        .rule("/c", vec![], vec![share("app", 1)])
        .upstream("app", Http1, &addresses(&pods));
    let engine = engine();
    engine.load(table.table());
    let mut visitor = Visitor::default();
    assert!(visitor.ask(&engine, "/a").await.2);
    assert!(!visitor.ask(&engine, "/a").await.2);
    // Two rules with one name of a cookie take turns, and nobody is led to an endpoint by a token of the other rule.
    let mut both = visitor.clone();
    for path in ["/b", "/a", "/b"] {
        assert!(both.ask(&engine, path).await.2, "of another rule: {path}");
        assert!(!both.ask(&engine, path).await.2, "its own: {path}");
    }
    assert!(
        !visitor.clone().ask(&engine, "/c").await.2,
        "without sessions"
    );
}

#[tokio::test]
async fn the_endpoint_gets_the_cookie_or_the_header_of_the_session_too() {
    let pod = Endpoint::start("app").await;
    let by_header = Session {
        carrier: SessionCarrier::Header("x-stay".into()),
        ..session()
    };
    for (session, told, brought) in [
        (session(), "set-cookie", "cookie"),
        (by_header, "x-stay", "x-stay"),
    ] {
        let engine = engine();
        let table = Sketch::default()
            .rule("/", vec![], vec![share("app", 1)])
            .staying(session)
            .upstream("app", Http1, &[pod.at]);
        engine.load(table.table());
        let asked = |value: &str| {
            Request::get("/echo")
                .header("host", "app.example")
                .header(brought, value)
                .body(Empty::<Bytes>::new())
                .unwrap()
        };
        let first = in_time(engine.serve(arrival(), asked("a=b"))).await;
        let value = first.headers()[told].to_str().unwrap();
        let value = value.split(';').next().unwrap().to_owned();
        let second = in_time(engine.serve(arrival(), asked(&value))).await;
        assert!(second.headers().get(told).is_none(), "it is the session");
        let (_, seen) = read(second).await;
        let line = format!("{brought}: {value}\n");
        assert!(seen.contains(&line), "{line} is not in {seen}");
    }
}

#[tokio::test]
async fn what_the_proxy_answers_itself_begins_no_session() {
    let engine: Arc<Engine> = engine();
    engine.load(one_backend(&[]).table());
    let (status, _, is_told) = Visitor::default().ask(&engine, "/").await;
    assert!(status == 503 && !is_told);
}
