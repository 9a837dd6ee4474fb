//! The schema of CloudflareGatewayParameters. Its limits are what an API server checks before anything reads an object.

use serde_json::Value;

use super::helm::chart;

fn schema() -> Value {
    let file = chart().join("crds/cloudflaregatewayparameters.yaml");
    let text = std::fs::read_to_string(file).expect("the CRD");
    let crd: Value = serde_saphyr::from_str(&text).expect("YAML");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
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
