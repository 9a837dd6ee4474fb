//! Rate limits: what Cloudflare refuses, and what is not even asked.

use std::time::Duration;

use adapter_cloudflare::call::CallOutcome;
use adapter_cloudflare::{ClientSettings, CloudflareClient};
use domain::AccountId;
use domain::ports::{CloudflareAccounts, PortError, PortErrorKind as Kind};
use domain::secret::CloudflareCredentials;
use serde_json::json;
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer};

use crate::support::*;

fn of_account(account: &str, token: &str) -> CloudflareCredentials {
    CloudflareCredentials {
        account: AccountId::new(account),
        token: token.to_owned().into(),
    }
}

#[tokio::test]
async fn a_refusal_stops_all_clients_with_its_credentials_for_the_time_it_names() {
    let second = Duration::from_secs(1);
    for (header, pause) in [
        (Some("30"), 30 * second),
        (None, 60 * second),
        (Some("Wed, 21 Oct 2026 07:28:00 GMT"), 60 * second),
        (Some("99999999999"), 3600 * second),
    ] {
        let server = MockServer::start().await;
        let mut answer = no(
            429,
            10_100,
            "More than 1200 requests per 300 seconds reached",
        );
        if let Some(header) = header {
            answer = answer.insert_header("retry-after", header);
        }
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let log = CallLog::default();
        let client = client(base_url(&server)).metered(log.writer());

        let refused = client.open(&of_account("a", "one")).zones().await;
        let error = expect_kind(refused, Kind::RateLimited, "refused by Cloudflare");
        assert_eq!(error.retry_after, Some(pause), "{header:?}");
        assert!(
            error.message.contains("429: 10100 More than 1200"),
            "{error}"
        );

        let withheld = client
            .open(&of_account("a", "one"))
            .create_tunnel("x")
            .await;
        let error = expect_kind(withheld, Kind::RateLimited, "not sent");
        let left = error.retry_after.unwrap();
        assert!(left <= pause && left > pause / 2, "{header:?} {left:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
        let metered = log.take().into_iter().map(|report| report.pause);
        let metered: Vec<_> = metered.collect();
        assert_eq!(metered, [Some(pause)], "what was not sent costs nothing");

        for (account, token) in [("a", "another"), ("b", "one")] {
            let before = server.received_requests().await.unwrap().len();
            let other = client.open(&of_account(account, token));
            other.zones().await.unwrap_err();
            let sent = server.received_requests().await.unwrap().len() - before;
            assert_eq!(sent, 1, "{token} for {account} goes on");
        }
    }
}

#[tokio::test]
async fn a_429_without_an_envelope_counts_too() {
    let server = MockServer::start().await;
    let answer = wiremock::ResponseTemplate::new(429).set_body_string("error code: 1015");
    Mock::given(any())
        .respond_with(answer.insert_header("retry-after", "7"))
        .mount(&server)
        .await;
    let error = expect_kind(api(&server).zones().await, Kind::RateLimited, "429 as text");
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_used_up_budget_is_told_without_a_request() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(yes(&json!([])))
        .mount(&server)
        .await;
    let settings = ClientSettings {
        requests_per_window: 4,
        ..settings(base_url(&server))
    };
    let (api, log) = logged(&settings);
    api.zones().await.unwrap();
    api.zones().await.unwrap();
    let error = expect_kind(
        api.zones().await,
        Kind::RateLimited,
        "the third of a burst of two",
    );
    assert!(
        error
            .retry_after
            .is_some_and(|wait| wait > Duration::from_secs(5)),
        "{error:?}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
    let outcomes: Vec<_> = log
        .take()
        .into_iter()
        .map(|report| report.outcome)
        .collect();
    let yes = CallOutcome::Succeeded;
    assert_eq!(outcomes, [yes, yes, CallOutcome::Withheld]);
}

#[tokio::test]
async fn clients_of_one_token_share_a_budget_that_others_of_its_account_cannot_use_up() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(yes(&json!([])))
        .mount(&server)
        .await;
    let settings = ClientSettings {
        requests_per_window: 4,
        ..settings(base_url(&server))
    };
    let client = CloudflareClient::new(&settings).unwrap();
    for _ in 0..2 {
        client.open(&of_account("a", "one")).zones().await.unwrap();
    }
    let again = client.open(&of_account("a", "one")).zones().await;
    expect_kind(again, Kind::RateLimited, "the third of a burst of two");
    client.open(&of_account("a", "two")).zones().await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_none_is_asked_with_once_and_stops_no_other_of_the_account() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer none"))
        .respond_with(no(401, 10_000, "Authentication error"))
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer ours"))
        .respond_with(yes(&json!([])))
        .mount(&server)
        .await;
    let client = client(base_url(&server));
    for attempt in 0..310 {
        let refused = client.open(&of_account("a", "none")).zones().await;
        let error = expect_kind(refused, Kind::Unauthenticated, "refused");
        assert_eq!(error.retry_after.is_some(), attempt > 0, "{error:?}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
    client.open(&of_account("a", "ours")).zones().await.unwrap();
}

#[tokio::test]
async fn what_may_not_be_written_is_not_sent_and_reads_go_on() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(yes(&json!([])))
        .mount(&server)
        .await;
    let client = client(base_url(&server)).guarded(|| Err(PortError::unavailable("too late")));
    // The guard stays with whoever is counted.
    let client = client.metered(CallLog::default().writer());
    let api = client.open(&of_account("a", "one"));
    let error = expect_kind(api.create_tunnel("x").await, Kind::Unavailable, "a write");
    assert!(error.message.contains("too late"), "{error}");
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
    api.zones().await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}
