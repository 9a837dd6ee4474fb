#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod oracle;
mod schedules;
mod states;

use crate::names::Timestamp;

/// RFC 3339.
fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_second())
}
