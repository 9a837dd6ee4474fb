//! GRPCRoute, as the HTTP matches that it stands for: gRPC calls are requests for `/service/method`
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use domain::ObjectKey;
use domain::gateway::{PathMatch, Route, RouteKind, RouteMatch, Rule};

use super::{filters, matches, references, text};
use crate::fields::Fields;
use crate::metadata::Header;
use crate::object::ReadError;
use crate::types::{GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule, GRPCRouteSpec};

/// Pattern for one part of the path, where it is left open.
const ANY: &str = "[^/]+";

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<Route, ReadError> {
    let spec: GRPCRouteSpec = fields.read("spec")?;
    let key = header.key();
    let rules = spec.rules.unwrap_or_else(|| vec![GRPCRouteRule::default()]);
    let rules = rules
        .iter()
        .enumerate()
        .map(|(index, written)| rule(fields, &format!("spec.rules[{index}]"), written, &key));
    Ok(Route {
        kind: RouteKind::Grpc,
        generation: header.metadata.generation,
        created: header.created(fields)?,
        parents: references::parents(fields, &spec.parent_refs, &key),
        hostnames: references::hostnames(fields, &spec.hostnames),
        rules: rules.collect(),
        key,
        defects: fields.defects(),
    })
}

fn rule(fields: &Fields, field: &str, written: &GRPCRouteRule, own: &ObjectKey) -> Rule {
    let one = |(index, written): (usize, &GRPCRouteMatch)| {
        grpc_match(fields, &format!("{field}.matches[{index}]"), written)
    };
    let matches = match written.matches.as_slice() {
        [] => vec![matches::everything()],
        written => written.iter().enumerate().filter_map(one).collect(),
    };
    Rule {
        matches,
        filters: filters::grpc_filters(fields, field, &written.filters),
        backends: references::backends(fields, field, &written.backend_refs, own),
    }
}

fn grpc_match(fields: &Fields, field: &str, written: &GRPCRouteMatch) -> Option<RouteMatch> {
    let path = match &written.method {
        None => Some(matches::everything().path),
        Some(method) => method_path(fields, &format!("{field}.method"), method),
    };
    let headers = matches::headers(fields, field, &written.headers);
    Some(RouteMatch {
        path: path?,
        method: None,
        headers: headers?,
        query: Vec::new(),
    })
}

/// The path that stands for a method match; `None` where the match is noted as a defect.
fn method_path(fields: &Fields, field: &str, written: &GRPCMethodMatch) -> Option<PathMatch> {
    let part = |part: &Option<String>| part.clone().filter(|text| !text.is_empty());
    let (service, method) = (part(&written.service), part(&written.method));
    if service.is_none() && method.is_none() {
        fields.invalid(
            field,
            "it names neither service nor method; write at least one",
        );
        return None;
    }
    match written.r#type.as_deref().unwrap_or("Exact") {
        "Exact" => exact_path(fields, field, service, method),
        "RegularExpression" => {
            let open = || ANY.to_owned();
            let service = service.unwrap_or_else(open);
            let method = method.unwrap_or_else(open);
            let path = format!("/(?:{service})/(?:{method})");
            text::pattern(fields, field.to_owned(), &path).map(PathMatch::Regex)
        }
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!("{other:?} is no type; write Exact or RegularExpression"),
            );
            None
        }
    }
}

fn exact_path(
    fields: &Fields,
    field: &str,
    service: Option<String>,
    method: Option<String>,
) -> Option<PathMatch> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    for (name, text) in [("service", &service), ("method", &method)] {
        if let Some(text) = text
            && !text.bytes().all(is_name)
        {
            fields.invalid(
                format!("{field}.{name}"),
                format!("{text:?} is no {name} name; use letters, digits, `_` and `.`"),
            );
            return None;
        }
    }
    match (service, method) {
        (Some(service), Some(method)) => Some(PathMatch::Exact(format!("/{service}/{method}"))),
        (Some(service), None) => Some(PathMatch::Prefix(format!("/{service}"))),
        (None, method) => {
            // Of what a name may hold, only the dot means something in a pattern.
            let method = method.unwrap_or_default().replace('.', "\\.");
            let path = format!("/{ANY}/{method}");
            text::pattern(fields, field.to_owned(), &path).map(PathMatch::Regex)
        }
    }
}
