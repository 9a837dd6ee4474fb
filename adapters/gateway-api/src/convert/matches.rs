//! Matches of HTTPRoute rules.

use std::collections::HashSet;

use domain::capabilities::Feature;
use domain::gateway::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch};

use super::text;
use crate::fields::Fields;
use crate::types::{HTTPHeaderMatch, HTTPPathMatch, HTTPQueryParamMatch, HTTPRouteMatch};

/// Methods that a match may ask for (Gateway API, `HTTPMethod`).
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// The match for everything, which stands where none is written.
pub(crate) fn everything() -> RouteMatch {
    RouteMatch {
        path: PathMatch::Prefix("/".to_owned()),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    }
}

/// `rule.matches`. A match that cannot be read is noted and left out: leaving out only a part of it
/// would widen it. A rule may therefore be left without any, and then takes nothing.
pub(crate) fn matches(fields: &Fields, rule: &str, written: &[HTTPRouteMatch]) -> Vec<RouteMatch> {
    if written.is_empty() {
        return vec![everything()];
    }
    let one = |(index, written): (usize, &HTTPRouteMatch)| {
        http_match(fields, &format!("{rule}.matches[{index}]"), written)
    };
    let mut matches: Vec<_> = written.iter().enumerate().filter_map(one).collect();
    matches.shrink_to_fit();
    matches
}

/// Matches of all rules of a route (validation rule of `rules` in the Gateway API).
const MOST_MATCHES: usize = 128;

/// Notes a field error where the rules of a route have too many matches together.
pub(crate) fn check_sum(fields: &Fields, of_rules: impl Iterator<Item = usize>) {
    let sum: usize = of_rules.sum();
    if sum > MOST_MATCHES {
        fields.invalid(
            "spec.rules",
            format!(
                "Too many: {sum} matches: all rules together may have {MOST_MATCHES}; divide the route"
            ),
        );
    }
}

fn http_match(fields: &Fields, field: &str, written: &HTTPRouteMatch) -> Option<RouteMatch> {
    let path = match &written.path {
        None => Some(everything().path),
        Some(path) => path_match(fields, &format!("{field}.path"), path),
    };
    let headers = headers(fields, field, &written.headers);
    let query = query(fields, field, &written.query_params);
    if written.method.is_some() {
        fields.uses(Feature::HTTPRouteMethodMatching, format!("{field}.method"));
    }
    if !written.query_params.is_empty() {
        let used = Feature::HTTPRouteQueryParamMatching;
        fields.uses(used, format!("{field}.queryParams"));
    }
    if let Some(method) = &written.method
        && !METHODS.contains(&method.as_str())
    {
        fields.invalid(
            format!("{field}.method"),
            format!(
                "Unsupported value: {method:?}: write one of {}",
                METHODS.join(", ")
            ),
        );
    }
    Some(RouteMatch {
        path: path?,
        method: written.method.clone(),
        headers: headers?,
        query: query?,
    })
}

fn path_match(fields: &Fields, field: &str, written: &HTTPPathMatch) -> Option<PathMatch> {
    let value = written.value.as_deref().unwrap_or("/").to_owned();
    let value_field = || format!("{field}.value");
    match written.r#type.as_deref().unwrap_or("PathPrefix") {
        "Exact" => {
            text::absolute_path(fields, value_field(), &value);
            Some(PathMatch::Exact(value))
        }
        "PathPrefix" => {
            text::absolute_path(fields, value_field(), &value);
            Some(PathMatch::Prefix(value))
        }
        "RegularExpression" => text::pattern(fields, value_field(), &value).map(PathMatch::Regex),
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!(
                    "Unsupported value: {other:?}: write Exact, PathPrefix or RegularExpression"
                ),
            );
            None
        }
    }
}

/// `match.headers`. Of several with one name, whatever its case, the first counts.
pub(crate) fn headers(
    fields: &Fields,
    field: &str,
    written: &[HTTPHeaderMatch],
) -> Option<Vec<HeaderMatch>> {
    let mut seen = HashSet::new();
    let mut matches = Vec::with_capacity(written.len());
    for (index, header) in written.iter().enumerate() {
        let field = format!("{field}.headers[{index}]");
        let name = text::header_name(fields, format!("{field}.name"), &header.name);
        let value = text_match(fields, &field, header.r#type.as_deref(), &header.value);
        if seen.insert(name.clone()) {
            matches.push(value.map(|value| HeaderMatch { name, value }));
        }
    }
    matches.into_iter().collect()
}

fn query(fields: &Fields, field: &str, written: &[HTTPQueryParamMatch]) -> Option<Vec<QueryMatch>> {
    let mut seen = HashSet::new();
    let mut matches = Vec::with_capacity(written.len());
    for (index, parameter) in written.iter().enumerate() {
        let field = format!("{field}.queryParams[{index}]");
        fields.required(format!("{field}.name"), &parameter.name);
        let value = text_match(
            fields,
            &field,
            parameter.r#type.as_deref(),
            &parameter.value,
        );
        if seen.insert(&parameter.name) {
            let name = parameter.name.clone();
            matches.push(value.map(|value| QueryMatch { name, value }));
        }
    }
    matches.into_iter().collect()
}

fn text_match(fields: &Fields, field: &str, kind: Option<&str>, value: &str) -> Option<TextMatch> {
    match kind.unwrap_or("Exact") {
        "Exact" => Some(TextMatch::Exact(value.to_owned())),
        "RegularExpression" => {
            text::pattern(fields, format!("{field}.value"), value).map(TextMatch::Regex)
        }
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!("Unsupported value: {other:?}: write Exact or RegularExpression"),
            );
            None
        }
    }
}
