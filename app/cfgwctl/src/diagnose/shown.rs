//! Objects without what may hold a secret.

use serde_json::Value;

use super::scrub::REMOVED;

/// Beginnings of annotations whose values are shown: those that the controller acts upon or writes.
const ANNOTATIONS: [&str; 3] = [
    "cloudflare-gateway-controller.io/",
    "gateway.networking.k8s.io/",
    "cfzt.cloudflare.com/",
];

/// Beginning of variables whose values are shown.
const VARIABLES: &str = "CFGW_";

/// Deepest object that is looked through; what lies deeper goes.
const DEEPEST: usize = 64;

/// Events that are shown, the last ones.
const MOST_EVENTS: usize = 2000;

/// Kinds whose Events are shown, besides those of pods and Deployments that are named like ours.
const KINDS: [&str; 7] = [
    "GatewayClass",
    "Gateway",
    "ListenerSet",
    "HTTPRoute",
    "GRPCRoute",
    "CloudflareGatewayParameters",
    "CloudflareGatewayStatus",
];

/// Takes out of an object what may hold a secret: values of annotations of others, of variables and of headers, and data.
pub fn clean(object: &mut Value) {
    cleaned(object, 0);
}

fn cleaned(value: &mut Value, depth: usize) {
    if depth > DEEPEST {
        *value = REMOVED.into();
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| cleaned(item, depth + 1)),
        Value::Object(fields) => {
            for field in ["managedFields", "data", "stringData", "binaryData"] {
                fields.remove(field);
            }
            if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
                for (name, value) in annotations.iter_mut() {
                    if !ANNOTATIONS.iter().any(|known| name.starts_with(known)) {
                        *value = REMOVED.into();
                    }
                }
            }
            // A variable, or a header or parameter of a request.
            let name = fields.get("name").and_then(Value::as_str);
            let is_shown = name.is_none_or(|name| name.starts_with(VARIABLES));
            if let Some(value @ Value::String(_)) = fields.get_mut("value").filter(|_| !is_shown) {
                *value = REMOVED.into();
            }
            fields
                .values_mut()
                .for_each(|value| cleaned(value, depth + 1));
        }
        _ => {}
    }
}

/// The Events of our objects, a line each.
pub fn events(events: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_ours = |event: &&Value| {
        let object = &event["involvedObject"];
        let (kind, name) = (text(&object["kind"]), text(&object["name"]));
        KINDS.contains(&kind.as_str())
            || name.starts_with("gateway-")
            || name.contains("cfgw")
            || name.contains("cloudflare-gateway-controller")
    };
    let mut lines: Vec<String> = events
        .iter()
        .filter(is_ours)
        .map(|event| {
            let object = &event["involvedObject"];
            let times = ["lastTimestamp", "eventTime", "firstTimestamp"];
            let time = times
                .iter()
                .map(|field| text(&event[*field]))
                .find(|it| !it.is_empty());
            format!(
                "{} {} {} {}/{} {}: {}\n",
                time.unwrap_or_default(),
                text(&event["type"]),
                text(&object["kind"]),
                text(&object["namespace"]),
                text(&object["name"]),
                text(&event["reason"]),
                text(&event["message"]).replace('\n', " ")
            )
        })
        .collect();
    lines.sort();
    let start = lines.len().saturating_sub(MOST_EVENTS);
    lines[start..].concat()
}
