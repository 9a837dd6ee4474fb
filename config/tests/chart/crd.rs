//! The schema of CloudflareGatewayParameters. Its limits are what an API server checks before anything reads an object.

use serde_json::Value;

use super::helm::Chart;

/// The schema of one part of the objects of a CRD.
fn of(crd: &str, part: &str) -> Value {
    let file = Chart::Controller.folder().join("crds").join(crd);
    let text = std::fs::read_to_string(file).expect("the CRD");
    let crd: Value = serde_saphyr::from_str(&text).expect("YAML");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone()
}

fn schema() -> Value {
    of("cloudflaregatewayparameters.yaml", "spec")
}

/// A comma in an unquoted text of a flow mapping begins another field, which the API server warns of and drops.
#[test]
fn a_schema_has_no_field_with_a_space_in_its_name() {
    let status = of("cloudflaregatewaystatuses.yaml", "status");
    for (part, schema) in [("spec", schema()), ("status", status)] {
        each(part, &schema, &mut |path, schema| {
            let fields = schema.as_object().expect("a schema").keys();
            let wrong: Vec<_> = fields.filter(|field| field.contains(' ')).collect();
            assert!(wrong.is_empty(), "{path}: {wrong:?}");
        });
    }
}

/// Calls with the path and the schema of each field.
fn each(path: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        each(&format!("{path}.{name}"), field, see);
    }
    for (inner, step) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[inner].is_object() {
            each(&format!("{path}{step}"), &schema[inner], see);
        }
    }
}

#[test]
fn every_list_map_and_text_has_a_limit() {
    let mut without = Vec::new();
    each("spec", &schema(), &mut |path, schema| {
        let has = |limits: &[&str]| limits.iter().any(|limit| !schema[limit].is_null());
        let is_limited = match schema["type"].as_str() {
            Some("array") => has(&["maxItems"]),
            Some("string") => has(&["maxLength", "enum", "pattern"]),
            Some("object") => schema["additionalProperties"].is_null() || has(&["maxProperties"]),
            _ => true,
        };
        if !is_limited {
            without.push(path.to_owned());
        }
    });
    assert_eq!(without, Vec::<String>::new());
}

#[test]
fn every_field_of_the_tunnel_says_what_it_does() {
    let schema = schema();
    let tunnel = schema["properties"]["tunnel"]["properties"].as_object();
    let fields = tunnel.expect("fields").iter();
    let silent = fields.filter(|(_, field)| !field["description"].is_string());
    let silent: Vec<&String> = silent.map(|(name, _)| name).collect();
    assert_eq!(silent, [""; 0]);
}
