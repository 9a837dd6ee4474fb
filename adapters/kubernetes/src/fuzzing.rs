//! An entry point to the reader of the API server's answers for the fuzz targets, which are outside the workspace. It panics
//! where a rule of the reader does not hold.

use std::collections::BTreeSet;

use domain::ObjectKey;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::client::Remover;
use crate::cluster::fuzzing::{Known, secret_facts};

/// Reads an answer of the API server: without managed fields, as a page of a list, as the events of a watch (one in each
/// line), and as a Secret. The first byte says what kind it is of (a digit from 0), the second in which pieces it comes.
///
/// Whatever it holds, an object is known or is known as unreadable, by the name that it has.
///
/// # Panics
/// A rule does not hold.
pub fn api_json(input: &[u8]) {
    read(input);
}

/// The same. Returns how many objects were read, and how many could not be.
fn read(input: &[u8]) -> (usize, usize) {
    let [kind, piece, answer @ ..] = input else {
        return (0, 0);
    };
    let text = without_managed_fields(answer, usize::from(*piece));
    let mut known = Known::new(usize::from(kind.wrapping_sub(b'0')));
    let listed = known.list(&text);
    known.judge(&listed);
    for line in text.split('\n') {
        let named: BTreeSet<ObjectKey> = known.event(line).into_iter().collect();
        known.judge(&named);
    }
    secret_facts(&text);
    known.count()
}

/// What is left of an answer. It is the same in whichever pieces it comes, and JSON where the answer is.
fn without_managed_fields(answer: &[u8], piece: usize) -> String {
    let kept = passed(answer, answer.len());
    assert_eq!(kept, passed(answer, piece), "pieces make no difference");
    // Behind a colon that the value followed at once, `null` stands for it.
    assert!(kept.len() <= answer.len() + answer.len() / 4 + 4);
    let text = String::from_utf8_lossy(&kept).into_owned();
    // The API server escapes no letter of a name.
    let Some(answer) = std::str::from_utf8(answer)
        .ok()
        .filter(|it| !it.contains('\\'))
    else {
        return text;
    };
    if serde_json::from_str::<IgnoredAny>(answer).is_ok() {
        serde_json::from_str::<IgnoredAny>(&text).expect("what is left of JSON is JSON");
    }
    if let Ok(mut expected) = serde_json::from_str::<Value>(answer) {
        remove_managed_fields(&mut expected);
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(expected));
    }
    text
}

fn passed(answer: &[u8], piece: usize) -> Vec<u8> {
    let mut remover = Remover::default();
    let pieces = answer.chunks(piece.max(1));
    pieces.flat_map(|piece| remover.pass(piece)).collect()
}

/// The same on a value.
fn remove_managed_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata")
                && let Some(managed) = metadata.get_mut("managedFields")
            {
                *managed = Value::Null;
            }
            fields.values_mut().for_each(remove_managed_fields);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_managed_fields),
        _ => {}
    }
}

#[cfg(test)]
#[path = "../../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(kind: usize, answer: &str) -> Vec<u8> {
        format!("{kind}\x07{answer}").into_bytes()
    }

    /// A list with one object that is read and one that is not, and the events of both.
    fn seeds() -> Vec<Vec<u8>> {
        let spec = json!({
            "gatewayClassName": "c", "parentRefs": [{ "name": "web" }],
            "listeners": [{ "name": "a", "port": 443, "protocol": "HTTPS" }],
            "rules": [{ "matches": [{ "path": { "type": "RegularExpression", "value": "/a+" } }] }],
        });
        let object = |spec: &Value| {
            json!({
                "metadata": {
                    "name": "n", "namespace": "s", "resourceVersion": "1",
                    "managedFields": [{ "fieldsV1": { "f:a": {} } }],
                },
                "spec": spec,
            })
        };
        let (good, bad) = (
            object(&spec),
            object(&json!({ "rules": 1, "listeners": 2 })),
        );
        let page = json!({ "metadata": { "resourceVersion": "2" }, "items": [good, bad] });
        let event = |kind: &str, object: &Value| json!({ "type": kind, "object": object });
        let events = [("ADDED", &good), ("DELETED", &good), ("MODIFIED", &bad)];
        let events = events.map(|(kind, object)| event(kind, object).to_string());
        (0..9)
            .flat_map(|kind| {
                [
                    input(kind, &page.to_string()),
                    input(kind, &events.join("\n")),
                ]
            })
            .collect()
    }

    #[test]
    fn no_input_of_the_corpus_breaks_a_rule() {
        corpus::run(&[("api_json", api_json)]);
    }

    #[test]
    fn whatever_becomes_of_an_answer_each_object_in_it_is_known_or_known_as_unreadable() {
        for seed in seeds() {
            let (good, bad) = read(&seed);
            assert!(good + bad > 0, "{}", String::from_utf8_lossy(&seed));
            for at in (0..seed.len()).step_by(13) {
                for byte in b"\"{9\xff" {
                    let mut changed = seed.clone();
                    changed[at] = *byte;
                    api_json(&changed);
                }
                api_json(&seed[..at]);
            }
        }
    }

    #[test]
    fn however_deep_an_answer_is_it_is_read_or_refused() {
        for (open, close) in [("[", "]"), ("{\"metadata\":", "}")] {
            for levels in [100, 200, 100_000] {
                let deep = format!("{}0{}", open.repeat(levels), close.repeat(levels));
                let object = format!(r#"{{"metadata":{{"name":"n"}},"spec":{deep}}}"#);
                for kind in 0..9 {
                    api_json(&input(kind, &deep));
                    let page = format!(r#"{{"items":[{object}]}}"#);
                    let (good, bad) = read(&input(kind, &page));
                    assert_eq!(good + bad, 1);
                }
            }
        }
    }
}
