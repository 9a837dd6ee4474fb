//! GRPCRoute. A gRPC call is a request for `/service/method`
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use domain::ObjectKey;
use domain::gateway::{CallMatch, PathMatch, RouteKind, RouteMatch, Rule, RulePolicy, TextMatch};

use super::route::WrittenRule;
use super::{filters, matches, references, session, text};
use crate::fields::Fields;
use crate::types::{GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule};

impl WrittenRule for GRPCRouteRule {
    const KIND: RouteKind = RouteKind::Grpc;

    fn matches(&self) -> usize {
        self.matches.len()
    }

    fn read(&self, fields: &Fields, field: &str, own: &ObjectKey) -> Rule {
        let one = |(index, written): (usize, &GRPCRouteMatch)| {
            grpc_match(fields, &format!("{field}.matches[{index}]"), written)
        };
        let matches = match self.matches.as_slice() {
            [] => vec![taking(CallMatch::default())],
            written => written.iter().enumerate().filter_map(one).collect(),
        };
        let session = self.session_persistence.as_ref();
        let name = self.name.as_deref();
        let of = || session::RuleOf::new(Self::KIND, own, name, field);
        Rule {
            filters: filters::of_rule(fields, field, &self.filters, Self::KIND, own),
            matches,
            policy: RulePolicy {
                session: session.and_then(|session| {
                    session::session(
                        fields,
                        &format!("{field}.sessionPersistence"),
                        session,
                        of(),
                    )
                }),
                ..RulePolicy::default()
            },
            backends: references::backends(fields, field, &self.backend_refs, Self::KIND, own),
        }
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

/// `match.method`; `None` where it is noted as a field error.
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
    // Both are read before either is left out, so that no field error hides another.
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
