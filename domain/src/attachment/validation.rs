//! What in a route cannot be served.

use super::{Refusal, listed, reserved};
use crate::capabilities::DataPlaneKind;
use crate::gateway::{FieldError, FieldErrorKind, Filter, PathMatch, Route, Rule};
use crate::status::Reason;

/// Why a route is refused at every parent with this data plane: all fields that cannot be served, so that none is
/// ignored.
pub(super) fn refusal(route: &Route, data_plane: DataPlaneKind) -> Option<Refusal> {
    let mut field_errors = route.field_errors.clone();
    field_errors.extend(route.unserved(data_plane.serves()));
    field_errors.extend(route.hostnames.iter().filter_map(|hostname| {
        Some(FieldError {
            field: route.hostnames_field().to_owned(),
            kind: FieldErrorKind::Unsupported,
            message: reserved(hostname)?,
        })
    }));
    for (i, rule) in route.rules.iter().enumerate() {
        field_errors.extend(prefix_without_match(rule, i));
    }
    if field_errors.is_empty() {
        return None;
    }
    field_errors.sort();
    let field_errors = listed(field_errors.iter().map(ToString::to_string));
    let message = format!("{route}: {field_errors}");
    Some(Refusal::new(Reason::UnsupportedValue, message))
}

/// ReplacePrefixMatch replaces the prefix that the rule matched, so the rule must have exactly one match,
/// by prefix (Gateway API, validation rule of `HTTPRouteRule`).
fn prefix_without_match(rule: &Rule, index: usize) -> Option<FieldError> {
    let replaces_prefix = rule.filters.iter().any(Filter::replaces_prefix);
    let by_one_prefix =
        matches!(rule.matches.as_slice(), [only] if matches!(only.path, PathMatch::Prefix(_)));
    (replaces_prefix && !by_one_prefix).then(|| FieldError {
        field: format!("spec.rules[{index}].filters.requestRedirect.path"),
        kind: FieldErrorKind::Invalid,
        message:
            "Invalid value: \"ReplacePrefixMatch\": must be in a rule with exactly one match, of type PathPrefix: split the rule"
                .to_owned(),
    })
}
