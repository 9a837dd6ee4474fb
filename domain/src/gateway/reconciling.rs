//! Whether and when a Gateway is reconciled, as its annotations say.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FieldError, FieldErrorKind};
use crate::duration;
use crate::names::ObjectKey;
use crate::rotation::Request;

/// Annotation of a Gateway: `disabled` suspends it, any other value does not.
pub const RECONCILE_ANNOTATION: &str = "cloudflare-gateway-controller.io/reconcile";

/// Annotation of a Gateway: how often it is compared with the edge though nothing changes, as a duration such as `10m`.
pub const RECONCILE_EVERY_ANNOTATION: &str = "cloudflare-gateway-controller.io/reconcileEvery";

/// Annotation of a Gateway: each new value has it read and compared anew once. Any value does; the time is usual.
pub const RECONCILE_REQUEST_ANNOTATION: &str =
    "cloudflare-gateway-controller.io/reconcileRequestedAt";

/// The value of [`RECONCILE_ANNOTATION`] that suspends.
const DISABLED: &str = "disabled";

/// The least time between two comparisons of a Gateway that its annotations ask for: each costs several calls of an
/// account that others may share.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

/// The longest value of [`RECONCILE_EVERY_ANNOTATION`], in seconds: a year is as good as never.
const LONGEST: f64 = 366.0 * 86_400.0;

/// Longest part of a wrong value that a message shows.
const SHOWN: usize = 64;

/// What the annotations of a Gateway say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciling {
    /// Nothing is written for it, in the cluster and at the edge.
    pub is_suspended: bool,
    /// Its own time between comparisons with the edge; `None` for that of the controller.
    pub interval: Option<Duration>,
    /// The comparison that was asked for last.
    pub request: Option<Request>,
}

impl Reconciling {
    /// Of a Gateway with these annotations, and what is wrong with them.
    pub fn read(annotations: &BTreeMap<String, String>) -> (Self, Option<FieldError>) {
        let interval = annotations.get(RECONCILE_EVERY_ANNOTATION);
        let (interval, field_error) = match interval.map(|text| interval_of(text)) {
            None => (None, None),
            Some(Ok(interval)) => (Some(interval), None),
            Some(Err(field_error)) => (None, Some(field_error)),
        };
        let request = annotations.get(RECONCILE_REQUEST_ANNOTATION);
        let read = Self {
            is_suspended: is_suspended(annotations),
            interval,
            request: request.and_then(|value| Request::new(value)),
        };
        (read, field_error)
    }
}

/// How to let a Gateway go that is being deleted and of which something cannot be removed.
pub(crate) fn how_to_let_go(gateway: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = gateway;
    format!(
        "mend that, or leave what it has and let the object go: kubectl annotate --overwrite --namespace {namespace} gateway {name} {RECONCILE_ANNOTATION}={DISABLED}"
    )
}

/// Whether a Gateway with these annotations is suspended.
pub(crate) fn is_suspended(annotations: &BTreeMap<String, String>) -> bool {
    annotations
        .get(RECONCILE_ANNOTATION)
        .is_some_and(|value| value == DISABLED)
}

fn interval_of(text: &str) -> Result<Duration, FieldError> {
    let seconds = duration::seconds(text);
    let seconds =
        seconds.filter(|seconds| (SHORTEST_INTERVAL.as_secs_f64()..=LONGEST).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        let shown: String = text.chars().take(SHOWN).collect();
        FieldError {
            field: format!("metadata.annotations[{RECONCILE_EVERY_ANNOTATION}]"),
            kind: FieldErrorKind::Invalid,
            message: format!(
                "Invalid value: {shown:?}: must be a duration from 10s to 8784h, such as 10m or 1h30m; correct it, or remove the annotation"
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotation: &str, value: &str) -> (Reconciling, Option<FieldError>) {
        Reconciling::read(&BTreeMap::from([(annotation.to_owned(), value.to_owned())]))
    }

    #[test]
    fn only_disabled_suspends() {
        for (value, suspends) in [
            ("disabled", true),
            ("enabled", false),
            ("Disabled", false),
            ("disabled ", false),
            ("false", false),
            ("", false),
        ] {
            let (read, field_error) = read(RECONCILE_ANNOTATION, value);
            assert_eq!(
                (read.is_suspended, field_error),
                (suspends, None),
                "{value:?}"
            );
        }
    }

    #[test]
    fn an_interval_is_a_duration_within_its_bounds_and_else_named_with_the_remedy() {
        for (text, seconds) in [
            ("10s", 10),
            ("10m", 600),
            ("1h30m", 5400),
            ("8784h", 31_622_400),
        ] {
            let (read, field_error) = read(RECONCILE_EVERY_ANNOTATION, text);
            let interval = Some(Duration::from_secs(seconds));
            assert_eq!((read.interval, field_error), (interval, None), "{text}");
        }
        let long = "9".repeat(400) + "h";
        for text in [
            "", "soon", "0", "0s", "-10m", "9s", "1ms", "8785h", "10", &long,
        ] {
            let (read, field_error) = read(RECONCILE_EVERY_ANNOTATION, text);
            assert_eq!(read.interval, None, "{text}");
            let told = field_error.expect(text).to_string();
            assert!(told.starts_with("metadata.annotations[cloudflare-gateway-controller.io/reconcileEvery]: Invalid value: "), "{told}");
            assert!(
                told.contains("must be a duration from 10s to 8784h"),
                "{told}"
            );
            assert!(told.len() < 400, "{told}");
        }
    }

    #[test]
    fn any_value_but_an_empty_one_is_a_request() {
        assert_eq!(read(RECONCILE_REQUEST_ANNOTATION, "").0.request, None);
        assert_eq!(
            read(RECONCILE_REQUEST_ANNOTATION, "now").0.request,
            Request::new("now")
        );
        let long = "x".repeat(5000);
        let kept = read(RECONCILE_REQUEST_ANNOTATION, &long)
            .0
            .request
            .expect("a request");
        assert!(kept.to_string().len() < 100, "{kept}");
    }
}
