//! What each failure becomes, for each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter_cloudflare::ClientSettings;
use adapter_cloudflare::call::{CallKind, CallOutcome};
use domain::ports::PortErrorKind as Kind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::*;

async fn server_with(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn every_call_tells_every_refusal_apart_and_keeps_code_and_words() {
    for (status, code, words, kind) in [
        (401, 10_000, "Authentication error", Kind::Unauthenticated),
        (403, 10_000, "Authentication error", Kind::Forbidden),
        (404, 1003, "Tunnel not found", Kind::NotFound),
        (409, 81_057, "The record already exists.", Kind::Conflict),
        (400, 9_300, "exceeding the quota", Kind::Invalid),
        (200, 9_300, "said with a good status", Kind::Invalid),
        (500, 7_500, "internal error", Kind::Unavailable),
        (503, 7_503, "come back later", Kind::Unavailable),
    ] {
        let server = server_with(no(status, code, words)).await;
        for call in every_call() {
            let (api, log) = logged(&settings(base_url(&server)));
            let context = format!("{} {status}", call.name);
            let error = expect_kind((call.make)(api.as_ref()).await, kind, &context);
            assert!(
                error.message.starts_with(&format!("{}: ", call.name)),
                "{error}"
            );
            assert!(
                error.message.contains(&format!("{status}: {code} {words}")),
                "{error}"
            );
            assert_eq!(error.retry_after, None, "{context}");
            for report in log.take() {
                assert_eq!(report.outcome, CallOutcome::Failed(kind), "{context}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_without_permission_is_told_which_one_is_missing() {
    let server = server_with(no(403, 10_000, "Authentication error")).await;
    let api = api(&server);
    for (error, permission) in [
        (
            api.tunnels("").await.unwrap_err(),
            "\"Cloudflare Tunnel: Edit\"",
        ),
        (
            api.tunnel_token(tunnel_id()).await.unwrap_err(),
            "\"Cloudflare Tunnel: Edit\"",
        ),
        (
            api.change_records(&zone_id(), &batch()).await.unwrap_err(),
            "\"DNS: Edit\"",
        ),
        (api.records(&zone_id()).await.unwrap_err(), "\"DNS: Edit\""),
        (api.zones().await.unwrap_err(), "\"Zone: Read\""),
    ] {
        assert!(error.message.contains(permission), "{error}");
    }
}

#[tokio::test]
async fn an_answer_in_another_form_says_nothing_about_what_happened() {
    for body in [
        "",
        "<html>canary</html>",
        r#"{"success":true,"result":"#,
        r#"{"success":true,"result":42}"#,
    ] {
        let server = server_with(ResponseTemplate::new(200).set_body_string(body)).await;
        for call in every_call() {
            let ignores_its_result = call.method != "GET" && call.name != "create tunnel";
            if ignores_its_result && body.ends_with("42}") {
                continue;
            }
            let context = format!("{} {body:?}", call.name);
            let outcome = (call.make)(api(&server).as_ref()).await;
            let error = expect_kind(outcome, Kind::Unavailable, &context);
            assert!(!error.message.contains("canary"), "{error}");
            let unknown = error
                .message
                .contains("Whether it took effect is not known");
            assert_eq!(unknown, call.method != "GET", "{error}");
        }
    }
}

#[tokio::test]
async fn a_gateway_on_the_way_is_believed_by_its_status() {
    for (status, kind) in [
        (301, Kind::Invalid),
        (403, Kind::Forbidden),
        (404, Kind::NotFound),
        (413, Kind::Invalid),
        (502, Kind::Unavailable),
    ] {
        let answer = ResponseTemplate::new(status)
            .insert_header("location", "http://127.0.0.1:1/elsewhere")
            .set_body_string("<html>no</html>");
        let server = server_with(answer).await;
        let error = expect_kind(api(&server).zones().await, kind, "gateway");
        assert!(
            error
                .message
                .contains(&format!("Cloudflare answered {status}")),
            "{error}"
        );
        assert_eq!(
            server.received_requests().await.unwrap().len(),
            1,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_result_that_is_promised_must_be_there() {
    let answer =
        || ResponseTemplate::new(200).set_body_json(json!({ "success": true, "result": null }));
    let server = server_with(answer()).await;
    let api = api(&server);
    expect_kind(
        api.create_tunnel("a").await,
        Kind::Unavailable,
        "create tunnel",
    );
    expect_kind(
        api.tunnel_token(tunnel_id()).await,
        Kind::Unavailable,
        "token",
    );
    let bad_id = server_with(yes(&json!({ "id": "no-uuid", "name": "a" }))).await;
    expect_kind(
        crate::support::api(&bad_id).create_tunnel("a").await,
        Kind::Unavailable,
        "bad id",
    );
}

#[tokio::test]
async fn a_slow_answer_is_given_up_and_not_asked_for_again() {
    let server = server_with(yes(&json!([])).set_delay(LONG)).await;
    let settings = ClientSettings {
        request_timeout: Duration::from_millis(200),
        ..settings(base_url(&server))
    };
    for call in every_call() {
        let (api, log) = logged(&settings);
        let error = expect_kind(
            (call.make)(api.as_ref()).await,
            Kind::Unavailable,
            call.name,
        );
        assert!(error.message.contains("did not answer in time"), "{error}");
        assert_eq!(log.take().len(), 1, "{}", call.name);
    }
}

/// How a connection ends badly.
#[derive(Clone, Copy, Debug)]
enum Break {
    BeforeTheAnswer,
    WithinTheHead,
    WithinTheBody,
}

impl Break {
    async fn answer(self, mut stream: TcpStream) {
        read_request(&mut stream).await;
        let text: &[u8] = match self {
            Self::BeforeTheAnswer => b"",
            Self::WithinTheHead => b"HTTP/1.1 200 OK\r\ncontent-le",
            Self::WithinTheBody => {
                b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{\"success\":true,"
            }
        };
        stream.write_all(text).await.unwrap();
    }
}

/// Reads the head and as much body as it announces.
async fn read_request(stream: &mut TcpStream) {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        text.extend_from_slice(&buffer[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let announced = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= announced.unwrap_or(0usize) {
                return;
            }
        }
        assert!(read > 0, "the request ends too early");
    }
}

/// A server whose first `broken` connections break; later ones answer with an empty list.
async fn breaking_server(how: Break, broken: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if counter.fetch_add(1, Ordering::SeqCst) < broken {
                how.answer(stream).await;
                continue;
            }
            read_request(&mut stream).await;
            let body = r#"{"success":true,"result":[],"result_info":{"page":1,"count":0,"total_count":0}}"#;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, connections)
}

#[tokio::test]
async fn a_read_is_sent_once_more_when_its_connection_breaks_and_a_write_never() {
    for how in [
        Break::BeforeTheAnswer,
        Break::WithinTheHead,
        Break::WithinTheBody,
    ] {
        let (url, connections) = breaking_server(how, 1).await;
        assert_eq!(client_api(&url).zones().await.unwrap(), [], "{how:?}");
        assert_eq!(connections.load(Ordering::SeqCst), 2, "{how:?}");

        let (url, connections) = breaking_server(how, usize::MAX).await;
        for call in every_call() {
            connections.store(0, Ordering::SeqCst);
            let (api, log) = logged(&settings(url.clone()));
            expect_kind(
                (call.make)(api.as_ref()).await,
                Kind::Unavailable,
                call.name,
            );
            let expected = if call.method == "GET" { 2 } else { 1 };
            assert_eq!(
                connections.load(Ordering::SeqCst),
                expected,
                "{how:?} {}",
                call.name
            );
            let reports = log.take();
            assert_eq!(reports.len(), expected, "{how:?} {}", call.name);
            assert!(
                reports
                    .iter()
                    .all(|r| (r.kind == CallKind::Write) == (expected == 1))
            );
        }
    }
}

fn client_api(url: &str) -> Arc<dyn domain::ports::CloudflareApi> {
    logged(&settings(url)).0
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = expect_kind(
        client_api(&url).zones().await,
        Kind::Unavailable,
        "nobody listens",
    );
    assert!(
        error
            .message
            .contains("the connection to Cloudflare failed"),
        "{error}"
    );
}
