//! No secret is seen in anything that is printed.

use base64::Engine as _;
use domain::AccountId;
use domain::ports::{CloudflareAccounts, PortErrorKind as Kind};
use domain::secret::CloudflareCredentials;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::*;

const CONNECTOR_CANARY: &str = "canary-of-the-connector-token";

fn secret_canary() -> String {
    base64::engine::general_purpose::STANDARD.encode([7; 32])
}

/// Answers that repeat everything that was secret in the request, and a connector token besides.
fn indiscreet_answers() -> Vec<ResponseTemplate> {
    let words = format!("Bearer {CANARY} {} was sent", secret_canary());
    let body =
        json!({ "success": true, "result": { "x": [CANARY, CONNECTOR_CANARY, secret_canary()] } });
    vec![
        no(400, 1, &words),
        no(401, 10_000, &words),
        no(403, 10_000, &words),
        no(500, 1, &words),
        no(429, 1, &words).insert_header("retry-after", "0"),
        ResponseTemplate::new(200).set_body_json(body),
        ResponseTemplate::new(200).set_body_string(format!("{words} {CONNECTOR_CANARY}")),
        ResponseTemplate::new(301)
            .insert_header("location", format!("http://127.0.0.1:1/{CANARY}")),
    ]
}

#[tokio::test]
async fn no_error_of_any_call_shows_a_secret() {
    let mut seen = 0;
    for answer in indiscreet_answers() {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        for call in every_call() {
            let Err(error) = (call.make)(api(&server).as_ref()).await else {
                continue;
            };
            seen += 1;
            let printed = format!("{error} {error:?} {error:#?}");
            assert!(!printed.contains(CANARY), "{}: {printed}", call.name);
            assert!(
                !printed.contains(CONNECTOR_CANARY),
                "{}: {printed}",
                call.name
            );
            if call.name == "replace tunnel secret" {
                assert!(!printed.contains(&secret_canary()), "{printed}");
            }
        }
    }
    assert!(seen >= 7 * 13, "{seen} errors were looked at");
}

#[tokio::test]
async fn no_debug_form_shows_a_secret() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(yes(&json!(CONNECTOR_CANARY)))
        .mount(&server)
        .await;
    let client = client(base_url(&server));
    let token = client
        .open(&credentials())
        .tunnel_token(tunnel_id())
        .await
        .unwrap();
    let printed = format!("{client:?} {client:#?} {:?} {token:?}", credentials());
    assert!(!printed.contains("canary"), "{printed}");
    assert!(printed.contains(&server.uri()), "{printed}");
}

#[tokio::test]
async fn the_token_goes_only_in_the_authorization_header() {
    for call in every_call() {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(yes(&call.result))
            .mount(&server)
            .await;
        (call.make)(api(&server).as_ref()).await.unwrap();
        let mut request = server.received_requests().await.unwrap().remove(0);
        request.headers.remove("authorization");
        let rest = format!("{request:?} {}", String::from_utf8_lossy(&request.body));
        assert!(!rest.contains(CANARY), "{rest}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_told_to_the_user() {
    let server = MockServer::start().await;
    let credentials = CloudflareCredentials {
        account: AccountId::new(ACCOUNT),
        token: format!("{CANARY}\n").into(),
    };
    let client = client(base_url(&server));
    let error = expect_kind(
        client.open(&credentials).zones().await,
        Kind::Credentials,
        "line break",
    );
    assert!(
        error.message.contains("line break") && !error.message.contains(CANARY),
        "{error}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}
