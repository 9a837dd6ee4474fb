//! What every answer of the API looks like.
//! Cloudflare documentation: "Make API calls", section on responses.

use std::collections::HashMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a handler returns.
pub(super) type Answer = Result<Reply, ApiError>;

/// Query parameters by name.
pub(super) type Params = HashMap<String, String>;

/// A successful answer.
pub(super) struct Reply {
    result: Value,
    messages: Vec<Value>,
    page: Option<Value>,
}

impl Reply {
    /// With one object.
    pub(super) fn one(result: Value) -> Self {
        Self {
            result,
            messages: Vec::new(),
            page: None,
        }
    }

    /// One page of a list, with `result_info`.
    pub(super) fn page<T>(items: &[T], page: Page, show: impl Fn(&T) -> Value) -> Self {
        let total = items.len();
        let skipped = page.number.saturating_sub(1).saturating_mul(page.size);
        let shown: Vec<Value> = items
            .iter()
            .skip(skipped)
            .take(page.size)
            .map(show)
            .collect();
        let info = json!({
            "page": page.number,
            "per_page": page.size,
            "count": shown.len(),
            "total_count": total,
            "total_pages": total.div_ceil(page.size),
        });
        Self {
            result: Value::Array(shown),
            messages: Vec::new(),
            page: Some(info),
        }
    }

    /// The same with a message.
    pub(super) fn saying(mut self, code: u32, message: &str) -> Self {
        let message = json!({ "code": code, "message": message, "type": null });
        self.messages.push(message);
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut body = json!({
            "success": true,
            "errors": [],
            "messages": self.messages,
            "result": self.result,
        });
        if let Some(page) = self.page {
            body["result_info"] = page;
        }
        Json(body).into_response()
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Reads `page` and `per_page`; a size outside the limits is brought within them.
    pub(super) fn read(
        params: &Params,
        default_size: usize,
        largest: usize,
    ) -> Result<Self, ApiError> {
        let number =
            |key: &str, default: usize| match params.get(key) {
                None => Ok(default),
                Some(text) => text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                    ApiError::bad_request(1_001, format!("Invalid value for {key}"))
                }),
            };
        Ok(Self {
            number: number("page", 1)?,
            size: number("per_page", default_size)?.min(largest),
        })
    }
}

/// A refusal.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    errors: Vec<Value>,
    retry_after: Option<u64>,
}

impl ApiError {
    /// With one code.
    pub(super) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status,
            errors: vec![json!({ "code": code, "message": message })],
            retry_after: None,
        }
    }

    /// Status 400.
    pub(super) fn bad_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The same with a cause under the first error.
    pub(super) fn because(mut self, code: u32, message: &str) -> Self {
        if let Some(first) = self.errors.first_mut() {
            first["error_chain"] = json!([{ "code": code, "message": message }]);
        }
        self
    }

    /// No such path, or an id in it of the wrong form.
    pub(super) fn no_route(path: &str) -> Self {
        let text = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let mut error = Self::new(StatusCode::NOT_FOUND, 7_003, text);
        error
            .errors
            .push(json!({ "code": 7_000, "message": "No route for that URI" }));
        error
    }

    /// The token lacks the permission.
    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, 10_000, "Authentication error")
    }

    /// Too many calls.
    pub(super) fn rate_limited(seconds: u64) -> Self {
        let text = "Please wait and consider throttling your request speed";
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, 971, text)
        }
    }

    /// A body that is not what the call takes.
    pub(super) fn bad_body() -> Self {
        Self::bad_request(9_207, "Request body is invalid.")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "success": false,
            "errors": self.errors,
            "messages": [],
            "result": null,
        });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// Fields of a JSON object, typed. `null` counts as absent; a wrong type is an error.
pub(super) struct Fields<'a>(&'a serde_json::Map<String, Value>);

impl<'a> Fields<'a> {
    /// Of a value that must be an object.
    pub(super) fn of(value: &'a Value) -> Result<Self, ApiError> {
        value.as_object().map(Self).ok_or_else(ApiError::bad_body)
    }

    /// The value, unless absent or `null`.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it with `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Text.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ApiError> {
        self.typed(key, |value| value.as_str().map(str::to_owned))
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ApiError> {
        self.typed(key, Value::as_bool)
    }

    /// A whole number that is not negative.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        self.typed(key, |value| {
            let whole = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0)?;
            value
                .as_u64()
                .or_else(|| format!("{whole:.0}").parse().ok())
        })
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ApiError> {
        self.typed(key, |value| {
            let items = value.as_array()?.iter();
            items.map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let read = |value| read(value).ok_or_else(ApiError::bad_body);
        self.get(key).map(read).transpose()
    }
}

/// Reads a JSON body; an empty one is an empty object.
pub(super) fn read_body(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(bytes).map_err(|_| ApiError::bad_body())
}
