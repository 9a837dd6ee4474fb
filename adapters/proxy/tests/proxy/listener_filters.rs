//! Authorizers of a listener (GEP-5224).

use bytes::Bytes;
use domain::gateway::{AuthProtocol, ExternalAuth, HeaderMatch, PathMatch, RouteMatch, TextMatch};
use domain::route_table::UpstreamKey;
use domain::route_table::UpstreamProtocol::Http1;
use http::Request;

use crate::authorizer::{Authorizer, says};
use crate::endpoint::Endpoint;
use crate::rig::{Sketch, arrival, bare, engine, in_time, read, service, share};

/// Asks a Service by HTTP and has it told of `x-seen`.
fn told_of_seen(name: &str) -> ExternalAuth<UpstreamKey> {
    ExternalAuth {
        to: Some(service(name)),
        protocol: AuthProtocol::Http {
            prefix: String::new(),
            request_headers: vec!["x-seen".into()],
            answer_headers: vec![],
        },
        max_body: 0,
    }
}

#[tokio::test]
async fn authorizers_of_a_listener_are_asked_in_their_order_before_its_rules_are_looked_at() {
    let [app, other] = Endpoint::start_many(2).await.try_into().ok().unwrap();
    let permits = |name: &'static str| {
        Authorizer::start(move |request| match request.uri().path() {
            path if path.starts_with("/denied") && name == "first" => says(401, &[], "no"),
            _ => says(
                200,
                &[
                    ("x-seen", name),
                    ("x-tenant", name),
                    ("host", "other.example"),
                ],
                "",
            ),
        })
    };
    let (first, second) = tokio::join!(permits("first"), permits("second"));
    for (order, last) in [
        (["first", "second"], "second"),
        (["second", "first"], "first"),
    ] {
        let engine = engine();
        let tenant = |value: &str| RouteMatch {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: vec![HeaderMatch {
                name: "x-tenant".into(),
                value: TextMatch::Exact(value.into()),
            }],
            query: vec![],
        };
        let table = Sketch::default()
            .guarded(told_of_seen(order[0]))
            .guarded(told_of_seen(order[1]))
            .rule("/", vec![], vec![share("app", 1)])
            .matching(tenant(last))
            .rule("/", vec![], vec![share("other", 1)])
            .matching(tenant("forged"))
            .upstream("app", Http1, &[app.at])
            .upstream("other", Http1, &[other.at])
            .upstream("first", Http1, &[first.at])
            .upstream("second", Http1, &[second.at]);
        engine.load(table.table());
        let request = |path: &str| {
            let request = Request::get(path).header("host", "app.example");
            let request = request.header("x-tenant", "forged");
            request.body(http_body_util::Empty::<Bytes>::new()).unwrap()
        };
        let answer = in_time(engine.serve(arrival(), request("/echo"))).await;
        let (status, echo) = read(answer).await;
        assert_eq!(status, 200, "the rules see what the authorizers say");
        assert!(echo.contains(&format!("x-tenant: {last}")), "{echo}");
        assert!(echo.contains("host: app.example"), "{echo}");
        let asked = [("first", first.take()), ("second", second.take())];
        for (name, mut asked) in asked {
            let asked = asked.pop().unwrap();
            let seen = asked
                .headers()
                .get("x-seen")
                .map(|value| value.to_str().unwrap());
            let before = if name == order[1] {
                Some(order[0])
            } else {
                None
            };
            assert_eq!(seen, before, "{name} of {order:?}");
        }
        let answer = in_time(engine.serve(arrival(), request("/denied"))).await;
        assert_eq!(read(answer).await, (401, "no".into()));
        let is_second_asked = !second.take().is_empty();
        assert_eq!(is_second_asked, order[0] == "second", "{order:?}");
        first.take();
    }
    assert_eq!(other.seen.requests(), 0);
}

#[tokio::test]
async fn every_request_of_a_listener_is_asked_about_and_none_of_another() {
    let app = Endpoint::start("app").await;
    let auth = Authorizer::saying(200, &[], "").await;
    let nowhere = || ExternalAuth {
        to: None,
        ..told_of_seen("auth")
    };
    let sketch = |by| {
        let table = Sketch::default()
            .guarded(by)
            .rule("/app", vec![], vec![share("app", 1)])
            .upstream("app", Http1, &[app.at])
            .upstream("auth", Http1, &[auth.at]);
        table.table()
    };
    let clear =
        domain::route_table::Arrival::new(domain::route_table::Scheme::Http, "app.example", None);
    let clear = clear.unwrap();
    for (given, by, arrival, path, status, asked) in [
        ("a rule", told_of_seen("auth"), arrival(), "/app", 200, 1),
        ("no rule", told_of_seen("auth"), arrival(), "/none", 404, 1),
        (
            "a path that may mean several things",
            told_of_seen("auth"),
            arrival(),
            "/app/%2e%2e/x",
            400,
            0,
        ),
        (
            "another listener",
            told_of_seen("auth"),
            clear.clone(),
            "/app",
            200,
            0,
        ),
        (
            "an authorizer that does not resolve",
            nowhere(),
            arrival(),
            "/app",
            500,
            0,
        ),
        ("the same, no rule", nowhere(), arrival(), "/none", 500, 0),
        (
            "the same, another listener",
            nowhere(),
            clear,
            "/app",
            200,
            0,
        ),
    ] {
        let engine = engine();
        engine.load(sketch(by));
        let answer = in_time(engine.serve(arrival, bare("GET", path))).await;
        assert_eq!(answer.status(), status, "{given}");
        assert_eq!(auth.take().len(), asked, "{given}");
    }
}
