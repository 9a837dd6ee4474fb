//! RequestRedirect and URLRewrite.

use domain::Hostname;
use domain::capabilities::Feature;
use domain::gateway::{HttpPathModifier, Redirect, Rewrite};

use crate::convert::text;
use crate::fields::Fields;
use crate::types::{HTTPPathModifier, HTTPRequestRedirectFilter, HTTPURLRewriteFilter};

/// RequestRedirect.
pub(super) fn redirect(
    fields: &Fields,
    field: &str,
    written: &HTTPRequestRedirectFilter,
) -> Redirect {
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
    let path = written.path.as_ref();
    Redirect {
        scheme: written.scheme.clone(),
        hostname: precise_hostname(fields, &field, written.hostname.as_deref()),
        path: path.and_then(|path| path_modifier(fields, &format!("{field}.path"), path)),
        port: written
            .port
            .and_then(|port| fields.port(format!("{field}.port"), port)),
        status: status(fields, format!("{field}.statusCode"), written.status_code),
    }
}

/// URLRewrite.
pub(super) fn rewrite(fields: &Fields, field: &str, written: &HTTPURLRewriteFilter) -> Rewrite {
    let member = |name: &str| format!("{field}.urlRewrite.{name}");
    let uses = [
        (
            written.hostname.is_some(),
            Feature::HTTPRouteHostRewrite,
            "hostname",
        ),
        (
            written.path.is_some(),
            Feature::HTTPRoutePathRewrite,
            "path",
        ),
    ];
    for (_, feature, name) in uses.into_iter().filter(|(is_written, ..)| *is_written) {
        fields.uses(feature, member(name));
    }
    let hostname = written.hostname.as_deref();
    let path = written.path.as_ref();
    Rewrite {
        hostname: precise_hostname(fields, &format!("{field}.urlRewrite"), hostname),
        path: path.and_then(|path| path_modifier(fields, &member("path"), path)),
    }
}

fn precise_hostname(fields: &Fields, field: &str, written: Option<&str>) -> Option<Hostname> {
    let field = format!("{field}.hostname");
    let hostname = text::hostname(fields, field.clone(), written)?;
    if hostname.is_wildcard() {
        fields.invalid(
            field,
            format!("Invalid value: {hostname:?}: must be one host, not a wildcard"),
        );
        return None;
    }
    Some(hostname)
}

/// 302 where none is written, or none of the API (Gateway API, `statusCode`).
fn status(fields: &Fields, field: String, written: Option<i64>) -> u16 {
    let Some(code) = written else { return 302 };
    match u16::try_from(code) {
        Ok(status @ (301 | 302 | 303 | 307 | 308)) => {
            if let Some(feature) = Feature::of_redirect(status) {
                fields.uses(feature, field);
            }
            status
        }
        _ => {
            fields.invalid(
                field,
                format!("Unsupported value: {code}: write one of 301, 302, 303, 307, 308"),
            );
            302
        }
    }
}

fn path_modifier(
    fields: &Fields,
    field: &str,
    written: &HTTPPathModifier,
) -> Option<HttpPathModifier> {
    for (member, is_written, kind) in [
        (
            "replaceFullPath",
            written.replace_full_path.is_some(),
            "ReplaceFullPath",
        ),
        (
            "replacePrefixMatch",
            written.replace_prefix_match.is_some(),
            "ReplacePrefixMatch",
        ),
    ] {
        if is_written && written.r#type != kind {
            fields.invalid(
                format!("{field}.{member}"),
                format!(
                    "Forbidden: the path has the type {:?}; remove it",
                    written.r#type
                ),
            );
        }
    }
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
