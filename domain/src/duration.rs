//! Durations as Go writes them, which is how Kubernetes writes them: `10m`, `1h30m`, `500ms`.

/// The units, in seconds; those that begin like another one come before it.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("h", 3600.0),
    ("m", 60.0),
    ("s", 1.0),
];

/// The seconds of a duration, as Go's `time.ParseDuration` reads it; `None` for any other text.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let mut units = UNITS.into_iter();
        let unit = units.find_map(|(unit, length)| Some((after.strip_prefix(unit)?, length)));
        let (after, length) = unit?;
        seconds += number * length;
        rest = after;
    }
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("10m", Some(600.0)),
            ("1h30m", Some(5400.0)),
            ("1.5h", Some(5400.0)),
            (".5s", Some(0.5)),
            ("1500ms", Some(1.5)),
            ("2us", Some(2e-6)),
            ("+5s", Some(5.0)),
            ("-5s", Some(-5.0)),
            ("0", Some(0.0)),
            ("-0", Some(0.0)),
            ("0s", Some(0.0)),
            ("", None),
            ("-", None),
            ("10", None),
            ("10 m", None),
            (" 10m", None),
            ("10d", None),
            (".s", None),
            ("1..5s", None),
            ("m", None),
            ("1e3s", None),
            ("10m5", None),
            ("inf", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }
}
