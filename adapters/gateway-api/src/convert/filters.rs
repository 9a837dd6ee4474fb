//! Filters of rules.

use domain::capabilities::Feature;
use domain::gateway::{
    Filter, HeaderModifier, HttpPathModifier, Redirect, RouteKind, header_names,
};

use super::text;
use crate::fields::Fields;
use crate::types::{
    HTTPHeader, HTTPHeaderFilter, HTTPPathModifier, HTTPRequestRedirectFilter, HTTPRouteFilter,
};

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
) -> Vec<Filter> {
    let filter = |(index, filter): (usize, &HTTPRouteFilter)| {
        let field = format!("{rule}.filters[{index}]");
        check(fields, &field, &written[..index], filter, kind);
        let used = match filter.r#type.as_str() {
            "ResponseHeaderModifier" => Some(Feature::HTTPRouteResponseHeaderModification),
            "RequestMirror" => Some(Feature::HTTPRouteRequestMirror),
            "ExtensionRef" => Some(Feature::ExtensionRef),
            "URLRewrite" => Some(rewrite(filter)),
            "CORS" => Some(Feature::HTTPRouteCORS),
            "ExternalAuth" => Some(Feature::ExternalAuth),
            _ => None,
        };
        if let Some(feature) = used {
            fields.uses(feature, &field);
        }
        match filter.r#type.as_str() {
            "RequestRedirect" => {
                let redirect = filter.request_redirect.clone().unwrap_or_default();
                Some(redirect_filter(fields, &field, &redirect))
            }
            _ => modifier(fields, &field, filter),
        }
    };
    written.iter().enumerate().filter_map(filter).collect()
}

/// `filters` of a backend.
pub(crate) fn of_backend(
    fields: &Fields,
    backend: &str,
    written: &[HTTPRouteFilter],
    kind: RouteKind,
) -> Vec<Filter> {
    let filter = |(index, filter): (usize, &HTTPRouteFilter)| {
        let field = format!("{backend}.filters[{index}]");
        check(fields, &field, &written[..index], filter, kind);
        let used = match filter.r#type.as_str() {
            "RequestHeaderModifier" => Feature::HTTPRouteBackendRequestHeaderModification,
            "ResponseHeaderModifier" => Feature::BackendResponseHeaderModification,
            _ => Feature::BackendFilter,
        };
        fields.uses(used, &field);
        modifier(fields, &field, filter)
    };
    written.iter().enumerate().filter_map(filter).collect()
}

fn rewrite(filter: &HTTPRouteFilter) -> Feature {
    let rewrite = filter.url_rewrite.as_ref();
    match rewrite.and_then(|rewrite| rewrite.get("hostname")) {
        Some(_) => Feature::HTTPRouteHostRewrite,
        None => Feature::HTTPRoutePathRewrite,
    }
}

/// A filter that changes headers; `None` for any other.
fn modifier(fields: &Fields, field: &str, filter: &HTTPRouteFilter) -> Option<Filter> {
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
        _ => None,
    }
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

fn redirect_filter(fields: &Fields, field: &str, written: &HTTPRequestRedirectFilter) -> Filter {
    let field = format!("{field}.requestRedirect");
    for (is_written, feature, member) in [
        (
            written.scheme.is_some(),
            Feature::HTTPRouteSchemeRedirect,
            "scheme",
        ),
        (
            written.port.is_some(),
            Feature::HTTPRoutePortRedirect,
            "port",
        ),
        (
            written.path.is_some(),
            Feature::HTTPRoutePathRedirect,
            "path",
        ),
    ] {
        if is_written {
            fields.uses(feature, format!("{field}.{member}"));
        }
    }
    if let Some(scheme) = &written.scheme
        && !["http", "https"].contains(&scheme.as_str())
    {
        fields.invalid(
            format!("{field}.scheme"),
            format!("Unsupported value: {scheme:?}: write http or https"),
        );
    }
    let hostname_field = || format!("{field}.hostname");
    let hostname = text::hostname(fields, hostname_field(), written.hostname.as_deref());
    if hostname.as_ref().is_some_and(domain::Hostname::is_wildcard) {
        fields.invalid(hostname_field(), "a wildcard is nowhere to redirect to");
    }
    let path = written
        .path
        .as_ref()
        .and_then(|path| path_modifier(fields, &format!("{field}.path"), path));
    Filter::Redirect(Redirect {
        scheme: written.scheme.clone(),
        hostname,
        path,
        port: written
            .port
            .and_then(|port| fields.port(format!("{field}.port"), port)),
        status: status(fields, format!("{field}.statusCode"), written.status_code),
    })
}

/// 302 where none is written, or none of the API (Gateway API, `statusCode`).
fn status(fields: &Fields, field: String, written: Option<i64>) -> u16 {
    match written {
        None | Some(302) => return 302,
        Some(301) => return 301,
        Some(303) => fields.uses(Feature::HTTPRoute303RedirectStatusCode, field),
        Some(307) => fields.uses(Feature::HTTPRoute307RedirectStatusCode, field),
        Some(308) => fields.uses(Feature::HTTPRoute308RedirectStatusCode, field),
        Some(code) => {
            fields.invalid(
                field,
                format!("Unsupported value: {code}: write one of 301, 302, 303, 307, 308"),
            );
            return 302;
        }
    }
    written
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(302)
}

fn path_modifier(
    fields: &Fields,
    field: &str,
    written: &HTTPPathModifier,
) -> Option<HttpPathModifier> {
    let missing = |name: &str| {
        fields.invalid(
            format!("{field}.{name}"),
            "it is missing; write the new path",
        );
        None
    };
    match written.r#type.as_str() {
        "ReplaceFullPath" => match &written.replace_full_path {
            Some(path) => Some(HttpPathModifier::Full(path.clone())),
            None => missing("replaceFullPath"),
        },
        "ReplacePrefixMatch" => match &written.replace_prefix_match {
            Some(path) => Some(HttpPathModifier::Prefix(path.clone())),
            None => missing("replacePrefixMatch"),
        },
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!(
                    "Unsupported value: {other:?}: write ReplaceFullPath or ReplacePrefixMatch"
                ),
            );
            None
        }
    }
}
