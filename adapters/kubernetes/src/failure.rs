//! What a failed call to the API server means.

use std::time::Duration;

use domain::ports::{PortError, PortErrorKind};
use kube::Error;

/// HTTP status of an answer of the API server, `None` where it did not answer.
fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// The object, or the whole kind, is not there.
pub(crate) fn is_absent(error: &Error) -> bool {
    code(error) == Some(404)
}

/// The object was changed since it was read, or another one of that name was made.
pub(crate) fn is_conflict(error: &Error) -> bool {
    code(error) == Some(409)
}

/// The resource version is too old to be watched from (410 Gone).
pub(crate) fn is_expired(error: &Error) -> bool {
    code(error) == Some(410)
}

/// The API server answered, so it is there and this call is wrong or not permitted.
pub(crate) fn is_answered(error: &Error) -> bool {
    code(error).is_some_and(|code| (400..500).contains(&code) && code != 429)
}

/// The API server does not know the kind, or does not permit the call.
pub(crate) fn is_refused(error: &Error) -> bool {
    matches!(code(error), Some(403 | 404))
}

fn kind(error: &Error) -> PortErrorKind {
    match code(error) {
        Some(401 | 403) => PortErrorKind::Forbidden,
        Some(404 | 410) => PortErrorKind::NotFound,
        Some(409) => PortErrorKind::Conflict,
        Some(429) => PortErrorKind::RateLimited,
        Some(400..=499) => PortErrorKind::Invalid,
        _ => PortErrorKind::Unavailable,
    }
}

/// The least time to the next attempt where a permission must be given or the request must change.
const UNTIL_CHANGED: Duration = Duration::from_secs(10);

/// What the API server says in `details.retryAfterSeconds`.
fn retry_after(error: &Error) -> Option<Duration> {
    let Error::Api(status) = error else {
        return None;
    };
    let details = status.details.as_ref();
    let seconds = details.map_or(0, |details| details.retry_after_seconds);
    match kind(error) {
        _ if seconds > 0 => Some(Duration::from_secs(seconds.into())),
        PortErrorKind::Forbidden | PortErrorKind::Invalid => Some(UNTIL_CHANGED),
        _ => None,
    }
}

/// Longest text of a failure in a message, in characters.
const LONGEST: usize = 512;

/// The failure as a sentence that says what was not done. Repeats nothing of an answer but the message of a failure.
pub fn told(error: &Error) -> String {
    let text = match error {
        Error::Api(status) => status.message.clone(),
        // Their own words quote what was read.
        Error::SerdeError(_) | Error::FromUtf8(_) => {
            "the API server's answer cannot be read".to_owned()
        }
        // Its sources say which part of the connection failed.
        error => with_sources(error),
    };
    text.chars().take(LONGEST).collect()
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = deeper.source();
    }
    text
}

/// A port's error about something that was being done, e.g. `reading Gateway default/web`.
pub(crate) fn port_error(doing: impl std::fmt::Display, error: &Error) -> PortError {
    PortError {
        kind: kind(error),
        message: format!("{doing}: {}", told(error)),
        retry_after: retry_after(error),
    }
}

/// One error for several: all messages, the kind of the first, and the longest time of those that may pass by
/// themselves, or else of all.
///
/// # Errors
/// There is one at least.
pub(crate) fn all(errors: Vec<PortError>) -> Result<(), PortError> {
    let Some(first) = errors.first() else {
        return Ok(());
    };
    let kind = first.kind;
    let may_pass = errors.iter().any(|error| error.kind.is_transient());
    let decisive = errors
        .iter()
        .filter(|error| error.kind.is_transient() == may_pass);
    let retry_after = decisive.filter_map(|error| error.retry_after).max();
    let messages: Vec<_> = errors.into_iter().map(|error| error.message).collect();
    Err(PortError {
        kind,
        message: messages.join("; "),
        retry_after,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_errors_are_one_that_waits_for_those_that_may_pass() {
        let of = |kind, message: &str, seconds: u64| PortError {
            kind,
            message: message.to_owned(),
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds)),
        };
        let forbidden = of(PortErrorKind::Forbidden, "one", 10);
        let limited = of(PortErrorKind::RateLimited, "two", 3);
        let unavailable = of(PortErrorKind::Unavailable, "three", 0);
        for (errors, expected) in [
            (vec![], Ok(())),
            (vec![forbidden.clone()], Err(forbidden.clone())),
            (
                vec![forbidden.clone(), limited],
                Err(of(PortErrorKind::Forbidden, "one; two", 3)),
            ),
            (
                vec![forbidden, unavailable],
                Err(of(PortErrorKind::Forbidden, "one; three", 0)),
            ),
        ] {
            assert_eq!(all(errors), expected);
        }
    }

    #[test]
    fn an_answer_of_the_api_server_keeps_its_kind_and_the_time_to_come_back() {
        for (code, seconds, kind, expected) in [
            (401, 0, PortErrorKind::Forbidden, 10),
            (403, 0, PortErrorKind::Forbidden, 10),
            (403, 3, PortErrorKind::Forbidden, 3),
            (404, 0, PortErrorKind::NotFound, 0),
            (409, 0, PortErrorKind::Conflict, 0),
            (410, 0, PortErrorKind::NotFound, 0),
            (422, 0, PortErrorKind::Invalid, 10),
            (429, 9, PortErrorKind::RateLimited, 9),
            (500, 0, PortErrorKind::Unavailable, 0),
            (504, 2, PortErrorKind::Unavailable, 2),
        ] {
            let status = json!({
                "code": code,
                "message": "no",
                "details": { "retryAfterSeconds": seconds },
            });
            let status = serde_json::from_value(status).expect("a status");
            let error = port_error("reading it", &Error::Api(Box::new(status)));
            let expected = PortError {
                kind,
                message: "reading it: no".to_owned(),
                retry_after: (expected > 0).then(|| Duration::from_secs(expected)),
            };
            assert_eq!(error, expected, "{code}");
        }
    }
}
