//! What an API server refuses by the Gateway API's schemas; without an API server this does.
//!
//! `schema/rules.txt` has the rules of v1.7.0 and v1.6.1, experimental channel, the wider one where they differ;
//! `tests/reading/crd_fields.py` makes it. Rules between several fields (CEL) stand where the fields are read.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// Faults of one object that are reported.
const TOLD: usize = 32;

/// Characters of a value that a message repeats.
const SHOWN: usize = 80;

static SCHEMAS: LazyLock<HashMap<&'static str, Node>> = LazyLock::new(|| {
    let mut schemas: HashMap<&str, Node> = HashMap::new();
    let mut patterns = HashMap::new();
    for line in include_str!("schema/rules.txt").lines() {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().unwrap_or_default();
        let (kind, path, rules) = (next(), next(), next());
        let written: Constraints = serde_json::from_str(rules).expect("rules of a schema");
        schemas.entry(kind).or_default().at(path).rules = Rules::new(written, &mut patterns);
    }
    schemas
});

/// A field of a schema.
#[derive(Debug, Default)]
struct Node {
    rules: Rules,
    fields: HashMap<&'static str, Node>,
    items: Option<Box<Node>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Constraints {
    r#enum: Vec<Value>,
    max_items: Option<usize>,
    max_length: Option<usize>,
    maximum: Option<i64>,
    min_items: Option<usize>,
    min_length: Option<usize>,
    minimum: Option<i64>,
    pattern: Option<String>,
    required: Vec<String>,
}

#[derive(Debug, Default)]
struct Rules {
    written: Constraints,
    pattern: Option<Arc<Regex>>,
}

impl Rules {
    fn new(written: Constraints, patterns: &mut HashMap<String, Arc<Regex>>) -> Self {
        let pattern = written.pattern.as_ref().map(|text| {
            let compile = || Arc::new(Regex::new(text).expect("a pattern of a schema"));
            patterns.entry(text.clone()).or_insert_with(compile).clone()
        });
        Self { written, pattern }
    }
}

impl Node {
    /// The node of a path such as `spec.rules[].name`, made where it is missing.
    fn at(&mut self, path: &'static str) -> &mut Self {
        let mut at = self;
        for step in path.split('.') {
            let name = step.trim_end_matches("[]");
            at = at.fields.entry(name).or_default();
            for _ in 0..(step.len() - name.len()) / 2 {
                at = at.items.get_or_insert_default();
            }
        }
        at
    }
}

/// What the schema of a kind refuses in an object: fields and messages. Kinds of other groups have none here.
pub(crate) fn faults(kind: &str, object: &Value) -> Vec<(String, String)> {
    let mut walk = Walk::default();
    if let Some(schema) = SCHEMAS.get(kind) {
        let spec = &schema.fields["spec"];
        walk.path.push_str("spec");
        walk.visit(spec, object.get("spec").unwrap_or(&Value::Null));
    }
    walk.faults
}

#[derive(Debug, Default)]
struct Walk {
    path: String,
    faults: Vec<(String, String)>,
}

impl Walk {
    /// A schema is not deep, so neither is this, whatever the object is.
    fn visit(&mut self, node: &Node, value: &Value) {
        if self.faults.len() >= TOLD {
            return;
        }
        let rules = &node.rules.written;
        match value {
            Value::Object(fields) => {
                for name in &rules.required {
                    if !fields.contains_key(name) {
                        self.within(&format!(".{name}"), |walk| {
                            walk.note("Required value: write it".to_owned());
                        });
                    }
                }
                for (name, value) in fields {
                    if let Some(inner) = node.fields.get(name.as_str()) {
                        self.within(&format!(".{name}"), |walk| walk.visit(inner, value));
                    }
                }
            }
            Value::Array(items) => {
                self.check_count(rules, items.len());
                for (index, value) in items.iter().enumerate() {
                    if let Some(inner) = &node.items {
                        self.within(&format!("[{index}]"), |walk| walk.visit(inner, value));
                    }
                }
            }
            Value::String(text) => self.check_text(&node.rules, text),
            Value::Number(number) => self.check_number(rules, number.as_i64()),
            Value::Null | Value::Bool(_) => {}
        }
        let is_scalar = matches!(value, Value::String(_) | Value::Number(_));
        if is_scalar && !rules.r#enum.is_empty() && !rules.r#enum.contains(value) {
            let served: Vec<_> = rules.r#enum.iter().map(ToString::to_string).collect();
            self.note(format!(
                "Unsupported value: {}: write one of {}",
                shown(&value.to_string()),
                served.join(", ")
            ));
        }
    }

    fn check_count(&mut self, rules: &Constraints, count: usize) {
        if let Some(most) = rules.max_items.filter(|most| count > *most) {
            self.note(format!("Too many: {count}: must have at most {most} items"));
        }
        if let Some(least) = rules.min_items.filter(|least| count < *least) {
            self.note(format!(
                "Invalid value: {count}: must have at least {least} items"
            ));
        }
    }

    fn check_text(&mut self, rules: &Rules, text: &str) {
        let length = text.chars().count();
        if let Some(longest) = rules.written.max_length.filter(|longest| length > *longest) {
            return self.note(format!(
                "Too long: must have at most {longest} characters, has {length}"
            ));
        }
        let value = shown(&format!("{text:?}"));
        if let Some(shortest) = rules
            .written
            .min_length
            .filter(|shortest| length < *shortest)
        {
            self.note(format!(
                "Invalid value: {value}: must have at least {shortest} characters"
            ));
        } else if let Some(pattern) = rules.pattern.as_ref().filter(|p| !p.is_match(text)) {
            self.note(format!(
                "Invalid value: {value}: must be of the form {}",
                pattern.as_str()
            ));
        }
    }

    fn check_number(&mut self, rules: &Constraints, number: Option<i64>) {
        let Some(number) = number else { return };
        if let Some(most) = rules.maximum.filter(|most| number > *most) {
            self.note(format!("Invalid value: {number}: must be at most {most}"));
        }
        if let Some(least) = rules.minimum.filter(|least| number < *least) {
            self.note(format!("Invalid value: {number}: must be at least {least}"));
        }
    }

    fn within(&mut self, step: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        visit(self);
        self.path.truncate(length);
    }

    fn note(&mut self, message: String) {
        self.faults.push((self.path.clone(), message));
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
