//! Requests of visitors over HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tests::origin::Origin as Endpoint;
use tests::recorder::http2::{Exchange, Fields, RequestRecorder, fields};

use super::judge::{Judge, Origin, Outcome, VISITS, visit};
use super::{Connected, FILE, Replay, Site, store, stored};

const REQUESTS: &str = "cloudflared-http2-requests.json";

/// Requests of the stand-in and the answers of a cloudflared.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Vector {
    /// Of the cloudflared that was recorded.
    version: String,
    requests: Vec<Exchange>,
}

/// What a connector says of the origin's answer: its header comes in one field, as pairs in base64.
fn outcome(status: u16, headers: &Fields, body: &str) -> Outcome {
    let named = headers
        .iter()
        .find(|(name, _)| name == "cf-cloudflared-response-headers");
    let text = |part: &str| {
        let bytes = STANDARD_NO_PAD.decode(part).expect("base64");
        String::from_utf8(bytes).expect("text")
    };
    let pairs = named
        .map(|(_, pairs)| pairs.split(';'))
        .into_iter()
        .flatten();
    let pairs = pairs.filter_map(|pair| pair.split_once(':'));
    let origins = pairs.map(|(name, value)| (text(name), text(value)));
    Outcome::new(status, origins.collect(), body.to_owned())
}

fn of_cloudflared(exchange: &Exchange) -> Outcome {
    let headers = &exchange.answer_headers;
    outcome(exchange.status, headers, &exchange.answer_body)
}

async fn replay_to_the_standin(vector: Vector) {
    let control: super::Vector = stored(FILE);
    let replay = Replay::start(control, vector.requests.clone()).await;
    let client = replay.site.client();
    for (asked, recorded) in VISITS.into_iter().zip(&vector.requests) {
        let answer = visit(&client, asked).await;
        of_cloudflared(recorded).reached(&answer);
    }
    replay.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_cloudflared_reach_visitors_of_the_stand_in() {
    replay_to_the_standin(stored(REQUESTS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_connector_answers_requests_of_the_stand_in_as_cloudflared_did() {
    let vector: Vector = stored(REQUESTS);
    let control: super::Vector = stored(FILE);
    let outcomes: Vec<_> = vector.requests.iter().map(of_cloudflared).collect();
    let origin = Origin::answering(outcomes.clone());
    let mut connected = Connected::start(&control, origin.clone()).await;
    for (recorded, theirs) in vector.requests.iter().zip(outcomes) {
        let request = recorded.request().map(BodyExt::boxed_unsync);
        let answer = connected.sender.send_request(request).await;
        let (head, body) = answer.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8_lossy(&body);
        let ours = outcome(head.status.as_u16(), &fields(&head.headers), &body);
        assert_eq!(ours, theirs, "{} {}", recorded.method, recorded.uri);
    }
    origin.saw_the_visits();
    connected.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudflared_that_is_at_hand_answers_requests_of_the_stand_in() {
    let endpoint = Endpoint::start("app").await;
    let site = Site::serving(&format!("http://{}", endpoint.address)).await;
    let edge = site.standin.edge().tunnel_addresses()[0];
    let recorder = RequestRecorder::start(&site.authority, edge).await;
    let Some(cloudflared) = Judge::start(&site, recorder.address, "http2").await else {
        return;
    };
    let client = site.client();
    for asked in VISITS {
        visit(&client, asked).await;
    }
    let vector = Vector {
        version: site.connections()[0].client_version.clone(),
        requests: recorder.exchanges(),
    };
    cloudflared.stop().await;
    assert_eq!(vector.requests.len(), VISITS.len());
    store(REQUESTS, &vector);
    replay_to_the_standin(vector).await;
}
