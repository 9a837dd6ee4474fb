//! GRPCRoute. A gRPC call is a request for `/service/method`
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{
    CallMatch, PathMatch, Route, RouteKind, RouteMatch, Rule, RulePolicy, TextMatch,
};

use super::{filters, matches, references, text};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule, GRPCRouteSpec};

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<Route, ReadError> {
    let spec: GRPCRouteSpec = fields.read("spec")?;
    let key = header.key();
    if spec.use_default_gateways.is_some() {
        fields.uses(Feature::DefaultGateways, "spec.useDefaultGateways");
    }
    let rules = spec.rules.unwrap_or_else(|| vec![GRPCRouteRule::default()]);
    matches::check_sum(fields, rules.iter().map(|rule| rule.matches.len()));
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
        pattern_room: fields.pattern_room(),
        uses: fields.used(),
        key,
        defects: fields.defects(),
    })
}

fn rule(fields: &Fields, field: &str, written: &GRPCRouteRule, own: &ObjectKey) -> Rule {
    let one = |(index, written): (usize, &GRPCRouteMatch)| {
        grpc_match(fields, &format!("{field}.matches[{index}]"), written)
    };
    let matches = match written.matches.as_slice() {
        [] => vec![taking(CallMatch::default())],
        written => written.iter().enumerate().filter_map(one).collect(),
    };
    if written.session_persistence.is_some() {
        let field = format!("{field}.sessionPersistence");
        fields.uses(Feature::SessionPersistence, field);
    }
    let kind = RouteKind::Grpc;
    Rule {
        filters: filters::of_rule(fields, field, &written.filters, kind),
        matches,
        policy: RulePolicy::default(),
        backends: references::backends(fields, field, &written.backend_refs, kind, own),
    }
}

fn grpc_match(fields: &Fields, field: &str, written: &GRPCRouteMatch) -> Option<RouteMatch> {
    let call = match &written.method {
        None => Some(CallMatch::default()),
        Some(method) => call_match(fields, &format!("{field}.method"), method),
    };
    let headers = matches::headers(fields, field, &written.headers);
    Some(RouteMatch {
        headers: headers?,
        ..taking(call?)
    })
}

fn taking(call: CallMatch) -> RouteMatch {
    RouteMatch {
        path: PathMatch::Call(Box::new(call)),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    }
}

/// `match.method`; `None` where it is noted as a defect.
fn call_match(fields: &Fields, field: &str, written: &GRPCMethodMatch) -> Option<CallMatch> {
    let read = match written.r#type.as_deref().unwrap_or("Exact") {
        "Exact" => name,
        "RegularExpression" => pattern,
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!("Unsupported value: {other:?}: write Exact or RegularExpression"),
            );
            return None;
        }
    };
    let part = |part: &'static str, written: &Option<String>| {
        let text = written.as_deref().filter(|text| !text.is_empty())?;
        Some(read(fields, field, part, text))
    };
    // Both are read before either is left out, so that no defect hides another.
    let (service, method) = (
        part("service", &written.service),
        part("method", &written.method),
    );
    if service.is_none() && method.is_none() {
        fields.invalid(
            field,
            "it names neither service nor method; write at least one",
        );
        return None;
    }
    let told = |part: &Option<Option<TextMatch>>| !matches!(part, Some(None));
    (told(&service) && told(&method)).then(|| CallMatch {
        service: service.flatten(),
        method: method.flatten(),
    })
}

fn name(fields: &Fields, field: &str, part: &str, text: &str) -> Option<TextMatch> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if !text.bytes().all(is_name) {
        fields.invalid(
            format!("{field}.{part}"),
            format!(
                "Invalid value: {text:?}: must be a {part} name of letters, digits, `_` and `.`"
            ),
        );
        return None;
    }
    Some(TextMatch::Exact(text.to_owned()))
}

fn pattern(fields: &Fields, field: &str, part: &str, text: &str) -> Option<TextMatch> {
    text::pattern(fields, format!("{field}.{part}"), text).map(TextMatch::Regex)
}
