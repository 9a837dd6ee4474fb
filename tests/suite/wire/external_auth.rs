//! Requests that an authorizer is asked about.

use domain::gateway::{AuthProtocol, ExternalAuth, Filter};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use tests::routing::Rule;

use super::TRANSPORTS;
use super::answers::{visit, visit_with, visited};
use super::endpoint::{Recorder, answering};
use super::line::{Body, Ended, Line, Request};

/// A rule for `prefix` that asks the upstream of another.
fn asking(prefix: &str, authorizer: &Rule, max_body: u32, backend: Rule) -> Rule {
    let filter = Filter::ExternalAuth(ExternalAuth {
        to: Some(authorizer.key()),
        protocol: AuthProtocol::Http {
            prefix: String::new(),
            request_headers: vec!["x-token".into()],
            answer_headers: vec!["x-user".into()],
        },
        max_body,
    });
    Rule {
        prefix: prefix.into(),
        filters: vec![filter],
        ..backend
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_authorizer_permits_reaches_the_backend_whole_over_both_transports() {
    for protocol in [Http1, H2c] {
        for transport in TRANSPORTS {
            let app = Recorder::start(protocol).await;
            let permit =
                b"HTTP/1.1 200 OK\r\nX-User: ada\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n";
            let auth = answering(permit.to_vec(), false).await;
            let auth = Rule::new("/auth", Http1, &[auth]);
            let backend = || Rule::new("/", protocol, &[app.at]);
            let rules = [
                asking("/kept", &auth, 0, backend()),
                asking("/read", &auth, 100_000, backend()),
                auth,
            ];
            let mut line = Line::start(transport, &rules).await;
            let large = vec![b'x'; 16_000];
            for path in ["/kept/a?q=1", "/read/a?q=1"] {
                for body in [
                    Body::None,
                    Body::Length(b"12345"),
                    Body::Unknown(b"12345"),
                    Body::Unknown(&large),
                ] {
                    let given =
                        format!("{path}, {} over {transport:?} and {protocol:?}", body.len());
                    let ended = line.send(Request {
                        method: "PUT",
                        path: path.as_bytes(),
                        fields: &[("x-user", b"forged"), ("x-token", b"t")],
                        body,
                    });
                    assert_eq!(ended.await, Ended::Answered(200), "{given}");
                    let reached = app.take().pop().expect("a request");
                    assert_eq!(reached.line, format!("PUT {path}"), "{given}");
                    assert_eq!(reached.values("x-user"), [b"ada"], "{given}");
                    assert_eq!(reached.values("x-token"), [b"t"], "{given}");
                    assert!(reached.values("x-other").is_empty(), "{given}");
                    assert_eq!(reached.body.len(), body.len(), "{given}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_authorizer_denies_gets_its_answer_and_no_further_over_both_transports() {
    let denial = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nSet-Cookie: a=1\r\nSet-Cookie: b=1\r\nContent-Length: 6\r\n\r\nlog in";
    let refusing = answering(denial.to_vec(), false).await;
    let broken = answering(
        b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops".to_vec(),
        false,
    )
    .await;
    let app = Recorder::start(Http1).await;
    let backend = || Rule::new("/", Http1, &[app.at]);
    let refusing = Rule::new("/refusing", Http1, &[refusing]);
    let broken = Rule::new("/broken", Http1, &[broken]);
    let rules = [
        asking("/denied", &refusing, 0, backend()),
        asking("/read", &refusing, 4, backend()),
        asking("/failed", &broken, 0, backend()),
        refusing,
        broken,
    ];
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, &rules).await;
        for (method, path, status, body) in [
            ("GET", "/denied", 401, "log in"),
            ("HEAD", "/denied", 401, ""),
            ("GET", "/read", 401, "log in"),
            (
                "GET",
                "/failed",
                503,
                "the request could not be authorized\n",
            ),
        ] {
            let given = format!("{method} {path} over {transport:?}");
            let seen = visit(&client, method, path).await;
            assert_eq!((seen.status, seen.is_whole), (status, true), "{given}");
            assert_eq!(seen.body, body.as_bytes(), "{given}");
            let is_passed_on = status == 401;
            let cookies = seen.values("set-cookie").len();
            assert_eq!(cookies, if is_passed_on { 2 } else { 0 }, "{given}");
            let asked_for = seen.values("www-authenticate").len();
            assert_eq!(asked_for, usize::from(is_passed_on), "{given}");
        }
        let grpc = [("content-type", "application/grpc")];
        let seen = visit_with(&client, "POST", "/denied", &grpc).await;
        assert_eq!(seen.values("grpc-status"), [b"16"], "over {transport:?}");
        assert!(app.take().is_empty(), "over {transport:?}");
    }
}
