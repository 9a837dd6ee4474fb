//! ExternalAuth of a rule and filters of a listener, from manifests.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tests::manifests::{gateway, route_with, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};
use tokio::net::TcpListener;

/// An authorizer that lets in whom `Authorization` names, and tells the backend who that is.
async fn authorizer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|request: Request<Incoming>| async move {
                let user = request.headers().get("authorization").cloned();
                let mut response = Response::new(Full::new(Bytes::from("log in")));
                match user {
                    Some(user) => {
                        *response.body_mut() = Full::default();
                        response.headers_mut().insert("x-user", user);
                    }
                    None => *response.status_mut() = hyper::StatusCode::UNAUTHORIZED,
                }
                Ok::<_, std::convert::Infallible>(response)
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
    at
}

fn asking(service: &str) -> String {
    format!(
        "{{type: ExternalAuth, externalAuth: {{protocol: HTTP, http: {{}}, backendRef: {{name: {service}, port: 80}}}}}}"
    )
}

/// The Gateway with an authorizer at its listener.
fn guarded(world: &World, service: &str) -> String {
    let open = "{name: https, protocol: HTTPS, port: 443}";
    let text = gateway(&world.token, ACCOUNT);
    assert!(text.contains(open), "{text}");
    let filters = format!("filters: {{requests: [{}]}}", asking(service));
    text.replace(
        open,
        &format!("{{name: https, protocol: HTTPS, port: 443, {filters}}}"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_have_an_authorizer_asked_by_a_rule_or_by_a_listener() {
    let world = World::start_alone().await;
    let one = Origin::start("one").await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("one.yaml", &service("one", &[one.address]));
    world.write("auth.yaml", &service("auth", &[authorizer().await]));
    let rules = |auth: &str| {
        let guarded = format!(
            "    - matches: [{{path: {{value: /private}}}}]\n      filters: [{}]\n      backendRefs: [{{name: one, port: 80}}]\n",
            asking(auth)
        );
        let rules = format!("{guarded}    - backendRefs: [{{name: one, port: 80}}]\n");
        route_with("app", "my-gateway", &["app.example.com"], &rules)
    };
    world.write("route.yaml", &rules("auth"));
    let _cfgw = world.cfgw().await;
    let at = |path: &str| format!("https://app.example.com{path}");
    world.answers_with(&at("/"), "one").await;
    let status = |path: &'static str, user: Option<&'static str>| {
        let mut request = world.client.http().get(at(path));
        if let Some(user) = user {
            request = request.header("authorization", user);
        }
        let world = &world;
        async move {
            let answer = world.client.send(request).await.expect("an answer");
            (answer.status, answer.body)
        }
    };
    assert_eq!(status("/private", None).await, (401, "log in".to_owned()));
    let (code, body) = status("/private", Some("ada")).await;
    assert_eq!(code, 200);
    assert!(body.contains("x-user"), "{body}");

    // Without the Service nobody gets in.
    let patience = Duration::from_secs(10);
    world.write("route.yaml", &rules("none"));
    within(patience, "the rule answers 500", || async {
        (status("/private", Some("ada")).await.0 == 500).then_some(())
    })
    .await;
    assert_eq!(status("/", None).await.0, 200, "the other rule serves");

    // At the listener it is asked about every request.
    world.write("route.yaml", &rules("auth"));
    world.write("gateway.yaml", &guarded(&world, "auth"));
    within(patience, "the listener asks", || async {
        (status("/", None).await.0 == 401).then_some(())
    })
    .await;
    assert_eq!(status("/", Some("ada")).await.0, 200);
    world.write("gateway.yaml", &guarded(&world, "none"));
    within(
        patience,
        "the listener answers 500 and says why",
        || async {
            let mut written = world.written().into_iter();
            let told = written.find(|(path, _)| path.ends_with("gateway/default/my-gateway.json"));
            let is_told = told.is_some_and(|(_, text)| text.contains("InvalidListenerFilterRef"));
            (is_told && status("/", Some("ada")).await.0 == 500).then_some(())
        },
    )
    .await;
    assert_eq!(world.records().len(), 1, "its record stays");
}
