//! What in a route cannot be served.

use regex::Regex;

use super::{Refusal, listed};
use crate::gateway::{
    Defect, DefectKind, Filter, HttpPathModifier, PathMatch, Route, RouteKind, RouteMatch, Rule,
    TextMatch,
};
use crate::status::Reason;

/// Why a route is refused at every parent: all fields that cannot be served, so that none is ignored.
pub(super) fn refusal(route: &Route) -> Option<Refusal> {
    let mut faults = route.defects.clone();
    for (i, rule) in route.rules.iter().enumerate() {
        let field = format!("spec.rules[{i}]");
        for (j, rule_match) in rule.matches.iter().enumerate() {
            let field = format!("{field}.matches[{j}]");
            broken_patterns(route.kind, rule_match, &field, &mut faults);
        }
        faults.extend(prefix_without_match(rule, &field));
    }
    if faults.is_empty() {
        return None;
    }
    faults.sort();
    let faults = listed(faults.iter().map(ToString::to_string));
    let message = format!("{} {}: {faults}", route.kind.as_str(), route.key);
    Some(Refusal::new(Reason::UnsupportedValue, message))
}

fn broken_patterns(
    kind: RouteKind,
    rule_match: &RouteMatch,
    field: &str,
    faults: &mut Vec<Defect>,
) {
    let path_field = match kind {
        RouteKind::Http => "path.value",
        RouteKind::Grpc => "method",
    };
    let mut check = |field: String, pattern: &str| {
        if let Some(problem) = pattern_problem(pattern) {
            faults.push(invalid(field, problem));
        }
    };
    if let PathMatch::Regex(pattern) = &rule_match.path {
        check(format!("{field}.{path_field}"), pattern);
    }
    for header in &rule_match.headers {
        if let TextMatch::Regex(pattern) = &header.value {
            check(format!("{field}.headers[{}].value", header.name), pattern);
        }
    }
    for param in &rule_match.query {
        if let TextMatch::Regex(pattern) = &param.value {
            check(
                format!("{field}.queryParams[{}].value", param.name),
                pattern,
            );
        }
    }
}

/// A pattern is matched against the whole text, so it must compile on its own and between anchors: `a)(b`
/// does only the latter, and one that grows too large may do only the former.
fn pattern_problem(pattern: &str) -> Option<String> {
    let anchored = format!("^(?:{pattern})$");
    let error = Regex::new(pattern)
        .and_then(|_| Regex::new(&anchored))
        .err()?;
    let text = error.to_string();
    let cause = text.lines().last().unwrap_or_default().trim();
    Some(format!(
        "{pattern:?} is not a regular expression ({cause}); RE2 syntax is expected"
    ))
}

/// ReplacePrefixMatch replaces the prefix that the rule matched, so the rule must have exactly one match,
/// by prefix (Gateway API, validation rule of `HTTPRouteRule`).
fn prefix_without_match(rule: &Rule, field: &str) -> Option<Defect> {
    let replaces_prefix = rule.filters.iter().any(|filter| match filter {
        Filter::Redirect(redirect) => matches!(redirect.path, Some(HttpPathModifier::Prefix(_))),
        Filter::RequestHeaders(_) => false,
    });
    let by_one_prefix =
        matches!(rule.matches.as_slice(), [only] if matches!(only.path, PathMatch::Prefix(_)));
    (replaces_prefix && !by_one_prefix).then(|| {
        invalid(
            format!("{field}.filters.requestRedirect.path"),
            "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix; split the rule"
                .to_owned(),
        )
    })
}

fn invalid(field: String, message: String) -> Defect {
    Defect {
        field,
        kind: DefectKind::Invalid,
        message,
    }
}
