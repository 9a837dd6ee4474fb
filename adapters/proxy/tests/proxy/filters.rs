//! Filters of rules and backends: which heads they act on.

use domain::Hostname;
use domain::gateway::{Filter, HeaderModifier, Redirect};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::{Request, Response};

use crate::endpoint::Endpoint;
use crate::rig::{Sketch, arrival, bare, engine, fed, get, invalid, read, share};

fn modifier(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderModifier {
    let pairs = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    HeaderModifier {
        set: pairs(set),
        add: pairs(add),
        remove: remove.iter().map(|name| (*name).into()).collect(),
    }
}

fn on_answer(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> Filter {
    Filter::ResponseHeaders(modifier(set, add, remove))
}

/// All values of a header.
fn values<'r, T>(response: &'r Response<T>, name: &str) -> Vec<&'r str> {
    let values = response.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn the_answer_passes_the_backends_filters_and_then_the_rules() {
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        let mut backend = share("app", 1);
        backend.filters = vec![
            on_answer(
                &[("x-both", "backend")],
                &[("x-order", "backend")],
                &["x-end"],
            ),
            Filter::RequestHeaders(modifier(&[("x-asked", "backend")], &[], &[])),
        ];
        let rule = vec![
            Filter::RequestHeaders(modifier(
                &[("x-asked", "rule")],
                &[("x-asked-too", "rule")],
                &[],
            )),
            on_answer(
                &[("x-both", "rule")],
                &[("x-order", "rule"), ("set-cookie", "a=1")],
                &[],
            ),
            on_answer(&[], &[("x-order", "again"), ("set-cookie", "b=2")], &[]),
        ];
        let engine = engine();
        let table =
            Sketch::default()
                .rule("/", rule, vec![backend])
                .upstream("app", protocol, &[app.at]);
        engine.load(table.table());

        let answer = get(&engine, "/hops").await;
        assert_eq!(values(&answer, "x-both"), ["rule"], "{protocol:?}");
        assert_eq!(values(&answer, "x-order"), ["backend,rule,again"]);
        assert_eq!(values(&answer, "set-cookie"), ["a=1", "b=2"]);
        assert!(values(&answer, "x-end").is_empty());
        let (_, seen) = read(get(&engine, "/echo").await).await;
        assert!(seen.contains("x-asked: backend\n"), "{seen}");
        assert!(seen.contains("x-asked-too: rule\n"), "{seen}");
        assert!(!seen.contains("x-both"), "{seen}");
    }
}

#[tokio::test]
async fn each_backend_has_its_own_filters() {
    let pods = Endpoint::start_many(2).await;
    let engine = engine();
    let backends = ["a", "b"].map(|name| {
        let mut backend = share(name, 1);
        backend.filters = vec![on_answer(&[("x-backend", name)], &[], &[])];
        backend
    });
    let table = Sketch::default()
        .rule("/", vec![], backends.into())
        .upstream("a", Http1, &[pods[0].at])
        .upstream("b", H2c, &[pods[1].at]);
    engine.load(table.table());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = get(&engine, "/").await;
        let marked = values(&answer, "x-backend").join(" ");
        let (_, pod) = read(answer).await;
        seen.insert((marked, pod));
    }
    let expected = [("a", "pod-0"), ("b", "pod-1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(seen, expected.into());
}

#[tokio::test]
async fn answers_of_every_kind_are_changed_and_keep_what_belongs_to_the_connection() {
    let app = Endpoint::start("app").await;
    let edits = on_answer(
        &[
            ("x-set", "1"),
            ("x_under", "2"),
            ("x-text", "$host %REQ(x)% \"a\\b\" {c}"),
            ("connection", "x-set"),
            ("transfer-encoding", "chunked"),
            ("content-length", "9"),
            ("upgrade", "other"),
        ],
        &[],
        &["content-length", "upgrade"],
    );
    let engine = engine();
    let table = Sketch::default()
        .rule("/", vec![edits], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at]);
    engine.load(table.table());
    let (_feed, body) = fed();
    let upgrading = Request::get("/upgrade")
        .header("host", "app.example")
        .header("connection", "Upgrade")
        .header("upgrade", "echo")
        .body(body)
        .unwrap();
    for (answer, status, length, upgrade) in [
        (get(&engine, "/").await, 200, vec!["3"], vec![]),
        (
            engine.serve(arrival(), bare("HEAD", "/")).await,
            200,
            vec!["3"],
            vec![],
        ),
        (get(&engine, "/nothing").await, 204, vec![], vec![]),
        (get(&engine, "/trailers").await, 200, vec![], vec![]),
        (
            engine.serve(arrival(), upgrading).await,
            101,
            vec![],
            vec!["echo"],
        ),
    ] {
        assert_eq!(answer.status(), status);
        assert_eq!(values(&answer, "x-set"), ["1"], "{status}");
        assert_eq!(values(&answer, "x_under"), ["2"], "{status}");
        let text = "$host %REQ(x)% \"a\\b\" {c}";
        assert_eq!(values(&answer, "x-text"), [text], "no part is a variable");
        assert_eq!(values(&answer, "content-length"), length, "{status}");
        assert_eq!(values(&answer, "upgrade"), upgrade, "{status}");
        assert!(values(&answer, "transfer-encoding").is_empty());
    }
}

#[tokio::test]
async fn a_redirect_of_the_rule_is_changed_and_what_the_proxy_cannot_serve_is_not() {
    let app = Endpoint::start("app").await;
    let edits = || on_answer(&[("x-set", "1"), ("cache-control", "max-age=60")], &[], &[]);
    let redirect = Filter::Redirect(Redirect {
        scheme: None,
        hostname: Hostname::parse("new.example").ok(),
        path: None,
        port: None,
        status: 301,
    });
    let engine = engine();
    let table = Sketch::default()
        .rule("/moved", vec![redirect, edits()], vec![])
        .rule("/invalid", vec![edits()], vec![invalid(1)])
        .rule("/empty", vec![edits()], vec![share("empty", 1)])
        .rule("/break-off", vec![edits()], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("empty", Http1, &[]);
    engine.load(table.table());
    for (path, status, changed) in [
        ("/moved", 301, true),
        ("/invalid", 500, false),
        ("/empty", 503, false),
        ("/break-off", 502, false),
        ("/elsewhere", 404, false),
    ] {
        let answer = get(&engine, path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers().contains_key("x-set"), changed, "{path}");
    }
}
