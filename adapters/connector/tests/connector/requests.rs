//! What becomes of the edge's requests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::rig::{LINES, Rig, body, for_client, get, text, within};

const META: &str = "cf-cloudflared-response-meta";
const KIND: &str = "cf-cloudflared-proxy-connection-upgrade";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_handler_and_its_answer_the_edge() {
    let rig = Rig::start(1).await;
    let request = Request::post("https://app.example.com/echo?a=b")
        .header("x-forwarded-proto", "http")
        .header("cf-connecting-ip", "192.0.2.7")
        .body(text("hello"))
        .unwrap();

    let response = rig.connection().send(request).await.unwrap();

    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()[META], r#"{"src":"origin"}"#);
    let headers = for_client(&response);
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(headers["seen-host"], "app.example.com");
    let connector = rig.connector.status().borrow().connector_id.to_string();
    assert_eq!(headers["seen-connector"], connector);
    let arrival = headers["seen-arrival"].to_str().unwrap();
    for part in ["Http,", "\"app.example.com\"", "192.0.2.7"] {
        assert!(arrival.contains(part), "{arrival}");
    }
    assert_eq!(body(response).await, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_two_byte_streams() {
    let rig = Rig::start(1).await;
    let (send, mut sent) = mpsc::unbounded_channel::<Bytes>();
    let frames = futures_util::stream::poll_fn(move |cx| {
        sent.poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    });
    let request = Request::get("https://app.example.com/socket")
        .header(KIND, "websocket")
        .body(StreamBody::new(frames).boxed_unsync())
        .unwrap();

    let response = rig.connection().send(request).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(for_client(&response)["upgraded-to"], "websocket");
    let mut echoed = response.into_body();
    for message in ["one", "two"] {
        send.send(Bytes::from_static(message.as_bytes())).unwrap();
        let frame = echoed.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(send);
    let rest = echoed.collect().await.unwrap().to_bytes();
    assert!(rest.is_empty(), "the client's end is the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_configuration_is_acknowledged_with_the_newest_version() {
    let rig = Rig::start(1).await;
    for (pushed, answer) in [
        (
            r#"{"version":0,"config":{}}"#,
            r#"{"lastAppliedVersion":0,"err":null}"#,
        ),
        (
            r#"{"version":5,"config":{}}"#,
            r#"{"lastAppliedVersion":5,"err":null}"#,
        ),
        (
            r#"{"version":3,"config":{}}"#,
            r#"{"lastAppliedVersion":5,"err":null}"#,
        ),
        ("nonsense", r#"{"lastAppliedVersion":5,"err":{}}"#),
    ] {
        let request = Request::post("https://edge/")
            .header(KIND, "update-configuration")
            .body(text(pushed))
            .unwrap();
        let response = rig.connection().send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(body(response).await, answer, "{pushed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_reach_the_edge_as_they_are() {
    let rig = Rig::start(1).await;
    let response = rig.connection().send(get("/trailers")).await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "body");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_with_one_request_harms_no_other() {
    let rig = Rig::start(1).await;
    let connection = rig.connection();

    let panicked = connection.send(get("/panic")).await.unwrap();
    assert_eq!(panicked.status(), 502);
    assert_eq!(panicked.headers()[META], r#"{"src":"cloudflared"}"#);

    let nowhere = Request::get("https://user@app.example.com/").body(text(""));
    let nowhere = connection.send(nowhere.unwrap()).await.unwrap();
    assert_eq!(nowhere.status(), 400);
    assert_eq!(nowhere.headers()[META], r#"{"src":"cloudflared"}"#);

    // The reset may overtake the head.
    if let Ok(broken) = connection.send(get("/broken")).await {
        assert!(broken.into_body().collect().await.is_err());
    }

    let fine = connection.send(get("/")).await.unwrap();
    assert_eq!(fine.status(), 201);
    assert!(connection.is_registered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_client_gives_up_is_given_up_by_the_handler() {
    let rig = Rig::start(1).await;
    let connection = rig.connection();
    let client = CancellationToken::new();
    let gone = client.clone();
    let request = tokio::spawn(async move {
        tokio::select! {
            _ = connection.send(get("/wait")) => {}
            () = gone.cancelled() => {}
        }
    });
    let limit = Duration::from_secs(10);
    let waiting = || (rig.handler.waiting.load(Ordering::SeqCst) == 1).then_some(());
    within(limit, "the handler has it", waiting).await;

    client.cancel();

    request.await.unwrap();
    let given_up = || (rig.handler.given_up.load(Ordering::SeqCst) == 1).then_some(());
    within(limit, "the handler is dropped", given_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_as_many_header_lines_as_it_likes() {
    let rig = Rig::start(1).await;
    let answer = rig.connection().send(get("/many-lines")).await.unwrap();
    assert_eq!(for_client(&answer).len(), LINES);
    assert_eq!(body(answer).await, "many");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_in_great_number_are_refused() {
    let rig = Rig::start(1).await;
    for (headers, then) in [(16_000, 201), (17_000, 431)] {
        let mut request = get("/");
        for _ in 0..headers {
            let value = http::HeaderValue::from_static("b");
            request.headers_mut().append("a", value);
        }
        let answer = rig.connection().send(request).await.unwrap();
        assert_eq!(answer.status(), then, "{headers} headers");
    }
}
