//! What the broker refuses, with a typed problem and without a call to Cloudflare.

use adapter_broker::wire::IntentDocument;
use domain::ObjectKey;
use reqwest::Method;
use serde_json::json;
use tests::broker::{Broker, EAST, GONE};
use tests::world::World;

const INTENT: &str =
    "/v1/instances/01010101-0101-0101-0101-010101010101/gateways/default/one/intent";

/// Path of the Gateways of an instance, and of what is below.
fn gateways(rest: &str) -> String {
    format!("/v1/instances/01010101-0101-0101-0101-010101010101/gateways{rest}")
}

/// A request that differs from a right one in what the row says.
#[derive(Clone)]
struct Request {
    method: Method,
    path: String,
    authorization: Option<String>,
    content_type: &'static str,
    body: String,
}

fn right() -> Request {
    Request {
        method: Method::PUT,
        path: INTENT.to_owned(),
        authorization: Some(format!("Bearer {}", EAST.token)),
        content_type: "application/json",
        body: document().to_string(),
    }
}

fn document() -> serde_json::Value {
    let intent = domain::testing::intent(ObjectKey::new("default", "web"), &["app.example.com"]);
    serde_json::to_value(IntentDocument::of(&intent)).expect("a document")
}

fn by(authorization: Option<&str>) -> Request {
    Request {
        authorization: authorization.map(str::to_owned),
        ..right()
    }
}

fn to(method: Method, path: &str) -> Request {
    let body = match method {
        Method::PUT => right().body,
        _ => String::new(),
    };
    Request {
        method,
        path: path.to_owned(),
        body,
        ..right()
    }
}

fn saying(body: impl Into<String>) -> Request {
    Request {
        body: body.into(),
        ..right()
    }
}

fn with(key: &str, value: serde_json::Value) -> Request {
    let mut changed = document();
    changed[key] = value;
    saying(changed.to_string())
}

fn without(key: &str) -> Request {
    let mut changed = document();
    changed.as_object_mut().unwrap().remove(key);
    saying(changed.to_string())
}

fn living(live: &serde_json::Value) -> Request {
    Request {
        body: json!({ "live": live }).to_string(),
        ..to(Method::PUT, &gateways(""))
    }
}

/// What is wrong, the request, status and last part of the problem's type.
fn rows() -> Vec<(&'static str, Request, u16, &'static str)> {
    let wrong = format!("Bearer {}x", EAST.token);
    let expired = format!("Bearer {}", GONE.token);
    let basic = format!("Basic {}", EAST.token);
    let (missing, unknown) = ("missing-token", "unknown-token");
    let (path, method, bad) = ("no-such-path", "method-not-allowed", "malformed-document");
    vec![
        ("no token", by(None), 401, missing),
        ("another scheme", by(Some(&basic)), 401, missing),
        ("an empty token", by(Some("Bearer ")), 401, missing),
        ("a wrong token", by(Some(&wrong)), 401, unknown),
        (
            "a hash as token",
            by(Some(&format!("Bearer {}", EAST.sha256))),
            401,
            unknown,
        ),
        ("an expired token", by(Some(&expired)), 401, "expired-token"),
        (
            "no token and no path",
            Request {
                authorization: None,
                ..to(Method::GET, "/x")
            },
            401,
            missing,
        ),
        ("another path", to(Method::GET, "/v1/clusters"), 404, path),
        ("no instance", to(Method::GET, "/v1/gateways"), 404, path),
        (
            "an instance that is no UUID",
            to(Method::GET, "/v1/instances/first/gateways"),
            404,
            path,
        ),
        (
            "another version",
            to(Method::GET, "/v2/gateways"),
            404,
            path,
        ),
        ("a slash more", to(Method::GET, &gateways("/")), 404, path),
        (
            "an encoded letter",
            to(Method::PUT, &gateways("/default/%6fne/intent")),
            404,
            path,
        ),
        (
            "an encoded slash",
            to(Method::PUT, &gateways("/default/a%2Fb/intent")),
            404,
            path,
        ),
        (
            "encoded dots",
            to(Method::PUT, &gateways("/default/a%2e%2eb/intent")),
            404,
            path,
        ),
        (
            "an encoded zero",
            to(Method::DELETE, &gateways("/default/one%00")),
            404,
            path,
        ),
        (
            "upper case",
            to(Method::DELETE, &gateways("/default/One")),
            404,
            path,
        ),
        (
            "an underscore",
            to(Method::DELETE, &gateways("/de_fault/one")),
            404,
            path,
        ),
        (
            "a dot in a namespace",
            to(Method::DELETE, &gateways("/de.fault/one")),
            404,
            path,
        ),
        (
            "a query",
            to(Method::GET, &gateways("?cluster=west")),
            404,
            path,
        ),
        ("POST of an intent", to(Method::POST, INTENT), 405, method),
        ("GET of an intent", to(Method::GET, INTENT), 405, method),
        (
            "GET of connections",
            to(Method::GET, &gateways("/default/one/connections")),
            405,
            method,
        ),
        (
            "a list of Gateways that is none",
            to(Method::PUT, &gateways("")),
            422,
            bad,
        ),
        (
            "a Gateway with more than a name",
            living(&json!([{"namespace": "a", "name": "b", "cluster": "west"}])),
            422,
            bad,
        ),
        (
            "a Gateway that has no name",
            living(&json!([{"namespace": "a", "name": "B/../c"}])),
            422,
            bad,
        ),
        (
            "DELETE of all",
            to(Method::DELETE, &gateways("")),
            405,
            method,
        ),
        ("PATCH", to(Method::PATCH, INTENT), 405, method),
        ("OPTIONS", to(Method::OPTIONS, &gateways("")), 405, method),
        ("TRACE", to(Method::TRACE, &gateways("")), 405, method),
        (
            "a body for DELETE",
            Request {
                body: "{}".to_owned(),
                ..to(Method::DELETE, &gateways("/default/one"))
            },
            415,
            "unsupported-body",
        ),
        (
            "a form",
            Request {
                content_type: "text/plain",
                ..right()
            },
            415,
            "unsupported-body",
        ),
        (
            "too much",
            saying(" ".repeat(1 << 20) + &document().to_string()),
            413,
            "too-large",
        ),
        ("nothing", saying(""), 422, bad),
        ("no JSON", saying("hostnames"), 422, bad),
        (
            "half a document",
            saying(&document().to_string()[..40]),
            422,
            bad,
        ),
        (
            "two documents",
            saying(format!("{0}{0}", document())),
            422,
            bad,
        ),
        ("a list", saying("[]"), 422, bad),
        ("nested without end", saying("[".repeat(100_000)), 422, bad),
        (
            "a field twice",
            saying(
                document()
                    .to_string()
                    .replacen('{', r#"{"policy":"sync","#, 1),
            ),
            422,
            bad,
        ),
        (
            "an unknown field",
            with("credentials", json!("x")),
            422,
            bad,
        ),
        (
            "another Gateway",
            with("gateway", json!({"namespace": "a", "name": "b"})),
            422,
            bad,
        ),
        ("no policy", without("policy"), 422, bad),
        ("no paths", without("paths"), 422, bad),
        ("no hostnames", without("hostnames"), 422, bad),
        ("a wrong type", with("policy", json!(true)), 422, bad),
        (
            "a hostname that is none",
            with("hostnames", json!(["a b"])),
            422,
            bad,
        ),
        (
            "a hostname written like the note of a certificate",
            with("hostnames", json!(["f.t.id.zone.certificates.invalid"])),
            422,
            bad,
        ),
        (
            "the same, lost to another",
            with(
                "lost_to",
                json!([{"hostname": "f.t.id.zone.certificates.invalid", "to": {"namespace": "a", "name": "b"}}]),
            ),
            422,
            bad,
        ),
        (
            "a hostname twice",
            with("hostnames", json!(["a.example.com", "A.example.com"])),
            422,
            bad,
        ),
        (
            "an unknown DNS policy",
            with("dns", json!("most")),
            422,
            bad,
        ),
        ("an unknown policy", with("policy", json!("most")), 422, bad),
        (
            "an unknown field within",
            with(
                "lost_to",
                json!([{"hostname": "a.b", "to": {"namespace": "a", "name": "b", "cluster": "west"}}]),
            ),
            422,
            bad,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_by_name_and_reaches_no_cloudflare() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let client = reqwest::Client::new();
    for (what, request, status, kind) in rows() {
        let mut sent = client
            .request(request.method, format!("{}{}", broker.url(), request.path))
            .header("content-type", request.content_type)
            .body(request.body);
        if let Some(authorization) = request.authorization {
            sent = sent.header("authorization", authorization);
        }
        let answer = sent.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{what}");
        let media_type = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(media_type, "application/problem+json", "{what}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        let base = "https://cloudflare-gateway-controller.io/problems/";
        assert_eq!(problem["type"], format!("{base}{kind}"), "{what}");
        assert_eq!(problem["status"], status, "{what}");
        for field in ["title", "detail"] {
            assert!(!problem[field].as_str().unwrap().is_empty(), "{what}");
        }
        assert!(!problem.to_string().contains("token-of-cluster"), "{what}");
    }
    assert_eq!(world.calls().len(), 0, "{:?}", world.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_refused_where_get_is_not() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let sent = reqwest::Client::new()
        .head(format!("{}{}", broker.url(), gateways("")))
        .bearer_auth(EAST.token);
    assert_eq!(sent.send().await.unwrap().status().as_u16(), 405);
    assert_eq!(world.calls().len(), 0);
}
