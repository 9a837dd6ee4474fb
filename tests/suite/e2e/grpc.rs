//! gRPC the whole way: a client with one HTTP/2 connection to the edge, framed messages and trailers as
//! they are on the wire (gRPC over HTTP2), and endpoints that say who they are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::grpc::{Caller, framed};
use tests::manifests::{gateway, route as http_route, service, service_speaking};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World};
use tokio::net::TcpListener;

const HOST: &str = "grpc.example.com";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers every method with its name, and status 0 in the trailers.
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let service = service_fn(move |request| answer(name, request));
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(tcp), service));
        }
    });
    address
}

async fn answer(
    name: &'static str,
    request: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let asked = request.into_body().collect().await;
    let asked = asked.map(http_body_util::Collected::to_bytes);
    let status = match asked {
        Ok(asked) if asked.first() == Some(&0) => "0",
        _ => "13",
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static(status));
    let frames = [
        Ok(Frame::data(framed(name.as_bytes()))),
        Ok(Frame::trailers(trailers)),
    ];
    let response = Response::builder().header("content-type", "application/grpc");
    let body = StreamBody::new(stream::iter(frames));
    Ok(response.body(body).expect("a response"))
}

/// The name of who answered, or the gRPC status.
async fn name(
    caller: &mut Caller,
    method: &str,
    metadata: &[(&str, &str)],
) -> Result<String, String> {
    let message = caller.call(method, metadata, b"hello").await?;
    Ok(String::from_utf8_lossy(&message).into_owned())
}

fn route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: grpc, namespace: default}}
spec:
  parentRefs: [{{name: my-gateway}}]
  hostnames: [{HOST}]
  rules:
{rules}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_metadata_and_weights_choose_and_what_nobody_takes_is_unimplemented() {
    let world = World::start().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    for name in ["one", "two", "three"] {
        let endpoint = server(name).await;
        let service = service_speaking(name, &[endpoint], "kubernetes.io/h2c");
        world.write(&format!("{name}.yaml"), &service);
    }
    world.write(
        "route.yaml",
        &route(
            "    - matches: [{method: {service: shop.Cart, method: Add}}]
      backendRefs: [{name: one, port: 80}]
    - matches: [{method: {service: shop.Cart}, headers: [{name: version, value: two}]}]
      backendRefs: [{name: two, port: 80}]
    - matches: [{method: {type: RegularExpression, service: \"shop[.].*\", method: \"Get.*\"}}]
      backendRefs: [{name: three, port: 80}]
    - matches: [{method: {service: split.Half, method: Toss}}]
      backendRefs: [{name: one, port: 80, weight: 7}, {name: two, port: 80, weight: 3}, {name: three, port: 80, weight: 0}]
",
        ),
    );
    let _cfgw = world.cfgw().await;
    world.answers_to(HOST).await;
    let mut caller = Caller::connect(&world.client, HOST).await.expect("HTTP/2");
    caller.served("/shop.Cart/Add", b"hello", PATIENCE).await;

    let two: &[(&str, &str)] = &[("version", "two")];
    for (method, metadata, expected) in [
        ("/shop.Cart/Add", &[][..], Ok("one")),
        ("/shop.Cart/Remove", two, Ok("two")),
        ("/shop.Cart/Remove", &[], Err("12")),
        ("/shop.Stock/GetAll", &[], Ok("three")),
        ("/shop.cart/Add", &[], Err("12")),
        ("/other.Service/Add", &[], Err("12")),
    ] {
        let answer = name(&mut caller, method, metadata).await;
        let answer = answer.as_deref().map_err(String::as_str);
        assert_eq!(answer, expected, "{method} {metadata:?}");
    }
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..300 {
        let name = name(&mut caller, "/split.Half/Toss", &[])
            .await
            .expect("an answer");
        *shares.entry(name).or_default() += 1;
    }
    assert!((165..=255).contains(&shares["one"]), "{shares:?}");
    assert!(!shares.contains_key("three"), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_calls_on_one_connection_reach_every_endpoint() {
    const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let world = World::start().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    let mut endpoints = Vec::new();
    for name in NAMES {
        endpoints.push(server(name).await);
    }
    let service = service_speaking("many", &endpoints, "kubernetes.io/h2c");
    world.write("many.yaml", &service);
    world.write(
        "route.yaml",
        &route("    - backendRefs: [{name: many, port: 80}]\n"),
    );
    let _cfgw = world.cfgw().await;
    world.answers_to(HOST).await;
    let mut caller = Caller::connect(&world.client, HOST).await.expect("HTTP/2");
    caller.served("/shop.Cart/Add", b"hello", PATIENCE).await;

    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..200 {
        let name = name(&mut caller, "/shop.Cart/Add", &[])
            .await
            .expect("an answer");
        *seen.entry(name).or_default() += 1;
    }
    assert_eq!(seen.len(), NAMES.len(), "{seen:?}");
    assert!(seen.values().all(|count| *count >= 5), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostname_that_is_shared_is_split_by_content_type() {
    let world = World::start().await;
    let named = gateway(&world.token, ACCOUNT).replace(
        "  listeners:",
        "  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: shared}
  listeners:",
    );
    let parameters = "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {name: shared, namespace: default}
spec: {sharedHostnames: Allowed}
";
    world.write("gateway.yaml", &format!("{named}---\n{parameters}"));
    let calls = server("calls").await;
    let calls = service_speaking("calls", &[calls], "kubernetes.io/h2c");
    world.write("calls.yaml", &calls);
    let pages = Origin::start("pages").await;
    world.write("pages.yaml", &service("pages", &[pages.address]));
    world.write("http.yaml", &http_route("pages", HOST, "pages"));
    let rules = "    - backendRefs: [{name: calls, port: 80}]\n";
    world.write("grpc.yaml", &route(rules));
    let _cfgw = world.cfgw().await;

    let page = world
        .answers(&format!("https://{HOST}/shop.Cart/Add"))
        .await;
    assert!(page.body.contains("pages"), "{}", page.body);
    let mut caller = Caller::connect(&world.client, HOST).await.expect("HTTP/2");
    caller.served("/shop.Cart/Add", b"hello", PATIENCE).await;
    let called = name(&mut caller, "/shop.Cart/Add", &[]).await;
    assert_eq!(called.as_deref(), Ok("calls"));
}
