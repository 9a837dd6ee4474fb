//! The operations of a document, and requests for them that are filled with somebody's names.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// The document of the plane for clusters.
pub(super) static OF_CLUSTERS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&adapter_broker::openapi::cluster_plane()).expect("a document")
});

/// The document of the plane for people.
pub(super) static OF_PEOPLE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&adapter_broker::openapi::people_plane()).expect("a document")
});

/// One method of one path.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) path: &'static str,
    pub(super) method: String,
    described: &'static Value,
    document: &'static Value,
}

/// Every operation of a document.
pub(super) fn operations(document: &'static Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = move |(path, item): (&'static String, &'static Value)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, described)| Operation {
            path,
            method: method.to_uppercase(),
            described,
            document,
        })
    };
    paths.iter().flat_map(of_path).collect()
}

/// By what somebody's things are named: a value for every place of a request.
pub(super) trait Names {
    /// What stands where a text of this form belongs.
    fn of_schema(&self, schema: &str) -> Option<&str>;

    /// What stands where any text may.
    fn text(&self) -> &str;

    /// Values that this schema takes: one of each alternative, and each other field as in the first.
    fn fill(&self, document: &Value, schema: &Value) -> Vec<Value> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().expect("a name");
            return match self.of_schema(name) {
                Some(text) => vec![json!(text)],
                None => self.fill(document, &document["components"]["schemas"][name]),
            };
        }
        for several in ["oneOf", "allOf"] {
            if let Some(all) = schema[several].as_array() {
                let filled = all.iter().map(|one| self.fill(document, one));
                return filled.flatten().collect();
            }
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.clone();
        }
        match schema["type"].as_str().or(schema["type"][0].as_str()) {
            Some("object") => self.fill_object(document, schema),
            Some("array") => {
                let items = self.fill(document, &schema["items"]).into_iter();
                items.map(|item| json!([item])).collect()
            }
            Some("integer") => vec![json!(1)],
            Some("boolean") => vec![json!(false), json!(true)],
            Some("null") => Vec::new(),
            Some("string") => vec![json!(self.text())],
            other => panic!("{other:?} has no values yet: {schema}"),
        }
    }

    fn fill_object(&self, document: &Value, schema: &Value) -> Vec<Value> {
        if schema["propertyNames"].is_object() {
            let names = self.fill(document, &schema["propertyNames"]);
            let values = self.fill(document, &schema["additionalProperties"]);
            let name = names[0].as_str().expect("a text").to_owned();
            let mut map = Map::new();
            map.insert(name, values[0].clone());
            return vec![Value::Object(map)];
        }
        let nothing = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&nothing);
        let fields = properties.iter();
        let fields: Vec<_> = fields
            .map(|(name, of)| (name, self.fill(document, of)))
            .collect();
        let first = fields.iter();
        let first = first.map(|(name, values)| ((*name).clone(), values[0].clone()));
        let first: Map<String, Value> = first.collect();
        let mut all = vec![Value::Object(first.clone())];
        for (name, values) in &fields {
            for value in &values[1..] {
                let mut other = first.clone();
                other.insert((*name).clone(), value.clone());
                all.push(Value::Object(other));
            }
        }
        all
    }
}

impl Operation {
    /// Whether it takes a session.
    pub(super) fn needs_session(&self) -> bool {
        self.described["security"][0]["session"].is_array()
    }

    /// The path with these names in it, each in its place.
    pub(super) fn path_of(&self, namespace: &str, name: &str) -> String {
        self.path
            .replace("{namespace}", namespace)
            .replace("{name}", name)
    }

    /// The query that it takes.
    pub(super) fn query(&self) -> &'static str {
        let parameters = self.described["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        let first = parameters.find(|parameter| parameter["in"] == "query");
        match first.and_then(|parameter| parameter["name"].as_str()) {
            Some("since") => "?since=0",
            Some(_) => "?version=1&after=0",
            None => "",
        }
    }

    /// Whether it takes this header.
    pub(super) fn takes_header(&self, name: &str) -> bool {
        let parameters = self.described["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        parameters.any(|parameter| parameter["in"] == "header" && parameter["name"] == name)
    }

    /// Bodies of it with these names; `None` where it takes none.
    pub(super) fn bodies(&self, names: &impl Names) -> Vec<Option<Value>> {
        let content = &self.described["requestBody"]["content"]["application/json"]["schema"];
        match content.is_object() {
            true => names
                .fill(self.document, content)
                .into_iter()
                .map(Some)
                .collect(),
            false => vec![None],
        }
    }

    /// Types of the problems that it may answer with this status.
    pub(super) fn problems(&self, status: u16) -> Vec<&'static str> {
        let response = &self.described["responses"][status.to_string()];
        let schema = &response["content"]["application/problem+json"]["schema"];
        let types = schema["allOf"][1]["properties"]["type"]["enum"].as_array();
        let types = types.into_iter().flatten();
        types.filter_map(Value::as_str).collect()
    }

    /// Whether it may answer so where it is no problem.
    pub(super) fn succeeds_with(&self, status: u16) -> bool {
        let response = &self.described["responses"][status.to_string()];
        response["content"]["application/json"].is_object() || status == 204 && response.is_object()
    }
}
