//! Documents in, documents and problems out.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::ObjectKey;
use domain::broker::ClusterName;
use domain::broker::held::{Done, Held};
use domain::broker::ports::StoreError;
use domain::edge::{Changes, EdgeStatus};
use domain::ports::PortError;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::{ClusterPlane, LONGEST_WAIT};
use crate::openapi::texts::Number;
use crate::problem::{self, ApiError, Problem};
use crate::wire::{LARGEST_INTENT, PendingDocument, StatusDocument};

/// How long a document may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement that was tried in vain waits for the next try, so that a failure that is over is not told again. The cluster
/// does nothing for its other Gateways meanwhile.
const WAIT_FOR_ANOTHER_TRY: Duration = Duration::from_secs(3);

/// How often a status is looked at of whose change nobody told.
const LOOKS: Duration = Duration::from_secs(1);

impl ClusterPlane {
    /// What came of a statement, as soon as that is known: of this version, by a piece of work after so many.
    pub(super) async fn answer(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        awaited: Awaited,
        wait: Duration,
    ) -> Result<Response, Problem> {
        match self.outcome(cluster, gateway, awaited, wait).await? {
            Some(done) => told(done),
            None => {
                let Awaited { version, after } = awaited;
                let pending = Json(PendingDocument { version, after });
                Ok((StatusCode::ACCEPTED, pending).into_response())
            }
        }
    }

    /// The same for what was tried in vain: where it is not tried again soon, what came of it before.
    pub(super) async fn answer_again(
        &self,
        cluster: &ClusterName,
        held: Held,
        awaited: Awaited,
        wait: Duration,
    ) -> Result<Response, Problem> {
        let wait = wait.min(WAIT_FOR_ANOTHER_TRY);
        let outcome = self.outcome(cluster, &held.gateway, awaited, wait).await?;
        told(outcome.or(held.done).expect("it was tried"))
    }

    async fn outcome(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        Awaited { version, after }: Awaited,
        wait: Duration,
    ) -> Result<Option<Done>, Problem> {
        let until = Instant::now() + wait;
        loop {
            // Before it is looked, so that no change is missed.
            let changed = self.store.changed();
            let Some(held) = self.store.held(cluster, gateway).await? else {
                return Ok(Some(Done {
                    version,
                    outcome: Ok(EdgeStatus::default()),
                    at: self.clock.now(),
                }));
            };
            let is_new = held.passes > after;
            let done = held.done.filter(|done| is_new && done.version >= version);
            if done.is_some() || Instant::now() >= until {
                return Ok(done);
            }
            // Whichever comes first: it is looked again.
            drop(tokio::time::timeout(LOOKS, changed).await);
        }
    }
}

/// What an answer waits for.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Awaited {
    /// The statement, by its version.
    #[param(inline, value_type = Number)]
    pub(super) version: u64,
    /// How many pieces of work there were before.
    #[param(inline, value_type = Number)]
    pub(super) after: u64,
}

/// `Prefer: wait=10` (RFC 7240, section 4.3), at most [`LONGEST_WAIT`], which is also the default.
pub(super) fn wait_of(headers: &HeaderMap) -> Duration {
    wait_preferred(headers).unwrap_or(LONGEST_WAIT)
}

/// The same without a default.
pub(super) fn wait_preferred(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("prefer").and_then(|value| value.to_str().ok());
    let preferences = text.into_iter().flat_map(|text| text.split(','));
    let mut waits = preferences.filter_map(|one| one.trim().strip_prefix("wait=")?.parse().ok());
    let wait = waits.next().map(Duration::from_secs);
    wait.map(|wait| wait.min(LONGEST_WAIT))
}

fn told(done: Done) -> Result<Response, Problem> {
    let version = done.version;
    done.outcome
        .map(|status| answered(version, status))
        .map_err(failed)
}

/// What is true already. What was done to make it so was told then.
pub(super) fn unchanged(held: &Held) -> Result<Response, Problem> {
    let done = held.done.clone();
    let mut done = done.expect("what is settled was done");
    if let Ok(status) = &mut done.outcome {
        status.changes = Changes::default();
        status.repaired.clear();
    }
    told(done)
}

fn answered(version: u64, status: EdgeStatus) -> Response {
    let mut response = Json(StatusDocument::of(status)).into_response();
    let etag =
        HeaderValue::try_from(format!("\"{version}\"")).expect("a number has no other letter");
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// Reads a document that may hold a secret: the message of a wrong value may repeat it, so it is left out.
pub(crate) async fn read_document<D: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<D, Problem> {
    read(headers, body, what).await
}

/// Reads a document without secrets.
pub(crate) async fn read_open_document<D: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<D, Problem> {
    read(headers, body, ToString::to_string).await
}

async fn read<D: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    what: impl Fn(&serde_json::Error) -> String,
) -> Result<D, Problem> {
    let bytes = read_bytes(headers, body).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column, what) = (error.line(), error.column(), what(&error));
        malformed(format!("line {line}, column {column}: {what}"))
    })
}

async fn read_bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_TYPE);
    let essence = declared.and_then(|value| value.to_str().ok()?.split(';').next());
    if !essence.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json")) {
        let detail = "declare the document as Content-Type: application/json";
        return Err(Problem::refused(ApiError::UnsupportedBody, detail));
    }
    let whole = Limited::new(body, LARGEST_INTENT).collect();
    let whole = match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(whole) => whole,
        Err(_) => {
            let detail = format!("send it within {} s", BODY_TIMEOUT.as_secs());
            return Err(Problem::refused(ApiError::TooSlow, detail));
        }
    };
    let bytes = whole.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let detail = format!("a document has {LARGEST_INTENT} bytes at most");
            Problem::refused(ApiError::TooLarge, detail)
        } else {
            Problem::refused(ApiError::MalformedDocument, "the document broke off")
        }
    })?;
    Ok(bytes.to_bytes())
}

fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let is_of_fields = ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|words| text.starts_with(words));
    match is_of_fields {
        true => text,
        false => "it is not the document that belongs there".to_owned(),
    }
}

pub(crate) fn malformed(error: impl std::fmt::Display) -> Problem {
    Problem::refused(ApiError::MalformedDocument, error.to_string())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands in map_err, which gives values"
)]
pub(crate) fn failed(error: PortError) -> Problem {
    Problem::failed(&error)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => Self::decided(&refusal),
            StoreError::Failed(message) => {
                tracing::error!(message, "a request failed");
                let detail = "the broker's store does not answer; try again later";
                Self::refused(ApiError::StoreUnavailable, detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let retry_after = self.retry_after_ms.map(|ms| ms.div_ceil(1000));
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static(problem::MEDIA_TYPE);
        headers.insert(header::CONTENT_TYPE, media_type);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For what is around the handlers.
        response.extensions_mut().insert(self);
        response
    }
}
