//! What filters and timeouts of a rule make of an answer.

use std::time::Duration;

use domain::Hostname;
use domain::gateway::{
    Cors, Filter, HeaderModifier, HttpPathModifier, NameList, OriginPattern, Redirect, Retry,
    Rewrite, Session, SessionCarrier, SessionCookie, SessionKey, Timeouts,
};
use domain::route_table::UpstreamProtocol::{H2c, Http1};

use super::TRANSPORTS;
use super::answers::{visit, visit_with, visited};
use super::endpoint::{Recorder, answering, answering_in_turn};
use tests::routing::Rule;

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_an_answer_are_changed_over_both_transports() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let filter = Filter::ResponseHeaders(HeaderModifier {
        set: vec![pair("x-set", "new"), pair("x_under", "2")],
        add: vec![pair("x-add", "b"), pair("set-cookie", "b=2")],
        remove: vec!["x-gone".into()],
    });
    let answer = b"HTTP/1.1 200 OK\r\nX-Set: old\r\nX-Add: a\r\nX-Gone: 1\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok";
    let at = answering(answer.to_vec(), false).await;
    let rule = |prefix: &str, filters| Rule {
        filters,
        ..Rule::new(prefix, Http1, &[at])
    };
    let rules = [rule("/changed", vec![filter]), rule("/plain", vec![])];
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, &rules).await;
        for (method, path, is_changed) in [
            ("GET", "/changed", true),
            ("HEAD", "/changed", true),
            ("GET", "/plain", false),
        ] {
            let seen = visit(&client, method, path).await;
            let expected: [(&str, &[&[u8]]); 5] = match is_changed {
                true => [
                    ("x-set", &[b"new"]),
                    ("x_under", &[b"2"]),
                    ("x-add", &[b"a,b"]),
                    ("x-gone", &[]),
                    ("set-cookie", &[b"a=1", b"b=2"]),
                ],
                false => [
                    ("x-set", &[b"old"]),
                    ("x_under", &[]),
                    ("x-add", &[b"a"]),
                    ("x-gone", &[b"1"]),
                    ("set-cookie", &[b"a=1"]),
                ],
            };
            for (name, values) in expected {
                let given = format!("{name} of {method} {path} over {transport:?}");
                assert_eq!(seen.values(name), values, "{given}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_rewritten_or_redirected_over_both_transports() {
    let rewrite = |path| {
        Filter::Rewrite(Rewrite {
            hostname: Hostname::parse("new.example.com").ok(),
            path: Some(path),
        })
    };
    let moved = |status| {
        Filter::Redirect(Redirect {
            scheme: None,
            hostname: None,
            path: Some(HttpPathModifier::Prefix("/new".into())),
            port: None,
            status,
        })
    };
    let statuses = [301, 302, 303, 307, 308];
    for protocol in [Http1, H2c] {
        let app = Recorder::start(protocol).await;
        let rule = |prefix: &str, filter| Rule {
            filters: vec![filter],
            ..Rule::new(prefix, protocol, &[app.at])
        };
        let mut rules = vec![
            rule("/prefix", rewrite(HttpPathModifier::Prefix("/new".into()))),
            rule("/full", rewrite(HttpPathModifier::Full("/new".into()))),
        ];
        rules.extend(statuses.map(|status| rule(&format!("/{status}"), moved(status))));
        for transport in TRANSPORTS {
            let (client, _running) = visited(transport, &rules).await;
            app.take();
            for (path, then) in [
                ("/prefix/a%2Fb//c/?q=1", "GET /new/a%2Fb//c/?q=1"),
                ("/prefix", "GET /new"),
                ("/full/a?q=1", "GET /new?q=1"),
            ] {
                assert_eq!(visit(&client, "GET", path).await.status, 200, "{path}");
                let reached = app.take().pop().expect("a request");
                assert_eq!(reached.line, then, "{path} over {transport:?}");
                assert_eq!(reached.values("host"), [b"new.example.com"], "{path}");
            }
            for status in statuses {
                let seen = visit(&client, "GET", &format!("/{status}/a?q=1")).await;
                assert_eq!(seen.status, status);
                let location = b"https://app.example.com/new/a?q=1";
                assert_eq!(
                    seen.values("location"),
                    [location],
                    "{status} over {transport:?}"
                );
            }
            assert!(app.take().is_empty(), "a redirect reaches no backend");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_be_read_by_whom_the_filter_names_over_both_transports() {
    let filter = Filter::Cors(Cors {
        origins: vec![OriginPattern::parse("https://*.example.com").unwrap()],
        credentials: true,
        methods: NameList::All,
        headers: NameList::All,
        exposed: NameList::These(vec!["X-A".into()]),
        max_age: 600,
    });
    let answer =
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok";
    let at = answering(answer.to_vec(), false).await;
    let rules = [Rule {
        filters: vec![filter],
        ..Rule::new("/shared", Http1, &[at])
    }];
    let asked = [
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-b"),
    ];
    let permitted: &[(&str, Option<&str>)] = &[
        ("access-control-allow-origin", Some("https://a.example.com")),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-expose-headers", Some("X-A")),
        ("vary", Some("origin")),
    ];
    let preflight: &[(&str, Option<&str>)] = &[
        ("access-control-allow-origin", Some("https://a.example.com")),
        ("access-control-allow-methods", Some("PUT")),
        ("access-control-allow-headers", Some("x-b")),
        ("access-control-max-age", Some("600")),
    ];
    let refused: &[(&str, Option<&str>)] = &[
        ("access-control-allow-origin", None),
        ("access-control-allow-methods", None),
    ];
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, &rules).await;
        for (method, origin, status, then) in [
            ("GET", "https://a.example.com", 200, permitted),
            ("OPTIONS", "https://a.example.com", 204, preflight),
            ("GET", "https://a.example.net", 200, refused),
            ("OPTIONS", "https://a.example.net", 204, refused),
        ] {
            let fields = [&[("origin", origin)], &asked[..]].concat();
            let seen = visit_with(&client, method, "/shared", &fields).await;
            let given = format!("{method} from {origin} over {transport:?}");
            assert_eq!(seen.status, status, "{given}");
            for (name, value) in then {
                let values: Vec<&[u8]> = value.iter().map(|value| value.as_bytes()).collect();
                assert_eq!(seen.values(name), values, "{name} of {given}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_code_of_the_rule_is_retried_over_both_transports() {
    let bad = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad".to_vec();
    let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let at = answering_in_turn(vec![bad, good]).await;
    let rule = |prefix: &str, attempts| Rule {
        retry: Some(Retry {
            codes: vec![503],
            attempts,
            backoff: None,
        }),
        ..Rule::new(prefix, Http1, &[at])
    };
    for transport in TRANSPORTS {
        let rules = [rule("/retried", 1), rule("/plain", 0)];
        let (client, _running) = visited(transport, &rules).await;
        for (path, status) in [("/retried", 200), ("/plain", 503), ("/plain", 200)] {
            let seen = visit(&client, "GET", path).await;
            assert_eq!((seen.status, seen.is_whole), (status, true), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_stays_with_an_endpoint_over_both_transports() {
    let saying = |text: &str| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{text}");
        answering(answer.into_bytes(), false)
    };
    let at = [saying("a").await, saying("b").await, saying("c").await];
    let rule = Rule {
        session: Some(Session {
            rule: "0".into(),
            carrier: SessionCarrier::Cookie(SessionCookie {
                name: "stay".into(),
                path: None,
                is_permanent: false,
            }),
            beats_weights: true,
            absolute: Some(Duration::from_secs(600)),
            idle: None,
            key: Some(SessionKey::new([7; 32])),
        }),
        ..Rule::new("/cart", Http1, &at)
    };
    // The token of one transport's proxy counts for the other's.
    let mut cookie: Option<String> = None;
    let mut stays_with = Vec::new();
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, std::slice::from_ref(&rule)).await;
        for _ in 0..8 {
            let fields = cookie.iter().map(|pair| ("cookie", pair.as_str()));
            let fields: Vec<_> = fields.collect();
            let seen = visit_with(&client, "GET", "/cart", &fields).await;
            assert_eq!(seen.status, 200);
            let set = seen.values("set-cookie");
            assert_eq!(set.len(), usize::from(cookie.is_none()));
            if let [set] = set[..] {
                let set = String::from_utf8_lossy(set).into_owned();
                let (pair, attributes) = set.split_once("; ").unwrap();
                assert_eq!(attributes, "Path=/cart; Secure; HttpOnly; SameSite=Strict");
                cookie = Some(pair.to_owned());
                stays_with.clone_from(&seen.body);
            }
            assert_eq!(seen.body, stays_with);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_late_is_a_504_or_cut_over_both_transports() {
    let silent = answering(Vec::new(), false).await;
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    let halfway = answering(half, false).await;
    let short = Some(Duration::from_millis(300));
    let by_request = Timeouts {
        request: short,
        backend_request: None,
    };
    let by_attempt = Timeouts {
        request: None,
        backend_request: short,
    };
    let rule = |prefix: &str, at, timeouts| Rule {
        timeouts,
        ..Rule::new(prefix, Http1, &[at])
    };
    let rules = [
        rule("/silent/request", silent, by_request),
        rule("/silent/attempt", silent, by_attempt),
        rule("/half/request", halfway, by_request),
        rule("/half/attempt", halfway, by_attempt),
    ];
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, &rules).await;
        for path in ["/silent/request", "/silent/attempt"] {
            let seen = visit(&client, "GET", path).await;
            assert_eq!((seen.status, seen.is_whole), (504, true), "{path}");
        }
        for path in ["/half/request", "/half/attempt"] {
            let seen = visit(&client, "GET", path).await;
            let is_cut = seen.status == 200 && !seen.is_whole;
            // What breaks an answer off may overtake its head.
            assert!(is_cut || seen.status == 502, "{path}: {seen:?}");
        }
    }
}
