//! What the broker refuses, with a typed problem and without a call to Cloudflare.

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::wire::IntentDocument;
use app::system::SystemClock;
use domain::broker::ClusterName;
use domain::ports::Clock;
use domain::{InstanceId, ObjectKey};
use reqwest::Method;
use serde_json::json;
use tests::broker::{Broker, Enrolled, RawCluster, prove};
use tests::world::World;

const INTENT: &str = "/v1/gateways/default/one/intent";

/// Path of the Gateways of a cluster, and of what is below.
fn gateways(rest: &str) -> String {
    format!("/v1/gateways{rest}")
}

/// Whose key a proof is of, and what else may be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Right,
    None,
    Twice,
    OtherKey,
    OtherMethod,
    OtherPath,
    Used,
}

/// A request that differs from a right one in what the row says.
#[derive(Clone)]
struct Request {
    method: Method,
    path: String,
    /// `None` for the session's.
    authorization: Option<String>,
    proof: Proof,
    place: &'static str,
    content_type: &'static str,
    body: String,
}

fn right() -> Request {
    Request {
        method: Method::PUT,
        path: INTENT.to_owned(),
        authorization: None,
        proof: Proof::Right,
        place: "1.1",
        content_type: "application/json",
        body: document().to_string(),
    }
}

fn document() -> serde_json::Value {
    let intent = domain::testing::intent(ObjectKey::new("default", "web"), &["app.example.com"]);
    serde_json::to_value(IntentDocument::of(&intent)).expect("a document")
}

fn by(authorization: &str) -> Request {
    Request {
        authorization: Some(authorization.to_owned()),
        ..right()
    }
}

fn with_proof(proof: Proof) -> Request {
    Request { proof, ..right() }
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

fn saying_to(path: &str, body: &str) -> Request {
    Request {
        body: body.to_owned(),
        ..to(Method::POST, path)
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
    let (missing, over, proof) = ("missing-token", "broker/session_over", "proof-refused");
    let (path, method, bad) = ("no-such-path", "method-not-allowed", "malformed-document");
    vec![
        ("no token", by(""), 401, missing),
        ("another scheme", by("Basic x"), 401, missing),
        ("a bearer token", by("Bearer x"), 401, missing),
        ("an empty token", by("DPoP "), 401, missing),
        ("a token of nobody", by("DPoP x"), 401, over),
        ("no proof", with_proof(Proof::None), 401, proof),
        ("two proofs", with_proof(Proof::Twice), 401, proof),
        ("another key", with_proof(Proof::OtherKey), 401, proof),
        (
            "a proof for another method",
            with_proof(Proof::OtherMethod),
            401,
            proof,
        ),
        (
            "a proof for another path",
            with_proof(Proof::OtherPath),
            401,
            proof,
        ),
        ("a proof that was used", with_proof(Proof::Used), 401, proof),
        (
            "no token and no path",
            Request {
                authorization: Some(String::new()),
                ..to(Method::GET, "/x")
            },
            401,
            missing,
        ),
        (
            "no place",
            Request {
                place: "",
                ..right()
            },
            422,
            bad,
        ),
        (
            "half a place",
            Request {
                place: "1",
                ..right()
            },
            422,
            bad,
        ),
        (
            "an earlier term",
            Request {
                place: "0.9",
                ..right()
            },
            409,
            "broker/stale_term",
        ),
        (
            "a term to come",
            Request {
                place: "9.1",
                ..right()
            },
            409,
            "broker/stale_term",
        ),
        ("another path", to(Method::GET, "/v1/clusters"), 404, path),
        (
            "another version",
            to(Method::GET, "/v2/gateways"),
            404,
            path,
        ),
        ("a slash more", to(Method::GET, &gateways("/")), 404, path),
        (
            "a query where none belongs",
            to(Method::GET, &gateways("?cluster=west")),
            404,
            path,
        ),
        (
            "a query that is none",
            to(Method::GET, &gateways("/default/one/status?version=-1")),
            422,
            bad,
        ),
        (
            "a query with more",
            to(
                Method::GET,
                &gateways("/default/one/status?version=1&after=0&cluster=west"),
            ),
            422,
            bad,
        ),
        (
            "signs in a place",
            Request {
                place: "+1.+1",
                ..right()
            },
            422,
            bad,
        ),
        (
            "a term of something",
            saying_to("/v1/terms", r#"{"cluster":"west"}"#),
            422,
            bad,
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

/// A cluster with a session in its first term.
struct Raw {
    client: reqwest::Client,
    cluster: RawCluster,
}

impl Raw {
    async fn open(broker: &Broker) -> Self {
        let enrolled = Enrolled {
            tenant: "acme",
            cluster: ClusterName::parse("east").unwrap(),
            instance: InstanceId::from_bytes([1; 16]),
        };
        Self {
            client: reqwest::Client::new(),
            cluster: RawCluster::open(broker, &enrolled).await,
        }
    }

    fn prove(&self, key: &ClusterKey, method: &str, path: &str) -> String {
        let url = format!("{}{path}", self.cluster.url);
        let token = Some(self.cluster.token.as_str());
        prove(key, method, &url, token, SystemClock.now())
    }

    fn proofs(&self, request: &Request) -> Vec<String> {
        let (method, key) = (request.method.as_str(), &self.cluster.key);
        let path = request.path.split('?').next().unwrap();
        let right = || self.prove(key, method, path);
        match request.proof {
            Proof::Right | Proof::Used => vec![right()],
            Proof::None => Vec::new(),
            Proof::Twice => vec![right(), right()],
            Proof::OtherKey => vec![self.prove(&ClusterKey::generate(), method, path)],
            Proof::OtherMethod => vec![self.prove(key, "GET", path)],
            Proof::OtherPath => vec![self.prove(key, method, "/v1/gateways")],
        }
    }

    async fn send(&self, request: Request) -> reqwest::Response {
        let proofs = self.proofs(&request);
        let sent = |request: &Request| {
            let url = format!("{}{}", self.cluster.url, request.path);
            let mut sent = self.client.request(request.method.clone(), url);
            for proof in &proofs {
                sent = sent.header("dpop", proof);
            }
            let own = format!("DPoP {}", self.cluster.token);
            let authorization = request.authorization.as_ref().unwrap_or(&own);
            sent.header("authorization", authorization)
                .header("statement-place", request.place)
                .header("content-type", request.content_type)
                .body(request.body.clone())
        };
        if request.proof == Proof::Used {
            // What is in the document does not matter: the proof is used.
            let first = Request {
                body: String::new(),
                ..request.clone()
            };
            sent(&first).send().await.unwrap();
        }
        sent(&request).send().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_by_name_and_reaches_no_cloudflare() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let raw = Raw::open(&broker).await;
    let before = world.calls().len();
    for (what, request, status, kind) in rows() {
        let answer = raw.send(request).await;
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
        assert!(!problem.to_string().contains(&raw.cluster.token), "{what}");
    }
    assert_eq!(world.calls().len(), before, "{:?}", world.calls());
}
