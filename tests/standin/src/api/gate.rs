//! What every call passes: the log, the faults that are set, authentication and the rate limit.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::caller::Presented;
use super::envelope::ApiError;
use crate::cloud::{Call, Cloud, Effect, Failure, Stage};

/// Marks a response that must not be sent: the server closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut;

/// How long a silent call is silent.
const SILENCE: Duration = Duration::from_secs(3_600);

/// The middleware.
pub(super) async fn gate(State(cloud): State<Cloud>, request: Request, next: Next) -> Response {
    let arrived = Timestamp::now();
    let presented = Presented::read(request.headers(), &cloud);
    let method = request.method().as_str();
    let n = cloud.call_arrived(Call {
        n: 0,
        time: arrived,
        method: method.to_owned(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: None,
        token: presented.token_id(),
        write: !matches!(method, "GET" | "HEAD" | "OPTIONS"),
    });
    let response = pass(&cloud, presented, request, next).await;
    if response.extensions().get::<Cut>().is_none() {
        cloud.call_answered(n, arrived, response.status().as_u16());
    }
    response
}

async fn pass(cloud: &Cloud, presented: Presented, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let effect = cloud.effect_on(request.method().as_str(), &path);
    match effect {
        Some(Effect::Slow { milliseconds }) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
        Some(Effect::RateLimited { retry_after }) => {
            return ApiError::rate_limited(retry_after).into_response();
        }
        Some(Effect::Fail {
            stage: Stage::BeforeCommit,
            failure,
        }) => return fail(failure).await,
        _ => {}
    }
    let caller = match presented.accept(&path) {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    if let Err(wait) = cloud.spend(&caller.0.id) {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        return ApiError::rate_limited(Duration::from_secs_f64(seconds).as_secs()).into_response();
    }
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    match effect {
        Some(Effect::Fail {
            stage: Stage::AfterCommit,
            failure,
        }) => fail(failure).await,
        Some(Effect::EmptyPage) => rewritten(response, |body| body["result"] = json!([])).await,
        Some(Effect::TotalCount(total)) => rewritten(response, |body| distort(body, total)).await,
        _ => response,
    }
}

async fn fail(failure: Failure) -> Response {
    match failure {
        Failure::ServerError => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return ApiError::new(status, 10_001, "Internal error").into_response();
        }
        Failure::CutConnection => {}
        Failure::Silence => tokio::time::sleep(SILENCE).await,
    }
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(Cut);
    response
}

fn distort(body: &mut Value, total: u64) {
    let size = body["result_info"]["per_page"].as_u64().unwrap_or(1);
    body["result_info"]["total_count"] = json!(total);
    body["result_info"]["total_pages"] = json!(total.div_ceil(size.max(1)));
}

/// Changes the JSON of a list; other answers stay.
async fn rewritten(response: Response, change: impl FnOnce(&mut Value)) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            let text = error.to_string();
            return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
        }
    };
    let text = match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut json) if json.get("result_info").is_some() => {
            change(&mut json);
            json.to_string().into()
        }
        _ => bytes,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}
