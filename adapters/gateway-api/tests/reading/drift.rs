//! Every field of the Gateway API's schemas is read or reported. `crd_fields.txt` lists those of v1.7.0 and v1.6.1,
//! experimental channel; `crd_fields.py` makes it anew.

use adapter_gateway_api::{Object, read};
use domain::gateway::FieldError;
use serde_json::{Map, Value, json};

const FIELDS: &str = include_str!("crd_fields.txt");

/// Fields that are for people: they change nothing and nothing is to be said about them.
const FOR_PEOPLE: [&str; 3] = [
    "GatewayClass spec.description",
    "HTTPRoute spec.rules[].name",
    "GRPCRoute spec.rules[].name",
];

#[test]
fn every_field_of_the_schemas_is_read_or_reported() {
    let mut ignored = Vec::new();
    for line in FIELDS.lines().filter(|line| !line.is_empty()) {
        let (field, kind) = line.rsplit_once(' ').expect("a field and its type");
        let (object, path) = field.split_once(' ').expect("a kind and a path");
        let is_served = !is_silent(object, path, kind);
        let is_for_people = FOR_PEOPLE.contains(&field);
        if is_served == is_for_people {
            ignored.push(field);
        }
    }
    assert!(
        ignored.is_empty(),
        "neither read nor reported (or listed as for people, and read):\n{}",
        ignored.join("\n")
    );
}

#[test]
fn a_field_that_the_types_do_not_know_is_reported() {
    assert!(!is_silent(
        "HTTPRoute",
        "spec.rules[].notYetInvented",
        "string"
    ));
}

/// Whether an object says the same with the field as without it, and no field error covers the field.
fn is_silent(kind: &str, path: &str, field_type: &str) -> bool {
    let without = with(kind, path, None);
    let with = with(kind, path, Some(placeholder(path, field_type)));
    let (Ok(without), Ok(with)) = (read(without), read(with)) else {
        // What cannot be told at all is reported.
        return false;
    };
    let field = path.replace("[]", "[0]");
    let is_covered = field_errors(&with).iter().any(|field_error| {
        let rest = field.strip_prefix(&field_error.field);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    });
    !is_covered && format!("{with:?}") == format!("{without:?}")
}

pub(crate) fn field_errors(object: &Object) -> Vec<FieldError> {
    match object {
        Object::GatewayClass(class) => class.field_errors.clone(),
        Object::Gateway(gateway) => {
            let listeners = gateway.listeners.iter().flat_map(|l| &l.field_errors);
            let all = gateway.field_errors.iter().chain(listeners);
            all.map(|(_, field_error)| field_error.clone()).collect()
        }
        Object::ListenerSet(set) => {
            let listeners = set.listeners.iter().flat_map(|l| &l.field_errors);
            let of_listeners = listeners.map(|(_, field_error)| field_error);
            set.field_errors
                .iter()
                .chain(of_listeners)
                .cloned()
                .collect()
        }
        Object::Route(route) => crate::refused(route),
        Object::BackendTlsPolicy(policy) => policy.field_errors.clone(),
        Object::BackendTrafficPolicy(policy) => policy.field_errors.clone(),
        Object::ExternalBackend(backend) => backend.field_errors.clone(),
        _ => Vec::new(),
    }
}

/// A value that differs from every default.
fn placeholder(path: &str, field_type: &str) -> Value {
    match field_type {
        "integer" => json!(7),
        "boolean" => json!(true),
        "map" => json!({ "key": "value" }),
        _ if path.ends_with("hostname") || path.ends_with("hostnames[]") => json!("a.example.com"),
        _ if path.ends_with("replacePrefixMatch") || path.ends_with("replaceFullPath") => {
            json!("/x")
        }
        _ => json!("x"),
    }
}

/// An object with what its kind requires and the way to a field, and the field itself where it is given.
pub(crate) fn with(kind: &str, path: &str, field: Option<Value>) -> Value {
    let spec = match kind {
        "Gateway" => json!({ "gatewayClassName": "cloudflare" }),
        "GatewayClass" => json!({ "controllerName": "example.com/controller" }),
        "XBackend" => json!({
            "type": "ExternalHostname",
            "port": { "number": 80 },
            "externalHostname": { "hostname": "it.example.com" },
            "tls": {
                "mode": "ServerOnly",
                "validation": { "wellKnownCACertificates": "System", "hostname": "it.example.com" },
            },
        }),
        _ => json!({}),
    };
    let api_version = match kind.starts_with('X') {
        true => "gateway.networking.x-k8s.io/v1alpha1",
        false => "gateway.networking.k8s.io/v1",
    };
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": "it", "namespace": "apps" },
        "spec": spec,
    });
    let mut at = &mut object;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let name = step.trim_end_matches("[]");
        let is_list = step.ends_with("[]");
        if steps.peek().is_none() {
            if let Some(value) = field {
                at[name] = if is_list { json!([value]) } else { value };
            }
            return object;
        }
        let empty = || Value::Object(Map::new());
        let next = &mut at[name];
        if next.is_null() {
            *next = if is_list { json!([empty()]) } else { empty() };
        }
        at = if is_list { &mut next[0] } else { next };
        if let Some(kind) = discriminator(name, steps.peek().copied()) {
            for (field, value) in kind {
                at[field] = json!(value);
            }
        }
    }
    object
}

/// Fields without which the one after a step means nothing.
fn discriminator(step: &str, next: Option<&str>) -> Option<Vec<(&'static str, &'static str)>> {
    Some(match (step, next?) {
        ("filters", "requestHeaderModifier") => vec![("type", "RequestHeaderModifier")],
        ("filters", "requestRedirect") => vec![("type", "RequestRedirect")],
        ("filters", "responseHeaderModifier") => vec![("type", "ResponseHeaderModifier")],
        ("filters", "requestMirror") => vec![("type", "RequestMirror")],
        ("filters", "urlRewrite") => vec![("type", "URLRewrite")],
        ("filters", "cors") => vec![("type", "CORS")],
        ("filters", "externalAuth") => vec![("type", "ExternalAuth")],
        ("filters", "extensionRef") => vec![("type", "ExtensionRef")],
        ("externalAuth", "grpc") => vec![("protocol", "GRPC")],
        ("externalAuth", "http" | "backendRef" | "forwardBody") => vec![("protocol", "HTTP")],
        ("requests", "externalAuth") => vec![("type", "ExternalAuth")],
        ("requests", "extensionRef") => vec![("type", "ExtensionRef")],
        ("path", "replaceFullPath") => vec![("type", "ReplaceFullPath")],
        ("path", "replacePrefixMatch") => vec![("type", "ReplacePrefixMatch")],
        ("subjectAltNames", "hostname") => vec![("type", "Hostname")],
        ("subjectAltNames", "uri") => vec![("type", "URI")],
        ("parametersRef", _) => vec![("kind", "Secret"), ("name", "a"), ("namespace", "b")],
        ("namespaces", "selector") => vec![("from", "Selector")],
        ("matchExpressions", "key" | "values[]") => vec![("operator", "In")],
        _ => return None,
    })
}
