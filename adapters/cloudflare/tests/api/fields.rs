//! What the calls send is what `tests/judges/fields.json` says, to the field. The judges hold that list
//! against the official libraries; what the client reads is held against it beside its types.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::every_call;

/// Call, field, type.
type Field = (String, String, String);

const LIST: &str = include_str!("../../../../tests/judges/fields.json");

fn listed(direction: &str) -> BTreeSet<Field> {
    let list: Vec<Value> = serde_json::from_str(LIST).unwrap();
    let text = |field: &Value, key: &str| field[key].as_str().unwrap().to_owned();
    list.iter()
        .filter(|field| field["direction"] == direction)
        .map(|field| {
            (
                text(field, "call"),
                text(field, "path"),
                text(field, "type"),
            )
        })
        .collect()
}

/// Fields of a document, without the document itself and the items of its lists.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    let kind = match value {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                fields(value, &path, found);
            }
            "object"
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{path}[]"), found);
            }
            "array"
        }
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Null => "null",
    };
    if !path.is_empty() && !path.ends_with("[]") {
        found.insert((path.to_owned(), kind.to_owned()));
    }
}

#[test]
fn every_field_that_is_sent_is_one_that_the_judges_know_and_the_other_way_round() {
    let mut sent = BTreeSet::new();
    for call in every_call() {
        let mut found = BTreeSet::new();
        fields(&call.body.unwrap_or_default(), "", &mut found);
        sent.extend(
            found
                .into_iter()
                .map(|(path, kind)| (call.name.to_owned(), path, kind)),
        );
    }
    assert_eq!(sent, listed("write"));
}

#[test]
fn every_parameter_that_is_sent_is_one_that_the_judges_know_and_the_other_way_round() {
    let kind = |value: &str| match value {
        "true" | "false" => "boolean",
        number if number.parse::<u64>().is_ok() => "integer",
        _ => "string",
    };
    let calls = every_call().into_iter();
    let sent: BTreeSet<Field> = calls
        .flat_map(|call| {
            let parameters = call.query.into_iter();
            parameters.map(move |(name, value)| {
                (
                    call.name.to_owned(),
                    name.to_owned(),
                    kind(value).to_owned(),
                )
            })
        })
        .collect();
    assert_eq!(sent, listed("query"));
}
