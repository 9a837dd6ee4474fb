//! What in a route cannot be served.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Refusal, listed, reserved};
use crate::capabilities::DataPlaneKind;
use crate::gateway::{FieldError, FieldErrorKind, PathMatch, Route, Rule, RulePolicy};
use crate::status::Reason;

/// A route as far as it can be served at all, whichever its parent.
pub(super) struct Validated {
    /// Without what its bad rules do: they keep their matches, so that no other rule takes their requests, and have neither
    /// filters nor backends, so that these get 500.
    pub(super) route: Arc<Route>,
    pub(super) verdict: Validity,
}

pub(super) enum Validity {
    Whole,
    /// Some of its rules are bad, and why.
    WithoutRules(Refusal),
    /// All of its rules are, and why: it is refused. Its matches are kept all the same, so that no other route takes its
    /// requests.
    WithoutAnyRule(Refusal),
    Refused(Refusal),
}

impl Validated {
    /// Judges a route by this data plane. All fields that cannot be served are told, so that none is ignored.
    pub(super) fn of(route: &Arc<Route>, data_plane: DataPlaneKind) -> Self {
        let verdict = |verdict| Self {
            route: Arc::clone(route),
            verdict,
        };
        let field_errors = field_errors(route, data_plane);
        if field_errors.is_empty() {
            return verdict(Validity::Whole);
        }
        let told = listed(field_errors.iter().map(ToString::to_string));
        let refusal = |message| Refusal::new(Reason::UnsupportedValue, message);
        let rules: Option<BTreeSet<usize>> = field_errors.iter().map(droppable_rule).collect();
        let Some(rules) = rules else {
            return verdict(Validity::Refused(refusal(format!("{route}: {told}"))));
        };
        let told = format!("{route}: {told}; its requests get 500");
        Self {
            route: Arc::new(without(route, &rules)),
            verdict: match rules.len() < route.rules.len() {
                // The first words are those of the Gateway API (`RouteConditionPartiallyInvalid`).
                true => Validity::WithoutRules(refusal(format!("Dropped Rule: {told}"))),
                false => Validity::WithoutAnyRule(refusal(told)),
            },
        }
    }
}

fn field_errors(route: &Route, data_plane: DataPlaneKind) -> Vec<FieldError> {
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
    field_errors.sort();
    field_errors
}

/// The rule that can be left out for an error. `None` where it is not of one rule alone, or of the rule's matches: whose
/// requests are to get an error is not known then.
fn droppable_rule(error: &FieldError) -> Option<usize> {
    let (index, field) = error.field.strip_prefix("spec.rules[")?.split_once(']')?;
    let is_of_matches = field.is_empty() || field.starts_with(".matches");
    index.parse().ok().filter(|_| !is_of_matches)
}

fn without(route: &Route, rules: &BTreeSet<usize>) -> Route {
    let mut left = route.clone();
    for (index, rule) in left.rules.iter_mut().enumerate() {
        if rules.contains(&index) {
            rule.filters.clear();
            rule.backends.clear();
            rule.policy = RulePolicy::default();
        }
    }
    left
}

/// ReplacePrefixMatch replaces the prefix that the rule matched, so the rule must have exactly one match,
/// by prefix (Gateway API, validation rules of `HTTPRouteRule`).
fn prefix_without_match(rule: &Rule, index: usize) -> impl Iterator<Item = FieldError> {
    let by_one_prefix =
        matches!(rule.matches.as_slice(), [only] if matches!(only.path, PathMatch::Prefix(_)));
    let at = format!("spec.rules[{index}]");
    let of_rule = rule.filters.iter().map(move |filter| (at.clone(), filter));
    let of_backends = rule.backends.iter();
    let of_backends =
        of_backends.flat_map(|b| b.filters.iter().map(|filter| (b.field.clone(), filter)));
    let filters = of_rule.chain(of_backends).filter(move |_| !by_one_prefix);
    filters.filter_map(|(at, filter)| {
        Some(FieldError {
            field: format!("{at}.filters.{}", filter.prefix_field()?),
            kind: FieldErrorKind::Invalid,
            message:
                "Invalid value: \"ReplacePrefixMatch\": must be in a rule with exactly one match, of type PathPrefix: split the rule"
                    .to_owned(),
        })
    })
}
