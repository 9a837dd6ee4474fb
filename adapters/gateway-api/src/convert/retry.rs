//! `retry` of a rule (GEP-1731).

use domain::capabilities::Feature;
use domain::gateway::Retry;

use super::text;
use crate::fields::Fields;
use crate::types::HTTPRouteRetry;

/// Attempts where none are written (Gateway API, `HTTPRouteRetry.attempts`).
const DEFAULT_ATTEMPTS: u32 = 1;

/// `rule.retry` at `field`. What cannot be acted upon in it is a field error.
pub(super) fn retry(fields: &Fields, field: &str, written: &HTTPRouteRetry) -> Retry {
    fields.uses(Feature::HTTPRouteRetryCodes, field);
    let code = |(index, code): (usize, &i64)| {
        let known = u16::try_from(*code).ok();
        let known = known.filter(|code| (400..=599).contains(code));
        if known.is_none() {
            fields.invalid(
                format!("{field}.codes[{index}]"),
                format!("Invalid value: {code}: must be between 400 and 599"),
            );
        }
        known
    };
    let codes = written.codes.iter().enumerate().filter_map(code);
    let mut codes: Vec<u16> = codes.collect();
    codes.sort_unstable();
    codes.dedup();
    codes.shrink_to_fit();
    let backoff = written.backoff.as_ref();
    Retry {
        codes,
        attempts: attempts(fields, format!("{field}.attempts"), written.attempts),
        backoff: backoff
            .and_then(|backoff| text::duration(fields, format!("{field}.backoff"), backoff)),
    }
}

fn attempts(fields: &Fields, field: String, written: Option<i64>) -> u32 {
    let Some(written) = written else {
        return DEFAULT_ATTEMPTS;
    };
    match u32::try_from(written) {
        Ok(attempts) if attempts <= Retry::MOST_ATTEMPTS => return attempts,
        Ok(_) => fields.unsupported(
            field,
            format!(
                "Invalid value: {written}: must be at most {}; lower it",
                Retry::MOST_ATTEMPTS
            ),
        ),
        Err(_) => fields.invalid(
            field,
            format!("Invalid value: {written}: must be at least 0"),
        ),
    }
    DEFAULT_ATTEMPTS
}
