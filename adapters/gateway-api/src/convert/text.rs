//! Rules for single texts.

use std::time::Duration;

use domain::Hostname;
use domain::gateway::Pattern;

use crate::fields::Fields;

/// A hostname, `None` where none is written or the written one is noted as a field error.
pub(crate) fn hostname(fields: &Fields, field: String, text: Option<&str>) -> Option<Hostname> {
    let text = text.filter(|text| !text.is_empty())?;
    Hostname::parse(text)
        .map_err(|error| fields.invalid(field, error.to_string()))
        .ok()
}

/// A regular expression, `None` where it is noted as a field error. Here is where patterns are judged: an object is
/// read when it changes, and attachment looks at it whenever anything does.
pub(crate) fn pattern(fields: &Fields, field: String, text: &str) -> Option<Pattern> {
    fields
        .judge_pattern(text)?
        .map_err(|error| fields.invalid(field, error.to_string()))
        .ok()
}

/// A header name in lower case (RFC 9110, `token`). Notes a field error where it is malformed.
pub(crate) fn header_name(fields: &Fields, field: String, name: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        fields.invalid(
            field,
            format!("Invalid value: {name:?}: must be letters, digits and `-`"),
        );
    }
    name.to_ascii_lowercase()
}

/// A header value as it may be sent (RFC 9110, `field-value`). Notes a field error where it is malformed.
pub(crate) fn header_value(fields: &Fields, field: String, value: &str) -> String {
    if value
        .bytes()
        .any(|byte| byte != b'\t' && byte.is_ascii_control())
    {
        fields.invalid(field, "it holds a control character; remove it");
    }
    value.to_owned()
}

/// A duration of the Gateway API (GEP-2257): one to four numbers of at most five digits, each with its unit. `None` where
/// it is noted as a field error.
pub(crate) fn duration(fields: &Fields, field: String, text: &str) -> Option<Duration> {
    let duration = parsed_duration(text);
    if duration.is_none() {
        fields.invalid(
            field,
            format!(
                "Invalid value: {text:?}: must be one to four whole numbers with the unit h, m, s or ms, such as 1h30m, \
                 10s or 500ms"
            ),
        );
    }
    duration
}

fn parsed_duration(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = text;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = rest.split_at(digits);
        let number: u64 = number.parse().ok().filter(|_| digits <= 5)?;
        let end = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        sum += match unit {
            "h" => Duration::from_secs(number * 60 * 60),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        rest = after;
        if rest.is_empty() {
            return Some(sum);
        }
    }
    None
}

/// Checks a path that is compared byte by byte (validation of `HTTPPathMatch` in the Gateway API).
pub(crate) fn absolute_path(fields: &Fields, field: String, path: &str) {
    const NEVER_INSIDE: [&str; 5] = ["//", "/./", "/../", "#", "%2f"];
    if !path.starts_with('/') {
        fields.invalid(
            field,
            format!("Invalid value: {path:?}: must start with `/`"),
        );
        return;
    }
    let lower = path.to_ascii_lowercase();
    let inside = NEVER_INSIDE.iter().find(|text| lower.contains(**text));
    let at_the_end = ["/..", "/."].iter().find(|text| path.ends_with(**text));
    if let Some(text) = inside.or(at_the_end) {
        fields.invalid(
            field,
            format!("Invalid value: {path:?}: must not hold `{text}`"),
        );
    } else if !is_path(path) {
        fields.invalid(
            field,
            format!(
                "Invalid value: {path:?}: must be written as in a URL: letters, digits and -._~!$&'()*+,;=:@, all else as %XX, such as \
                 %20 for a space; a query is matched by queryParams"
            ),
        );
    }
}

/// Whether a path holds only what paths of URLs do (RFC 3986, `pchar`).
fn is_path(path: &str) -> bool {
    let mut pieces = path.split('%');
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte))
    };
    let escaped =
        |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    pieces.next().is_none_or(plain) && pieces.all(|piece| escaped(piece) && plain(piece))
}
