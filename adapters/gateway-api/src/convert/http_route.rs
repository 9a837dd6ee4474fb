//! HTTPRoute.

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{Filter, Route, RouteKind, Rule, RulePolicy, Timeouts};

use super::{filters, matches, references, text};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{HTTPRouteRule, HTTPRouteSpec, HTTPRouteTimeouts};

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<Route, ReadError> {
    let spec: HTTPRouteSpec = fields.read("spec")?;
    let key = header.key();
    if spec.use_default_gateways.is_some() {
        fields.uses(Feature::DefaultGateways, "spec.useDefaultGateways");
    }
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
        uses: fields.used(),
        key,
        defects: fields.defects(),
    })
}

fn rule(fields: &Fields, field: &str, written: &HTTPRouteRule, own: &ObjectKey) -> Rule {
    let matches = matches::matches(fields, field, &written.matches);
    let filters = filters::of_rule(fields, field, &written.filters, RouteKind::Http);
    let redirects = filters.iter().any(|f| matches!(f, Filter::Redirect(_)));
    if redirects && !written.backend_refs.is_empty() {
        fields.invalid(
            format!("{field}.backendRefs"),
            "the rule redirects, so no request reaches a backend; remove one of the two",
        );
    }
    for (value, feature, member) in [
        (&written.retry, Feature::HTTPRouteRetry, "retry"),
        (
            &written.session_persistence,
            Feature::SessionPersistence,
            "sessionPersistence",
        ),
    ] {
        if value.is_some() {
            fields.uses(feature, format!("{field}.{member}"));
        }
    }
    let timeouts = written.timeouts.clone().unwrap_or_default();
    Rule {
        backends: references::backends(fields, field, &written.backend_refs, RouteKind::Http, own),
        matches,
        filters,
        policy: RulePolicy {
            timeouts: self::timeouts(fields, &format!("{field}.timeouts"), &timeouts),
        },
    }
}

/// `rule.timeouts` (GEP-1742).
fn timeouts(fields: &Fields, field: &str, written: &HTTPRouteTimeouts) -> Timeouts {
    let read = |feature, member: &str, written: &Option<String>| {
        let written = written.as_ref()?;
        fields.uses(feature, format!("{field}.{member}"));
        text::duration(fields, format!("{field}.{member}"), written)
    };
    let timeouts = Timeouts {
        request: read(
            Feature::HTTPRouteRequestTimeout,
            "request",
            &written.request,
        ),
        backend_request: read(
            Feature::HTTPRouteBackendTimeout,
            "backendRequest",
            &written.backend_request,
        ),
    };
    if let (Some(request), Some(backend_request)) = (timeouts.request, timeouts.backend_request)
        && !request.is_zero()
        && backend_request > request
    {
        fields.invalid(
            format!("{field}.backendRequest"),
            format!(
                "Invalid value: {:?}: must not be longer than {field}.request; shorten it, or lengthen request",
                written.backend_request.as_deref().unwrap_or_default()
            ),
        );
    }
    timeouts
}
