//! Filters of rules.

use domain::gateway::{Filter, HeaderModifier, HttpPathModifier, PathMatch, Redirect, RouteMatch};

use super::text;
use crate::fields::Fields;
use crate::types::{
    GRPCRouteFilter, HTTPHeader, HTTPHeaderFilter, HTTPPathModifier, HTTPRequestRedirectFilter,
    HTTPRouteFilter,
};

/// Filters of the Gateway API that are not served.
const UNSERVED: [&str; 6] = [
    "ResponseHeaderModifier",
    "RequestMirror",
    "URLRewrite",
    "CORS",
    "ExternalAuth",
    "ExtensionRef",
];

/// `filters` of an HTTPRoute rule.
pub(crate) fn http_filters(
    fields: &Fields,
    rule: &str,
    written: &[HTTPRouteFilter],
    matches: &[RouteMatch],
) -> Vec<Filter> {
    let filter = |(index, filter): (usize, &HTTPRouteFilter)| {
        let field = format!("{rule}.filters[{index}]");
        if written[..index].iter().any(|f| f.r#type == filter.r#type) {
            repeated(fields, &field, &filter.r#type);
        }
        match (filter.r#type.as_str(), filter) {
            ("RequestHeaderModifier", f) => {
                headers(fields, &field, f.request_header_modifier.as_ref())
            }
            ("RequestRedirect", f) => {
                let redirect = f.request_redirect.clone().unwrap_or_default();
                Some(redirect_filter(fields, &field, &redirect, matches))
            }
            (other, _) => {
                unserved(fields, &field, other);
                None
            }
        }
    };
    written.iter().enumerate().filter_map(filter).collect()
}

/// `filters` of a GRPCRoute rule.
pub(crate) fn grpc_filters(
    fields: &Fields,
    rule: &str,
    written: &[GRPCRouteFilter],
) -> Vec<Filter> {
    let filter = |(index, filter): (usize, &GRPCRouteFilter)| {
        let field = format!("{rule}.filters[{index}]");
        if written[..index].iter().any(|f| f.r#type == filter.r#type) {
            repeated(fields, &field, &filter.r#type);
        }
        match filter.r#type.as_str() {
            "RequestHeaderModifier" => {
                headers(fields, &field, filter.request_header_modifier.as_ref())
            }
            other => {
                unserved(fields, &field, other);
                None
            }
        }
    };
    written.iter().enumerate().filter_map(filter).collect()
}

/// Only mirrors and extensions may stand more than once in a rule, and neither is served.
fn repeated(fields: &Fields, field: &str, kind: &str) {
    if !UNSERVED.contains(&kind) {
        fields.invalid(
            format!("{field}.type"),
            format!("{kind} stands twice in the rule; write one filter of that type"),
        );
    }
}

fn unserved(fields: &Fields, field: &str, kind: &str) {
    if UNSERVED.contains(&kind) {
        fields.unsupported(
            field,
            format!("the filter {kind} is not served by this version; remove it"),
        );
    } else {
        fields.invalid(
            format!("{field}.type"),
            format!("{kind:?} is no filter; write RequestHeaderModifier or RequestRedirect"),
        );
    }
}

fn headers(fields: &Fields, field: &str, written: Option<&HTTPHeaderFilter>) -> Option<Filter> {
    let field = format!("{field}.requestHeaderModifier");
    let Some(written) = written else {
        fields.invalid(field, "it is missing; write what to set, add or remove");
        return None;
    };
    let pairs = |list: &str, written: &[HTTPHeader]| {
        let pair = |(index, header): (usize, &HTTPHeader)| {
            let field = format!("{field}.{list}[{index}]");
            (
                text::header_name(fields, format!("{field}.name"), &header.name),
                text::header_value(fields, format!("{field}.value"), &header.value),
            )
        };
        written.iter().enumerate().map(pair).collect()
    };
    let removed =
        written.remove.iter().enumerate().map(|(index, name)| {
            text::header_name(fields, format!("{field}.remove[{index}]"), name)
        });
    Some(Filter::RequestHeaders(HeaderModifier {
        set: pairs("set", &written.set),
        add: pairs("add", &written.add),
        remove: removed.collect(),
    }))
}

fn redirect_filter(
    fields: &Fields,
    field: &str,
    written: &HTTPRequestRedirectFilter,
    matches: &[RouteMatch],
) -> Filter {
    let field = format!("{field}.requestRedirect");
    if let Some(scheme) = &written.scheme
        && !["http", "https"].contains(&scheme.as_str())
    {
        fields.invalid(
            format!("{field}.scheme"),
            format!("{scheme:?} is no scheme to redirect to; write http or https"),
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
        .and_then(|path| path_modifier(fields, &format!("{field}.path"), path, matches));
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

/// 302 where none is written, or none that is served (Gateway API, `statusCode`).
fn status(fields: &Fields, field: String, written: Option<i64>) -> u16 {
    match written {
        Some(301) => return 301,
        None | Some(302) => {}
        Some(code @ (303 | 307 | 308)) => fields.unsupported(
            field,
            format!("{code} is not served by this version; write 301 or 302"),
        ),
        Some(code) => fields.invalid(
            field,
            format!("{code} is no redirect of the Gateway API; write 301 or 302"),
        ),
    }
    302
}

fn path_modifier(
    fields: &Fields,
    field: &str,
    written: &HTTPPathModifier,
    matches: &[RouteMatch],
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
        "ReplacePrefixMatch" => {
            if !matches!(
                matches,
                [RouteMatch {
                    path: PathMatch::Prefix(_),
                    ..
                }]
            ) {
                fields.invalid(
                    format!("{field}.type"),
                    "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix",
                );
            }
            match &written.replace_prefix_match {
                Some(path) => Some(HttpPathModifier::Prefix(path.clone())),
                None => missing("replacePrefixMatch"),
            }
        }
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!("{other:?} is no type; write ReplaceFullPath or ReplacePrefixMatch"),
            );
            None
        }
    }
}
