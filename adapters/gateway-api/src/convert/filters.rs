//! Filters of rules and backends.

mod cors;
mod external_auth;
mod mirror;
mod of_listener;
mod urls;

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{Filter, HeaderModifier, RouteKind, header_names};

use super::text;
use crate::fields::Fields;
use crate::types::{HTTPHeader, HTTPHeaderFilter, HTTPRouteFilter};
use external_auth::external_auth;
pub(super) use of_listener::of_listener;

/// Types of filters, those of a GRPCRoute first.
const TYPES: [&str; 8] = [
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "ExtensionRef",
    "RequestRedirect",
    "URLRewrite",
    "CORS",
    "ExternalAuth",
];
const GRPC_TYPES: usize = 4;

/// Types of which a rule or a backend may have several filters.
const REPEATABLE: [&str; 3] = ["RequestMirror", "ExtensionRef", "ExternalAuth"];

/// The members of a filter, one for each of [`TYPES`], and whether they are written.
fn members(filter: &HTTPRouteFilter) -> [(&'static str, bool); TYPES.len()] {
    [
        (
            "requestHeaderModifier",
            filter.request_header_modifier.is_some(),
        ),
        (
            "responseHeaderModifier",
            filter.response_header_modifier.is_some(),
        ),
        ("requestMirror", filter.request_mirror.is_some()),
        ("extensionRef", filter.extension_ref.is_some()),
        ("requestRedirect", filter.request_redirect.is_some()),
        ("urlRewrite", filter.url_rewrite.is_some()),
        ("cors", filter.cors.is_some()),
        ("externalAuth", filter.external_auth.is_some()),
    ]
}

/// `filters` of a rule.
pub(crate) fn of_rule(
    fields: &Fields,
    rule: &str,
    written: &[HTTPRouteFilter],
    kind: RouteKind,
    own: &ObjectKey,
) -> Vec<Filter> {
    read(fields, rule, written, (kind, own), |kind| match kind {
        "ResponseHeaderModifier" => Some(Feature::HTTPRouteResponseHeaderModification),
        _ => None,
    })
}

/// `filters` of a backend.
pub(crate) fn of_backend(
    fields: &Fields,
    backend: &str,
    written: &[HTTPRouteFilter],
    kind: RouteKind,
    own: &ObjectKey,
) -> Vec<Filter> {
    read(fields, backend, written, (kind, own), |kind| match kind {
        "RequestHeaderModifier" => Some(Feature::HTTPRouteBackendRequestHeaderModification),
        "ResponseHeaderModifier" => Some(Feature::BackendResponseHeaderModification),
        "URLRewrite" => Some(Feature::HTTPRouteBackendURLRewrite),
        "RequestRedirect" | "CORS" | "RequestMirror" | "ExternalAuth" => {
            Some(Feature::BackendFilter)
        }
        _ => None,
    })
}

/// The filters at a place, where a filter of a type may need a feature because it stands there.
fn read(
    fields: &Fields,
    place: &str,
    written: &[HTTPRouteFilter],
    (kind, own): (RouteKind, &ObjectKey),
    feature: impl Fn(&str) -> Option<Feature>,
) -> Vec<Filter> {
    let filter = |(index, filter): (usize, &HTTPRouteFilter)| {
        let field = format!("{place}.filters[{index}]");
        check(fields, &field, &written[..index], filter, kind);
        if let Some(feature) = feature(&filter.r#type) {
            fields.uses(feature, &field);
        }
        let is_mirror = |filter: &&HTTPRouteFilter| filter.r#type == "RequestMirror";
        if is_mirror(&filter) && written[..index].iter().filter(is_mirror).count() == 1 {
            fields.uses(Feature::HTTPRouteRequestMultipleMirrors, &field);
        }
        one(fields, &field, filter, (kind, own))
    };
    written.iter().enumerate().filter_map(filter).collect()
}

/// One filter; `None` where it cannot be told, or no data plane has it.
fn one(
    fields: &Fields,
    field: &str,
    filter: &HTTPRouteFilter,
    of: (RouteKind, &ObjectKey),
) -> Option<Filter> {
    match filter.r#type.as_str() {
        "RequestHeaderModifier" => {
            let field = format!("{field}.requestHeaderModifier");
            headers(fields, &field, filter.request_header_modifier.as_ref())
                .map(Filter::RequestHeaders)
        }
        "ResponseHeaderModifier" => {
            let field = format!("{field}.responseHeaderModifier");
            headers(fields, &field, filter.response_header_modifier.as_ref())
                .map(Filter::ResponseHeaders)
        }
        "RequestRedirect" => {
            let redirect = filter.request_redirect.as_ref();
            let redirect = required(fields, field, "requestRedirect", redirect)?;
            Some(Filter::Redirect(urls::redirect(fields, field, redirect)))
        }
        "URLRewrite" => {
            let rewrite = required(fields, field, "urlRewrite", filter.url_rewrite.as_ref())?;
            Some(Filter::Rewrite(urls::rewrite(fields, field, rewrite)))
        }
        "RequestMirror" => {
            fields.uses(Feature::HTTPRouteRequestMirror, field);
            let mirror = filter.request_mirror.as_ref();
            let mirror = required(fields, field, "requestMirror", mirror)?;
            Some(Filter::Mirror(mirror::mirror(fields, field, mirror, of)))
        }
        "CORS" => {
            fields.uses(Feature::HTTPRouteCORS, field);
            let cors = required(fields, field, "cors", filter.cors.as_ref())?;
            Some(Filter::Cors(cors::cors(fields, field, cors)))
        }
        "ExtensionRef" => {
            fields.uses(Feature::ExtensionRef, field);
            None
        }
        "ExternalAuth" => {
            fields.uses(Feature::ExternalAuth, field);
            let auth = filter.external_auth.as_ref();
            let auth = required(fields, field, "externalAuth", auth)?;
            external_auth(fields, field, auth, of.1).map(Filter::ExternalAuth)
        }
        _ => None,
    }
}

/// The member that belongs to the type of a filter.
fn required<'w, T>(
    fields: &Fields,
    field: &str,
    member: &str,
    written: Option<&'w T>,
) -> Option<&'w T> {
    if written.is_none() {
        fields.invalid(
            format!("{field}.{member}"),
            "Required value: write what the filter does",
        );
    }
    written
}

/// The rules of the Gateway API for the type of a filter, and for the filters `before` it.
fn check(
    fields: &Fields,
    field: &str,
    before: &[HTTPRouteFilter],
    filter: &HTTPRouteFilter,
    kind: RouteKind,
) {
    let types = match kind {
        RouteKind::Http => &TYPES[..],
        RouteKind::Grpc => &TYPES[..GRPC_TYPES],
    };
    let own = types.iter().position(|known| *known == filter.r#type);
    if own.is_none() {
        fields.invalid(
            format!("{field}.type"),
            format!(
                "Unsupported value: {:?}: write one of {}",
                filter.r#type,
                types.join(", ")
            ),
        );
    }
    for (index, (member, is_written)) in members(filter).into_iter().enumerate() {
        if is_written && own != Some(index) {
            fields.invalid(
                format!("{field}.{member}"),
                format!(
                    "Forbidden: the filter has the type {:?}; remove it",
                    filter.r#type
                ),
            );
        }
    }
    let is_repeated = before.iter().any(|other| other.r#type == filter.r#type);
    if is_repeated && !REPEATABLE.contains(&filter.r#type.as_str()) {
        fields.invalid(
            format!("{field}.type"),
            format!(
                "Duplicate value: {:?}: write one filter of that type",
                filter.r#type
            ),
        );
    }
    let other = match filter.r#type.as_str() {
        "RequestRedirect" => "URLRewrite",
        "URLRewrite" => "RequestRedirect",
        _ => return,
    };
    if before.iter().any(|filter| filter.r#type == other) {
        fields.invalid(
            format!("{field}.type"),
            format!("Forbidden: there is a {other} too, and only one of the two acts; remove one"),
        );
    }
}

/// What to set, add and remove. Of several entries with one name in a list the first counts (Gateway API, `HTTPHeader`).
fn headers(
    fields: &Fields,
    field: &str,
    written: Option<&HTTPHeaderFilter>,
) -> Option<HeaderModifier> {
    let Some(written) = written else {
        fields.invalid(field, "Required value: write what to set, add or remove");
        return None;
    };
    let pairs = |list: &str, written: &[HTTPHeader]| {
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(written.len());
        for (index, header) in written.iter().enumerate() {
            let field = format!("{field}.{list}[{index}]");
            let name = text::header_name(fields, format!("{field}.name"), &header.name);
            let value = text::header_value(fields, format!("{field}.value"), &header.value);
            if header_names::is_of_connection(&name) {
                fields.invalid(
                    format!("{field}.name"),
                    format!(
                        "Invalid value: {name:?}: must not be a header of the connection, which the proxy writes itself; \
                         remove it"
                    ),
                );
            }
            if !pairs.iter().any(|(known, _)| *known == name) {
                pairs.push((name, value));
            }
        }
        pairs
    };
    let removed =
        written.remove.iter().enumerate().map(|(index, name)| {
            text::header_name(fields, format!("{field}.remove[{index}]"), name)
        });
    Some(HeaderModifier {
        set: pairs("set", &written.set),
        add: pairs("add", &written.add),
        remove: removed.collect(),
    })
}
