//! Objects as the API server wrote them, cut out of a list or an event before any of them is read: one that cannot
//! be read is that object's matter and nobody else's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::ObjectKey;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What names an object. Whatever else is in it is passed over without being read, however deep it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Head {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
}

impl Head {
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }
}

/// An object that has not been read yet.
#[derive(Debug)]
pub(crate) struct RawObject<'a> {
    pub(crate) head: Head,
    text: &'a str,
}

#[derive(Deserialize)]
struct Headed {
    #[serde(default)]
    metadata: Head,
}

/// Which field cannot be read, and why. Holds nothing of the object's text but names of fields that Kubernetes knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct Unreadable {
    pub(crate) field: String,
    pub(crate) problem: &'static str,
}

impl<'a> RawObject<'a> {
    /// None where the text is no object.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        // A list would be taken for the fields in their order.
        let text = text.trim_start();
        let object = text.starts_with('{').then_some(text)?;
        let Headed { metadata } = serde_json::from_str(object).ok()?;
        Some(Self {
            head: metadata,
            text,
        })
    }

    /// The object as JSON, with this `apiVersion` and `kind`: an item of a list carries none, and metadata alone that of what
    /// it is carried by.
    pub(crate) fn value(&self, api_version: &str, kind: &str) -> Result<Value, Unreadable> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = read(self.text, "metadata")?;
        let mut object = Map::new();
        for (field, text) in fields {
            let value = read(text.get(), &field)?;
            object.insert(field.into_owned(), value);
        }
        for (field, text) in [("apiVersion", api_version), ("kind", kind)] {
            object.insert(field.to_owned(), text.into());
        }
        Ok(Value::Object(object))
    }

    pub(crate) fn status(&self) -> &'a str {
        #[derive(Deserialize)]
        struct Reported<'a> {
            #[serde(borrow)]
            status: Option<&'a RawValue>,
        }
        let reported: Option<Reported<'_>> = serde_json::from_str(self.text).ok();
        let status = reported.and_then(|reported| reported.status);
        status.map_or("null", RawValue::get)
    }

    /// One field of `spec`, where that much can be read.
    pub(crate) fn of_spec<T: Deserialize<'a>>(&self, field: &str) -> Option<T> {
        #[derive(Deserialize)]
        struct Spec<'a> {
            #[serde(borrow)]
            spec: BTreeMap<Cow<'a, str>, &'a RawValue>,
        }
        let Spec { spec } = serde_json::from_str(self.text).ok()?;
        serde_json::from_str(spec.get(field)?.get()).ok()
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, field: &str) -> Result<T, Unreadable> {
    // The error's own words may repeat what is written.
    serde_json::from_str(text).map_err(|_| Unreadable {
        field: field.to_owned(),
        problem: "it is nested more than 127 levels deep, or holds a number that is out of range; make it flatter",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn an_object_has_its_name_whatever_else_is_in_it() {
        for levels in [1, 200, 9_000] {
            let deep = nested(levels);
            let text = format!(
                r#"{{"spec":{{"a":{deep},"b":[1]}},"metadata":{{"x":{deep},"name":"n","namespace":"s"}}}}"#
            );
            let object = RawObject::of(&text).expect("an object");
            assert_eq!(object.head.key(), ObjectKey::new("s", "n"));
            assert_eq!(object.of_spec("b"), Some(vec![1]), "{levels}");
            let read = object.value("v1", "Service");
            assert_eq!(read.is_ok(), levels < 100, "{levels}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_field_and_not_repeated() {
        let text = format!(
            r#"{{"kind":"Secret","data":{{"CANARY":{}}},"metadata":{{}}}}"#,
            nested(200)
        );
        let problem = RawObject::of(&text)
            .expect("an object")
            .value("v1", "Secret");
        let problem = problem.expect_err("too deep").to_string();
        assert!(problem.starts_with("data: it is nested"), "{problem}");
        assert!(!problem.contains("CANARY"), "{problem}");
    }

    #[test]
    fn an_item_of_a_list_gets_its_kind() {
        let item = RawObject::of(r#"{"metadata":{"name":"n"}}"#).expect("an object");
        let expected =
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "n" } });
        assert_eq!(item.value("v1", "Service"), Ok(expected));
        assert!(RawObject::of("[]").is_none());
        assert!(RawObject::of("7").is_none());
    }
}
