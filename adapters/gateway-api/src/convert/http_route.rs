//! HTTPRoute.

use domain::ObjectKey;
use domain::gateway::{Filter, Route, RouteKind, Rule};

use super::{filters, matches, references};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{HTTPRouteRule, HTTPRouteSpec};

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<Route, ReadError> {
    let spec: HTTPRouteSpec = fields.read("spec")?;
    let key = header.key();
    // A route without rules has one that takes everything (Gateway API, `HTTPRouteSpec.rules`).
    let rules = spec.rules.unwrap_or_else(|| vec![HTTPRouteRule::default()]);
    matches::check_sum(fields, rules.iter().map(|rule| rule.matches.len()));
    let rules = rules
        .iter()
        .enumerate()
        .map(|(index, written)| rule(fields, &format!("spec.rules[{index}]"), written, &key));
    Ok(Route {
        kind: RouteKind::Http,
        generation: header.metadata.generation,
        created: header.created(fields)?,
        parents: references::parents(fields, &spec.parent_refs, &key),
        hostnames: references::hostnames(fields, &spec.hostnames),
        rules: rules.collect(),
        pattern_room: fields.pattern_room(),
        key,
        defects: fields.defects(),
    })
}

fn rule(fields: &Fields, field: &str, written: &HTTPRouteRule, own: &ObjectKey) -> Rule {
    let matches = matches::matches(fields, field, &written.matches);
    let filters = filters::http_filters(fields, field, &written.filters, &matches);
    let redirects = filters.iter().any(|f| matches!(f, Filter::Redirect(_)));
    if redirects && !written.backend_refs.is_empty() {
        fields.invalid(
            format!("{field}.backendRefs"),
            "the rule redirects, so no request reaches a backend; remove one of the two",
        );
    }
    Rule {
        backends: references::backends(fields, field, &written.backend_refs, own),
        matches,
        filters,
    }
}
