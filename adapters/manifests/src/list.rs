//! Lists, as `kubectl get -o yaml` writes them: `kind: List`, or a kind of its own such as `HTTPRouteList`.

use serde_json::Value;

/// Lists within lists that are opened.
const DEEPEST: usize = 4;

/// Lists stand too deep within each other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooDeep;

impl TooDeep {
    pub(crate) fn message() -> String {
        format!(
            "items: lists stand within lists more than {DEEPEST} deep; write the objects one by one"
        )
    }
}

/// The objects that a document stands for, in the order written: those of a list, or the document itself.
pub(crate) fn objects(document: Value) -> Vec<Result<Value, TooDeep>> {
    let mut objects = Vec::new();
    open(document, 0, &mut objects);
    objects
}

fn open(mut value: Value, depth: usize, objects: &mut Vec<Result<Value, TooDeep>>) {
    let Some(of) = kind_of_items(&value) else {
        objects.push(Ok(value));
        return;
    };
    if depth == DEEPEST {
        objects.push(Err(TooDeep));
        return;
    }
    for mut item in items(&mut value) {
        if let (Kind::Named { api_version, kind }, Value::Object(item)) = (&of, &mut item) {
            item.entry("apiVersion")
                .or_insert_with(|| api_version.clone());
            item.entry("kind").or_insert_with(|| kind.clone());
        }
        open(item, depth + 1, objects);
    }
}

/// What a list says of its items.
enum Kind {
    /// They say it themselves.
    Own,
    /// They may leave out what the list says.
    Named { api_version: Value, kind: Value },
}

/// `None` for what is no list.
fn kind_of_items(value: &Value) -> Option<Kind> {
    let kind = value["kind"].as_str()?.strip_suffix("List")?;
    match value["items"] {
        _ if kind.is_empty() => Some(Kind::Own),
        Value::Array(_) => Some(Kind::Named {
            api_version: value["apiVersion"].clone(),
            kind: kind.into(),
        }),
        _ => None,
    }
}

fn items(list: &mut Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_stands_for_its_items() {
        let nested = |depth: usize| {
            let list = |inner: Value, _| json!({"kind": "List", "items": [inner]});
            (0..depth).fold(json!({"kind": "Service"}), list)
        };
        let route = json!({"apiVersion": "g/v1", "kind": "HTTPRoute", "x": 1});
        for (given, document, expected) in [
            (
                "no list",
                json!({"kind": "Service"}),
                vec![Ok(json!({"kind": "Service"}))],
            ),
            ("no object", json!([1]), vec![Ok(json!([1]))]),
            (
                "a kind that is called so",
                json!({"kind": "PriceList"}),
                vec![Ok(json!({"kind": "PriceList"}))],
            ),
            (
                "an empty list",
                json!({"kind": "List", "items": []}),
                vec![],
            ),
            ("a list without items", json!({"kind": "List"}), vec![]),
            (
                "objects of several kinds",
                json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, {"kind": "Secret"}]}),
                vec![
                    Ok(json!({"kind": "Service"})),
                    Ok(json!({"kind": "Secret"})),
                ],
            ),
            (
                "a list of one kind, which one of its items leaves out",
                json!({"apiVersion": "g/v1", "kind": "HTTPRouteList", "items": [{"x": 1}, route]}),
                vec![Ok(route.clone()), Ok(route.clone())],
            ),
            (
                "a list of lists",
                nested(4),
                vec![Ok(json!({"kind": "Service"}))],
            ),
            ("too many of them", nested(5), vec![Err(TooDeep)]),
        ] {
            assert_eq!(objects(document), expected, "{given}");
        }
    }
}
