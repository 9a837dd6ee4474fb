//! Mirrored requests: who gets a copy, and that the request itself neither waits nor fails.

use std::sync::atomic::Ordering::SeqCst;

use adapter_proxy::{GatewayMetrics, Limits};
use bytes::Bytes;
use domain::gateway::{Filter, HeaderModifier, Mirror, Share};
use domain::route_table::TableFilter;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::{HeaderMap, Request};
use http_body::Frame;
use tokio::net::TcpListener;

use crate::endpoint::Endpoint;
use crate::rig::{
    Sketch, arrival, data, engine_with, eventually, fed, get, in_time, read, service, share,
};

fn to(name: &str, share: Share) -> TableFilter {
    let to = service(name);
    Filter::Mirror(Mirror { to, share })
}

fn all(name: &str) -> TableFilter {
    to(name, Share::ALL)
}

fn setting(value: &str) -> TableFilter {
    Filter::RequestHeaders(HeaderModifier {
        set: vec![("x-set".into(), value.into())],
        ..HeaderModifier::default()
    })
}

fn count(metrics: &GatewayMetrics, outcome: &str) -> u64 {
    metrics.mirrored()[outcome]
}

#[tokio::test]
async fn every_mirror_of_rule_and_backend_gets_the_request_as_the_filters_before_it_left_it() {
    for protocol in [Http1, H2c] {
        let [app, one, two, three] = Endpoint::start_many(4).await.try_into().ok().unwrap();
        let (engine, metrics) = engine_with(Limits::default());
        let mut backend = share("app", 1);
        backend.filters = vec![setting("backend"), all("three")];
        let rule = vec![all("one"), setting("rule"), all("two")];
        let table = Sketch::default()
            .rule("/", rule, vec![backend])
            .upstream("app", protocol, &[app.at])
            .upstream("one", protocol, &[one.at])
            .upstream("two", protocol, &[two.at])
            .upstream("three", protocol, &[three.at]);
        engine.load(table.table());
        let request = || {
            let trailers = HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())]);
            let frames = vec![data("12345"), data("678"), Ok(Frame::trailers(trailers))];
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            let request = Request::post("/kept")
                .header("host", "app.example")
                .header("trailer", "x-end");
            request.header("x-set", "client").body(body).unwrap()
        };
        for sent in 1..4 {
            let answer = in_time(engine.serve(arrival(), request())).await;
            assert_eq!(read(answer).await, (200, "pod-0".into()), "{protocol:?}");
            eventually("all mirrors have answered", || {
                count(&metrics, "answered") == 3 * sent
            })
            .await;
        }
        for (endpoint, value) in [
            (&app, "backend"),
            (&one, "client"),
            (&two, "rule"),
            (&three, "backend"),
        ] {
            let kept = endpoint.seen.kept.lock().unwrap();
            let expected = (value.to_owned(), "12345678".to_owned(), "1".to_owned());
            assert_eq!(
                *kept,
                vec![expected; 3],
                "{} {protocol:?}",
                endpoint.seen.name
            );
            assert_eq!(
                endpoint.seen.accepted.load(SeqCst),
                1,
                "connections are kept"
            );
        }
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_mirrored() {
    let [app, copy] = Endpoint::start_many(2).await.try_into().ok().unwrap();
    let (engine, metrics) = engine_with(Limits::default());
    let half = to("copy", Share::new(1, 2).unwrap());
    let none = to("copy", Share::new(0, 100).unwrap());
    let table = Sketch::default()
        .rule("/", vec![half, none], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("copy", Http1, &[copy.at]);
    engine.load(table.table());
    for _ in 0..400 {
        assert_eq!(get(&engine, "/").await.status(), 200);
        eventually("no mirror is under way", || {
            count(&metrics, "answered") as usize == copy.seen.requests()
        })
        .await;
    }
    // Beyond five standard deviations.
    assert!(
        (150..250).contains(&copy.seen.requests()),
        "{}",
        copy.seen.requests()
    );
}

#[tokio::test]
async fn a_mirror_that_cannot_be_reached_or_is_silent_holds_nothing_up() {
    let app = Endpoint::start("app").await;
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = refusing.local_addr().unwrap();
    drop(refusing);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (engine, metrics) = engine_with(Limits::default());
    let rule = vec![all("gone"), all("silent"), all("empty"), all("nowhere")];
    let table = Sketch::default()
        .rule("/", rule, vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("gone", Http1, &[gone])
        .upstream("silent", Http1, &[silent.local_addr().unwrap()])
        .upstream("empty", Http1, &[]);
    engine.load(table.table());
    for _ in 0..150 {
        let answer = in_time(get(&engine, "/")).await;
        assert_eq!(read(answer).await, (200, "app".into()));
    }
    eventually("the others have failed", || {
        count(&metrics, "failed") == 300
    })
    .await;
    assert_eq!(
        count(&metrics, "dropped"),
        50,
        "beyond a hundred to one upstream"
    );
}

#[tokio::test]
async fn a_mirror_that_is_too_far_behind_is_cut_off_and_the_request_is_not() {
    let app = Endpoint::start("app").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (engine, metrics) = engine_with(Limits::default());
    let table = Sketch::default()
        .rule("/", vec![all("silent")], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("silent", Http1, &[silent.local_addr().unwrap()]);
    engine.load(table.table());
    let (feed, body) = fed();
    let request = Request::post("/count").header("host", "app.example");
    let serving = engine.serve(arrival(), request.body(body).unwrap());
    let feeding = async {
        for _ in 0..1024 {
            feed.send(data(Bytes::from(vec![b'x'; 16 << 10])))
                .await
                .unwrap();
        }
        drop(feed);
    };
    let (answer, ()) = in_time(async { tokio::join!(serving, feeding) }).await;
    assert_eq!(read(answer).await, (200, (16 << 20).to_string()));
    eventually("the mirror is cut off", || count(&metrics, "cut") == 1).await;
}

#[tokio::test]
async fn what_a_filter_answers_is_not_mirrored_and_a_body_that_breaks_off_breaks_off_there_too() {
    let [app, copy] = Endpoint::start_many(2).await.try_into().ok().unwrap();
    let (engine, metrics) = engine_with(Limits::default());
    let moved = Filter::Redirect(domain::gateway::Redirect {
        scheme: None,
        hostname: None,
        path: None,
        port: Some(8443),
        status: 302,
    });
    let table = Sketch::default()
        .rule("/moved", vec![all("copy"), moved], vec![])
        .rule("/", vec![all("copy")], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("copy", Http1, &[copy.at]);
    engine.load(table.table());
    assert_eq!(get(&engine, "/moved").await.status(), 302);
    assert_eq!(copy.seen.requests(), 0);

    let (feed, body) = fed();
    let request = Request::post("/count").header("host", "app.example");
    let serving = engine.serve(arrival(), request.body(body).unwrap());
    let feeding = async {
        feed.send(data("some")).await.unwrap();
        eventually("both have it", || {
            app.seen.requests() == 1 && copy.seen.requests() == 1
        })
        .await;
        feed.send(Err("gone".into())).await.unwrap();
    };
    let (answer, ()) = in_time(async { tokio::join!(serving, feeding) }).await;
    assert_eq!(answer.status(), 400);
    eventually("the mirror is cut off", || count(&metrics, "cut") == 1).await;
    eventually("neither has the whole", || {
        let broken = |endpoint: &Endpoint| endpoint.seen.given_up.load(SeqCst);
        broken(&app) == 1 && broken(&copy) == 1
    })
    .await;
}
