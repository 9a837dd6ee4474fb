//! Long, large, slow and two-way bodies through the whole way.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::manifests::{gateway, route, service, service_speaking};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::websocket::Socket;
use tests::world::{ACCOUNT, World, within};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

async fn world() -> (World, Origin, Cfgw) {
    let origin = Origin::start("app").await;
    let world = World::start_alone().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    world.write(
        "grpc.yaml",
        &service_speaking("grpc", &[origin.address], "kubernetes.io/h2c"),
    );
    world.write(
        "grpc-route.yaml",
        &route("grpc", "grpc.example.com", "grpc"),
    );
    let cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.answers("https://grpc.example.com/").await;
    (world, origin, cfgw)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_is_not_held_back() {
    let (world, _origin, _cfgw) = world().await;
    let began = Instant::now();
    let response = world
        .client
        .http()
        .get("https://app.example.com/events/10")
        .send()
        .await
        .expect("a stream");
    let mut events = response;
    let first = events.chunk().await.expect("no error").expect("an event");
    assert_eq!(&first[..], b"data: 0\n\n");
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "first event after {:?}",
        began.elapsed()
    );
    while events.chunk().await.expect("no error").is_some() {}
    assert!(
        began.elapsed() >= Duration::from_millis(1700),
        "the events came as they were sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_echoes_and_each_side_ends_its_half() {
    let (world, _origin, _cfgw) = world().await;
    let opened = Socket::open(&world.client, "app.example.com", "/ws", "").await;
    let mut socket = opened.expect("a WebSocket");
    let head = &socket.head;
    assert!(head.contains("upgrade: websocket"), "{head}");
    for size in [1, 100, 80_000] {
        socket.echo(&vec![b'a'; size]).await.expect("an echo");
    }
    let rest = socket.finish().await;
    let rest = rest.expect("the other side still speaks, then ends");
    assert_eq!(rest, b"bye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_down_and_up_with_flat_memory() {
    let (world, _origin, cfgw) = world().await;
    let at_rest = cfgw.resident_bytes();

    let response = world
        .client
        .http()
        .get(format!("https://app.example.com/bytes/{GIB}"))
        .timeout(Duration::from_secs(300));
    let mut body = response.send().await.expect("a response");
    let (mut down, mut most) = (0, 0);
    while let Some(chunk) = body.chunk().await.expect("no error") {
        down += chunk.len() as u64;
        if down % (16 * MIB) < 16 * 1024 {
            most = most.max(cfgw.resident_bytes());
        }
    }
    assert_eq!(down, GIB);
    most = most.max(cfgw.resident_bytes());

    let chunks =
        stream::iter((0..GIB / MIB).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b'u'; 1 << 20]))));
    let request = world
        .client
        .http()
        .post("https://app.example.com/sink")
        .timeout(Duration::from_secs(300));
    let upload = tokio::spawn(world.client.clone().post_stream(request, chunks));
    while !upload.is_finished() {
        most = most.max(cfgw.resident_bytes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let counted = upload.await.expect("no panic").expect("an answer");
    assert_eq!(counted.body, GIB.to_string());

    println!(
        "resident: {} MiB at rest, {} MiB at most over 1 GiB down and up",
        at_rest / MIB,
        most / MIB
    );
    assert!(
        most < at_rest + 64 * MIB,
        "{most} bytes against {at_rest} at rest"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_once_are_all_answered() {
    let (world, origin, _cfgw) = world().await;
    let before = origin.requests();
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let client = world.client.clone();
            tokio::spawn(async move { client.get("https://app.example.com/slow/3000").await })
        })
        .collect();
    within(
        Duration::from_secs(60),
        "all of them at the endpoint at once",
        || async { (origin.requests() >= before + 1000).then_some(()) },
    )
    .await;
    for request in requests {
        let answer = request.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_takes_no_memory() {
    let (world, origin, cfgw) = world().await;
    let at_rest = cfgw.resident_bytes();
    let before = origin.bytes_taken();
    let response = world
        .client
        .http()
        .get(format!("https://app.example.com/bytes/{}", 512 * MIB))
        .send()
        .await;
    let mut body = response.expect("a response");
    let _ = body
        .chunk()
        .await
        .expect("no error")
        .expect("a first chunk");

    tokio::time::sleep(Duration::from_secs(3)).await;

    let taken = origin.bytes_taken() - before;
    let grown = cfgw.resident_bytes().saturating_sub(at_rest);
    println!(
        "a client that reads nothing: {} MiB taken from the endpoint, {} MiB more resident",
        taken / MIB,
        grown / MIB
    );
    assert!(
        taken < 128 * MIB,
        "{taken} bytes were taken from the endpoint for nobody"
    );
    assert!(grown < 64 * MIB, "{grown} bytes more resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_trailers_arrive() {
    let (world, _origin, _cfgw) = world().await;
    let io = world
        .client
        .connect("grpc.example.com", "h2")
        .await
        .expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::post("https://grpc.example.com/trailers")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    assert_eq!(response.status(), 200);
    let collected = response.into_body().collect().await.expect("a body");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    assert_eq!(
        trailers.get("grpc-status").map(http::HeaderValue::as_bytes),
        Some(&b"0"[..])
    );
    assert_eq!(collected.to_bytes(), "body");
}
