//! ExternalAuth, of a filter and of a listener.

use domain::ObjectKey;
use domain::gateway::{AuthProtocol, ExternalAuth, FilterRef, MOST_FORWARDED_BODY, RouteKind};
use domain::route_table::canonical_path;

use crate::convert::{references, text};
use crate::fields::Fields;
use crate::types::{HTTPAuthConfig, HTTPExternalAuthFilter};

/// ExternalAuth at `field`; `None` where its protocol cannot be told. It may lead to the namespace of `own` without a word.
pub(crate) fn external_auth(
    fields: &Fields,
    field: &str,
    written: &HTTPExternalAuthFilter,
    own: &ObjectKey,
) -> Option<ExternalAuth> {
    let field = format!("{field}.externalAuth");
    forbid_other(fields, &field, written);
    let (spoken, protocol) = match written.protocol.as_str() {
        "HTTP" => {
            let http = written.http.clone().unwrap_or_default();
            (RouteKind::Http, http_protocol(fields, &field, &http))
        }
        "GRPC" => {
            let grpc = written.grpc.clone().unwrap_or_default();
            let at = format!("{field}.grpc.allowedHeaders");
            let request_headers = names(fields, &at, &grpc.allowed_headers);
            (RouteKind::Grpc, AuthProtocol::Grpc { request_headers })
        }
        other => {
            fields.invalid(
                format!("{field}.protocol"),
                format!("Unsupported value: {other:?}: write HTTP or GRPC"),
            );
            return None;
        }
    };
    let at = format!("{field}.backendRef");
    let backend = &written.backend_ref;
    fields.required(format!("{at}.name"), &backend.name);
    Some(ExternalAuth {
        to: Some(FilterRef {
            target: references::target(
                backend.group.as_deref(),
                backend.kind.as_deref(),
                (backend.namespace.as_deref(), &backend.name),
                ("", "Service"),
                &own.namespace,
            ),
            port: backend
                .port
                .and_then(|port| fields.port(format!("{at}.port"), port)),
            spoken,
            field: at,
        }),
        protocol,
        max_body: max_body(fields, &field, written),
    })
}

/// What belongs to the other protocol (validation rules of `HTTPExternalAuthFilter`). What belongs to its own may be left
/// out: its defaults hold then.
fn forbid_other(fields: &Fields, field: &str, written: &HTTPExternalAuthFilter) {
    for (member, is_written, protocol) in [
        ("grpc", written.grpc.is_some(), "GRPC"),
        ("http", written.http.is_some(), "HTTP"),
    ] {
        if is_written && written.protocol != protocol {
            fields.invalid(
                format!("{field}.{member}"),
                format!(
                    "Forbidden: the protocol is {:?}; remove it",
                    written.protocol
                ),
            );
        }
    }
}

fn http_protocol(fields: &Fields, field: &str, written: &HTTPAuthConfig) -> AuthProtocol {
    let field = format!("{field}.http");
    let at = |list: &str| format!("{field}.{list}");
    AuthProtocol::Http {
        prefix: prefix(fields, at("path"), written.path.as_deref().unwrap_or("")),
        request_headers: names(fields, &at("allowedHeaders"), &written.allowed_headers),
        answer_headers: names(
            fields,
            &at("allowedResponseHeaders"),
            &written.allowed_response_headers,
        ),
    }
}

/// A prefix that leads to no other path than it says, whatever path of a client follows it.
fn prefix(fields: &Fields, field: String, written: &str) -> String {
    if written.is_empty() {
        return String::new();
    }
    if canonical_path(written).is_err() {
        let message = format!(
            "Invalid value: {written:?}: must not have a segment `.` or `..`, encoded or not, or a NUL: write where it leads to"
        );
        fields.invalid(field, message);
        return String::new();
    }
    text::absolute_path(fields, field, written);
    written.trim_end_matches('/').to_owned()
}

fn names(fields: &Fields, field: &str, written: &[String]) -> Vec<String> {
    let names = written.iter().enumerate();
    let names =
        names.map(|(index, name)| text::header_name(fields, format!("{field}[{index}]"), name));
    names.collect()
}

fn max_body(fields: &Fields, field: &str, written: &HTTPExternalAuthFilter) -> u32 {
    let forwarded = written.forward_body.as_ref();
    let bytes = forwarded
        .and_then(|forwarded| forwarded.max_size)
        .unwrap_or(0);
    let field = format!("{field}.forwardBody.maxSize");
    match u32::try_from(bytes) {
        Ok(bytes) if bytes <= MOST_FORWARDED_BODY => bytes,
        Ok(_) => {
            fields.unsupported(
                field,
                format!("Unsupported value: {bytes}: must be at most {MOST_FORWARDED_BODY}: write less, or leave the body out"),
            );
            0
        }
        Err(_) => {
            fields.invalid(
                field,
                format!("Invalid value: {bytes}: must be a number of bytes, 0 for none"),
            );
            0
        }
    }
}
