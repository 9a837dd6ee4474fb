//! What a failed call to the API server means.

use domain::ports::PortError;
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

/// Somebody else changed the object since it was read, or made one of that name.
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

/// Longest text of a failure that is told, in characters.
const LONGEST: usize = 512;

/// The failure as a sentence that says what was not done. Repeats nothing of an answer but the message of a failure.
pub(crate) fn told(error: &Error) -> String {
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
    PortError(format!("{doing}: {}", told(error)))
}
