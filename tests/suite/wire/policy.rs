//! What filters and timeouts of a rule make of an answer.

use std::time::Duration;

use domain::gateway::{Filter, HeaderModifier, Timeouts};
use domain::route_table::UpstreamProtocol::Http1;

use super::TRANSPORTS;
use super::answers::{visit, visited};
use super::endpoint::answering;
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
