//! What an API server refuses is refused without one too.

use adapter_gateway_api::read;
use serde_json::{Value, json};

use crate::drift::{field_errors, with};

const RULES: &str = include_str!("../../src/schema/rules.txt");

/// Kinds of which each object is told whether it is served. A ReferenceGrant is read whole or not at all.
const KINDS: [&str; 5] = [
    "GatewayClass",
    "Gateway",
    "ListenerSet",
    "HTTPRoute",
    "GRPCRoute",
];

#[test]
fn what_breaks_a_rule_of_the_schemas_is_refused_by_the_name_of_its_field() {
    let mut taken = Vec::new();
    let mut count = 0;
    for line in RULES.lines() {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().expect("a kind, a path and rules");
        let (kind, path, rules) = (next(), next(), next());
        if !KINDS.contains(&kind) {
            continue;
        }
        let rules: Value = serde_json::from_str(rules).expect("rules");
        for (rule, limit) in rules.as_object().expect("rules by name") {
            for (path, object) in broken(kind, path, rule, limit) {
                count += 1;
                if !is_refused(object, &path) {
                    taken.push(format!("{kind} {path}: {rule} {limit}"));
                }
            }
        }
    }
    assert!(taken.is_empty(), "taken:\n{}", taken.join("\n"));
    assert!(count > 400, "only {count} rules were tried");
}

/// Objects that break a rule, each with the field that does.
fn broken(kind: &str, path: &str, rule: &str, limit: &Value) -> Vec<(String, Value)> {
    let number = limit.as_i64().unwrap_or(0);
    let size = usize::try_from(number).unwrap_or(0);
    let value = match rule {
        "enum" if limit[0].is_number() => json!(1),
        "enum" => json!("Nobody"),
        "maxItems" => json!(vec![json!({}); size + 1]),
        "minItems" => json!([]),
        "maxLength" => json!("a".repeat(size + 1)),
        "minLength" => json!(""),
        "maximum" => json!(number + 1),
        "minimum" => json!(number - 1),
        "pattern" => json!("é\u{7f} é"),
        "required" => {
            let names = limit.as_array().expect("names").iter();
            let names = names.map(|name| name.as_str().expect("a name"));
            return names.map(|name| without(kind, path, name)).collect();
        }
        other => panic!("{other} is a rule that is not known"),
    };
    vec![(path.to_owned(), with(kind, path, Some(value)))]
}

/// An object that lacks a field which it needs.
fn without(kind: &str, path: &str, name: &str) -> (String, Value) {
    let field = format!("{path}.{name}");
    let mut object = with(kind, &field, None);
    let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/"));
    let parent = object.pointer_mut(&pointer).and_then(Value::as_object_mut);
    parent.expect("the field's parent").remove(name);
    (field, object)
}

fn is_refused(object: Value, path: &str) -> bool {
    let field = path.replace("[]", "[0]");
    let Ok(read) = read(object) else { return true };
    field_errors(&read).iter().any(|field_error| {
        let rest = field.strip_prefix(&field_error.field);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

#[test]
fn a_path_is_written_as_in_a_url() {
    for (path, taken) in [
        ("/", true),
        ("/a:b@c;d=e,f!$&'()*+~_-.", true),
        ("/%41%c3%A9", true),
        ("/a..b/.c/...", true),
        ("/café", false),
        ("/a b", false),
        ("/a?b", false),
        ("/a#b", false),
        ("/a//b", false),
        ("/a/../b", false),
        ("/a/.", false),
        ("/a%2fb", false),
        ("/a%", false),
        ("/a%4", false),
        ("/a%zz", false),
        ("/a|b", false),
        ("/a\\b", false),
        ("/a\"b", false),
        ("/a<b", false),
        ("/a\tb", false),
        ("a", false),
    ] {
        for kind in ["Exact", "PathPrefix"] {
            let mut object = with("HTTPRoute", "spec.rules[].matches[].path.type", None);
            object["spec"]["rules"][0]["matches"][0]["path"] =
                json!({ "type": kind, "value": path });
            let found = is_refused(object, "spec.rules[].matches[].path.value");
            assert_eq!(!found, taken, "{kind} {path}");
        }
    }
}

#[test]
fn the_matches_of_all_rules_are_counted_together() {
    let matches = |count: usize| json!({ "matches": vec![json!({}); count] });
    for (kind, counts, taken) in [
        ("HTTPRoute", [64, 64, 0], true),
        ("HTTPRoute", [64, 64, 1], false),
        ("GRPCRoute", [64, 64, 0], true),
        ("GRPCRoute", [64, 64, 1], false),
    ] {
        let mut object = with(kind, "spec.rules", None);
        object["spec"]["rules"] = counts.into_iter().map(matches).collect();
        assert_eq!(
            !is_refused(object, "spec.rules"),
            taken,
            "{kind} {counts:?}"
        );
    }
}
