//! Pushing a tunnel's remote configuration to its connectors.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{BoxError, full};
use super::headers::{PROXY_UPGRADE, UPGRADE_CONFIGURATION};
use super::registry::{Confirmation, Connection, Phase, SendFailure};
use crate::cloud::{Cloud, TunnelConfiguration};

/// How long a connector may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait after a push that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// An answer is two short fields.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The connector's answer over HTTP/2. `err` is whatever its JSON encoder made of an error: with
/// cloudflared an empty object.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "lastAppliedVersion")]
    last_applied_version: i32,
    #[serde(default)]
    err: Value,
}

/// Pushes every version that the tunnel's configuration takes, as long as the connection lives. The
/// connection starts to serve when the first push was answered, or there was nothing to push: a
/// connector without configuration could only answer 503.
pub(super) async fn keep_current(connection: Arc<Connection>, cloud: Arc<Cloud>) {
    let mut changes = cloud.watch();
    let mut pushed = None;
    loop {
        changes.borrow_and_update();
        let current = cloud.configuration(connection.record.tunnel);
        if let Some(new) = current.filter(|c| pushed.is_none_or(|version| version < c.version)) {
            match push(&connection, &new).await {
                Ok(confirmation) => {
                    note(&cloud, &connection, new.version, &confirmation);
                    connection.confirm(confirmation);
                    pushed = Some(new.version);
                }
                Err(error) => {
                    tracing::debug!(connection = %connection.id(), %error, "configuration push");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        connection.enter(Phase::Serving);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn note(cloud: &Cloud, connection: &Connection, pushed: i32, confirmation: &Confirmation) {
    if confirmation.version == pushed && confirmation.error.is_none() {
        return;
    }
    let what = format!(
        "configuration {pushed} pushed to connection {}, which runs {} ({})",
        connection.record.index,
        confirmation.version,
        confirmation.error.as_deref().unwrap_or("no error"),
    );
    cloud.record_edge_event(Some(connection.record.tunnel), what);
}

async fn push(
    connection: &Connection,
    configuration: &TunnelConfiguration,
) -> Result<Confirmation, BoxError> {
    let document = json!({
        "version": configuration.version,
        "config": configuration.document,
    });
    let request = Request::put("https://h2.cftunnel.com/")
        .header(PROXY_UPGRADE, UPGRADE_CONFIGURATION)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(full(document.to_string()))?;
    tokio::time::timeout(ANSWER_WITHIN, exchange(connection, request)).await?
}

async fn exchange(
    connection: &Connection,
    request: Request<super::body::Body>,
) -> Result<Confirmation, BoxError> {
    let response = match connection.send(request).await {
        Ok(response) => response,
        Err(SendFailure::StreamFailed(error)) => return Err(error.into()),
        Err(_) => return Err("the connection has ended".into()),
    };
    if response.status() != http::StatusCode::OK {
        return Err(format!("answered {}", response.status()).into());
    }
    let body = Limited::new(response.into_body(), ANSWER_LIMIT);
    let answer: Answer = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    Ok(Confirmation {
        version: answer.last_applied_version,
        error: (!answer.err.is_null()).then(|| answer.err.to_string()),
    })
}
