//! The token of a Gateway with three replicas is replaced under load.

mod failures;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tests::cluster::{Namespace, eventually};
use tests::grpc::Caller;
use tests::installation::{self, Installation, NODE, PATIENCE};
use tests::load::Load;
use tests::origin::Origin;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

use super::traffic::requests_to;
use super::user::manifests;

const GROUP: &str = "gateways.cloudflare-gateway-controller.io";
const METHOD: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo";
const GATEWAY: &str = "metadata: {name: my-gateway}\nspec:\n  gatewayClassName: ";

/// Where the streams end: an endpoint outside of the cluster's pods, on the node.
const STREAMS: SocketAddr = SocketAddr::new(IpAddr::V4(NODE), 3001);

/// A Service with that endpoint, and a route to it.
fn streams(hostname: &str) -> String {
    let (address, port) = (STREAMS.ip(), STREAMS.port());
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: streams}}
spec: {{ports: [{{port: {port}, appProtocol: kubernetes.io/h2c}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: streams, labels: {{kubernetes.io/service-name: streams}}}}
addressType: IPv4
ports: [{{port: {port}, appProtocol: kubernetes.io/h2c}}]
endpoints: [{{addresses: [{address}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: streams}}
spec:
  parentRefs: [{{name: my-gateway}}]
  hostnames: [{hostname}]
  rules: [{{backendRefs: [{{name: streams, port: {port}}}]}}]
"
    )
}

/// A Gateway with three named replicas; routes to pods that answer HTTP and to pods that answer gRPC.
fn everything(hostname: &str, calls: &str) -> String {
    let infrastructure = "  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: three}
  gatewayClassName: ";
    let http = manifests(hostname).replace(
        GATEWAY,
        &GATEWAY.replace("  gatewayClassName: ", infrastructure),
    );
    let grpc = include_str!("echo.yaml")
        .replace("{name: echo}", "{name: calls}")
        .replace("{app: echo}", "{app: calls}")
        .replace(
            "          env:\n",
            "          env:\n            - {name: GRPC_ECHO_SERVER, value: \"1\"}\n",
        )
        .replace("httpGet: {path: /, port: 3000}", "tcpSocket: {port: 3000}");
    // What is in flight goes on for the grace period. The kubelet brings the token to each replica within about a minute,
    // one after another, and the WebSocket and the stream are on any of them.
    format!(
        "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: three}}
spec: {{tunnel: {{replicas: [{{name: a}}, {{name: b}}, {{name: c}}], gracePeriod: 15m}}}}
---
{http}---
{grpc}---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls}}
spec:
  parentRefs: [{{name: my-gateway}}]
  hostnames: [{calls}]
  rules: [{{backendRefs: [{{name: calls, port: 8080}}]}}]
"
    )
}

/// Sends a text and awaits its echo until `stop`; how many came back.
async fn chatter(product: &Installation, hostname: &str, stop: CancellationToken) -> usize {
    let io = product.client.connect(hostname, "http/1.1").await.unwrap();
    let url = format!("wss://{hostname}/ws");
    let mut request = url.into_client_request().unwrap();
    // The echo server wants to know where the page is from.
    let origin = format!("https://{hostname}").parse().unwrap();
    request.headers_mut().insert("origin", origin);
    let opened = tokio_tungstenite::client_async(request, io).await;
    let (mut socket, _) = opened.unwrap();
    let mut echoed = 0;
    while !stop.is_cancelled() {
        let text = format!("message {echoed}");
        socket.send(Message::text(text.clone())).await.unwrap();
        let answer = timeout(Duration::from_secs(10), socket.next()).await;
        let answer = answer.expect("an echo in time").expect("it is open");
        assert_eq!(answer.unwrap(), Message::text(text));
        echoed += 1;
        sleep(Duration::from_millis(50)).await;
    }
    echoed
}

/// Messages there and back over one gRPC call that stays open, until `stop`; how many came back.
async fn streaming(product: &Installation, hostname: &str, stop: CancellationToken) -> usize {
    let connect = || Caller::connect(&product.client, hostname);
    let mut caller = eventually("a connection", PATIENCE, connect).await;
    let mut stream = caller.stream("/echo").await.expect("status 200");
    let mut echoed = 0;
    while !stop.is_cancelled() {
        let text = format!("message {echoed}");
        let answer = timeout(Duration::from_secs(10), stream.echo(text.as_bytes())).await;
        answer.expect("an echo in time").expect("it is open");
        echoed += 1;
        sleep(Duration::from_millis(50)).await;
    }
    echoed
}

/// gRPC calls one after the other on one connection, until `stop`; how many were answered.
async fn calls(product: &Installation, hostname: &str, stop: CancellationToken) -> usize {
    let mut caller = Caller::connect(&product.client, hostname).await.unwrap();
    let mut answered = 0;
    while !stop.is_cancelled() {
        caller.call(METHOD, &[], &[]).await.expect("status 0");
        answered += 1;
        sleep(Duration::from_millis(20)).await;
    }
    answered
}

/// `status.tunnel.token` of the Gateway's status object.
async fn token(namespace: &Namespace) -> serde_json::Value {
    let found = namespace.get(&["cgs", "my-gateway"]).await;
    found.unwrap_or_default()["status"]["tunnel"]["token"].clone()
}

/// Asks for a new token, and waits until each replica has it alone.
async fn rotated(product: &Installation, namespace: &Namespace) {
    let before = token(namespace).await;
    let annotation = format!("{GROUP}/rotateTokenRequestedAt=now");
    namespace
        .kubectl(&["annotate", "gateway", "my-gateway", &annotation])
        .await;
    eventually("each replica has the new token", 4 * PATIENCE, || async {
        let now = token(namespace).await;
        let is_done = now["rotation"]["lastHandledRotateAt"] == "now";
        (is_done && now["hash"] != before["hash"])
            .then_some(())
            .ok_or(now.to_string())
    })
    .await;
    // What a replica leaves is closed once its requests have ended.
    namespace
        .kubectl(&["wait", "--for=condition=Ready", "gateway/my-gateway"])
        .await;
    assert_eq!(product.replaced_tokens(namespace.name()), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn three_replicas_take_a_new_token_and_nothing_in_flight_is_lost() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("rotation").await;
    let hostname = format!("{}.example.com", namespace.name());
    let by_grpc = format!("calls-{hostname}");
    let streamed = format!("streams-{hostname}");
    let _endpoint = Origin::start_at("streams", STREAMS).await;
    namespace.apply(&everything(&hostname, &by_grpc)).await;
    namespace.apply(&streams(&streamed)).await;
    for deployment in [
        "echo",
        "calls",
        "gateway-my-gateway-a",
        "gateway-my-gateway-b",
        "gateway-my-gateway-c",
    ] {
        let deployment = format!("deployment/{deployment}");
        eventually("it is there", PATIENCE, || async {
            namespace.try_kubectl(&["get", &deployment]).await
        })
        .await;
        namespace
            .wait("condition=Available", &deployment, PATIENCE)
            .await;
    }
    product.served(&format!("https://{hostname}/")).await;
    let connect = || Caller::connect(&product.client, &by_grpc);
    let mut caller = eventually("a connection", PATIENCE, connect).await;
    caller.served(METHOD, &[], PATIENCE).await;

    let load = Load::start(
        4,
        Duration::from_millis(10),
        requests_to(&product, &hostname),
    );
    let stop = CancellationToken::new();
    let rotation = async {
        sleep(Duration::from_secs(1)).await;
        rotated(&product, &namespace).await;
        sleep(Duration::from_secs(1)).await;
        stop.cancel();
    };
    let ((), echoed, answered, in_stream) = tokio::join!(
        rotation,
        chatter(&product, &hostname, stop.clone()),
        calls(&product, &by_grpc, stop.clone()),
        streaming(&product, &streamed, stop.clone()),
    );
    let report = load.stop().await;
    println!(
        "while three replicas took a new token: {} requests, {answered} gRPC calls, {in_stream} messages in one gRPC stream and {echoed} over one WebSocket",
        report.requests
    );
    assert_eq!(report.failures, Vec::<String>::new());
}
