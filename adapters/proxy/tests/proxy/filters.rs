//! Filters of rules and backends: which heads they act on.

use domain::Hostname;
use domain::gateway::{
    Cors, Filter, HeaderModifier, HttpPathModifier, NameList, OriginPattern, Redirect, Rewrite,
};
use domain::route_table::TableFilter;
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

fn on_answer(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> TableFilter {
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

fn rewrite(hostname: Option<&str>, path: HttpPathModifier) -> TableFilter {
    Filter::Rewrite(Rewrite {
        hostname: hostname.map(|name| Hostname::parse(name).unwrap()),
        path: Some(path),
    })
}

#[tokio::test]
async fn a_backend_is_asked_for_the_new_host_and_path_and_told_the_old_host() {
    let prefix = |path: &str| HttpPathModifier::Prefix(path.into());
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        let mut backend = share("app", 1);
        backend.filters = vec![rewrite(None, prefix("/echo/backend"))];
        let of_rule = || vec![rewrite(Some("new.example"), prefix("/echo/rule"))];
        let engine = engine();
        let table = Sketch::default()
            .rule("/rule", of_rule(), vec![share("app", 1)])
            .rule("/both", of_rule(), vec![backend])
            .upstream("app", protocol, &[app.at]);
        engine.load(table.table());
        for (asked, target) in [
            ("/rule/a%2Fb//c?q=1", "/echo/rule/a%2Fb//c?q=1"),
            // The prefix is that of the request, not what the rule made of it.
            ("/both/a?q=1", "/echo/backend/a?q=1"),
        ] {
            let (status, seen) = read(get(&engine, asked).await).await;
            assert_eq!(status, 200, "{asked} {protocol:?}: {seen}");
            let told = match protocol == H2c {
                false => [format!("GET {target}\n"), "host: new.example\n".to_owned()],
                // Its authority is the host.
                true => [format!("GET http://new.example{target}\n"), String::new()],
            };
            let is_told = told.iter().all(|told| seen.contains(told));
            assert!(is_told, "{asked}: {seen}");
            assert!(seen.contains("x-forwarded-host: app.example\n"), "{seen}");
        }
    }
}

#[tokio::test]
async fn a_redirect_of_a_backend_answers_its_share_alone() {
    let app = Endpoint::start("app").await;
    let mut moved = share("app", 1);
    moved.filters = vec![
        on_answer(&[], &[("x-order", "backend")], &[]),
        Filter::Redirect(Redirect {
            scheme: None,
            hostname: Hostname::parse("new.example").ok(),
            path: None,
            port: None,
            status: 308,
        }),
    ];
    let rule = vec![
        rewrite(None, HttpPathModifier::Full("/echo".into())),
        on_answer(&[], &[("x-order", "rule")], &[]),
    ];
    let engine = engine();
    let table = Sketch::default()
        .rule("/", rule, vec![moved, share("app", 1)])
        .upstream("app", Http1, &[app.at]);
    engine.load(table.table());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = get(&engine, "/old?q=1").await;
        let status = answer.status().as_u16();
        if status == 308 {
            let location = "https://new.example/old?q=1";
            assert_eq!(
                values(&answer, "location"),
                [location],
                "not the rewritten path"
            );
            assert_eq!(values(&answer, "x-order"), ["backend,rule"]);
        }
        seen.insert(status);
    }
    assert_eq!(seen, [200, 308].into());
}

fn sharing(origin: &str) -> TableFilter {
    Filter::Cors(Cors {
        origins: vec![OriginPattern::parse(origin).unwrap()],
        credentials: false,
        methods: NameList::These(vec!["PUT".into()]),
        headers: NameList::All,
        exposed: NameList::These(Vec::new()),
        max_age: 5,
    })
}

#[tokio::test]
async fn scripts_of_a_permitted_origin_may_read_answers_of_every_kind() {
    let app = Endpoint::start("app").await;
    let mut backend = share("app", 1);
    backend.filters = vec![sharing("https://b.example")];
    let moved = Filter::Redirect(Redirect {
        scheme: None,
        hostname: None,
        path: Some(HttpPathModifier::Full("/".into())),
        port: None,
        status: 302,
    });
    let of_rule = || sharing("https://a.example");
    let set = || on_answer(&[("x-set", "1")], &[], &[]);
    let engine = engine();
    let table = Sketch::default()
        .rule("/shared", vec![of_rule(), set()], vec![share("app", 1)])
        .rule("/of-backend", vec![], vec![backend])
        .rule("/moved", vec![of_rule(), moved], vec![])
        .rule("/invalid", vec![of_rule()], vec![invalid(1)])
        .rule("/break-off", vec![of_rule()], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at]);
    engine.load(table.table());
    for (method, path, origin, status, is_permitted) in [
        ("GET", "/shared", "https://a.example", 200, true),
        ("GET", "/shared", "https://evil.example", 200, false),
        ("OPTIONS", "/shared", "https://a.example", 204, true),
        ("OPTIONS", "/shared", "https://evil.example", 204, false),
        ("GET", "/of-backend", "https://b.example", 200, true),
        ("OPTIONS", "/of-backend", "https://b.example", 204, true),
        ("GET", "/moved", "https://a.example", 302, true),
        ("OPTIONS", "/moved", "https://a.example", 204, true),
        ("GET", "/invalid", "https://a.example", 500, true),
        ("POST", "/break-off", "https://a.example", 502, true),
        ("GET", "/elsewhere", "https://a.example", 404, false),
    ] {
        let before = app.seen.requests();
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("host", "app.example")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .unwrap();
        let answer = engine.serve(arrival(), request).await;
        let given = format!("{method} {path} from {origin}");
        assert_eq!(answer.status(), status, "{given}");
        let permitted: &[&str] = if is_permitted { &[origin] } else { &[] };
        assert_eq!(
            values(&answer, "access-control-allow-origin"),
            permitted,
            "{given}"
        );
        let is_preflight = method == "OPTIONS";
        let age: &[&str] = if is_preflight && is_permitted {
            &["5"]
        } else {
            &[]
        };
        assert_eq!(values(&answer, "access-control-max-age"), age, "{given}");
        assert_eq!(
            values(&answer, "vary").len(),
            usize::from(status != 404),
            "{given}"
        );
        let is_set = path == "/shared";
        assert_eq!(answer.headers().contains_key("x-set"), is_set, "{given}");
        let is_sent = app.seen.requests() > before;
        assert_eq!(
            is_sent,
            !is_preflight && [200, 502].contains(&status),
            "{given}"
        );
    }
}
