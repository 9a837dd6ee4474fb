//! Takes `metadata.managedFields` out of the JSON that the API server answers, while it comes in.
//!
//! Nobody here reads it, it is often half of an object, and whoever may create an object may nest it 10,000 levels
//! deep: deeper than any parser reads. What is left may be read by types of the Kubernetes API.

/// The field that is taken out.
const FIELD: &[u8] = b"managedFields";

/// The field whose value it must be in.
const METADATA: &[u8] = b"metadata";

/// What stands in its place.
const NOTHING: &[u8] = b"null";

/// Reads JSON piece by piece. Text that is no JSON passes as it is.
#[derive(Debug, Default)]
pub(crate) struct Remover {
    /// What is open, outermost first.
    open: Vec<Container>,
    text: Option<Text>,
    /// The name that was read last, as far as it matters.
    name: Name,
    /// The next text is the name of a field.
    expects_name: bool,
    skipped: Option<Skipped>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    List,
    Object,
    /// The value of a field `metadata`.
    Metadata,
}

/// A text that has not ended.
#[derive(Debug, Default)]
struct Text {
    is_name: bool,
    /// The next character has no meaning of its own.
    escaped: bool,
    /// The beginning of a name; one byte more than the longest that matters.
    name: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Name {
    #[default]
    Other,
    Metadata,
    ManagedFields,
}

/// The value that is being taken out.
#[derive(Debug, Default)]
struct Skipped {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Skipped {
    /// Whether the value was over before this byte.
    fn is_over(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'[' | b'{' => self.depth += 1,
            b',' | b'}' | b']' if self.depth == 0 => return true,
            b']' | b'}' => self.depth -= 1,
            _ => {}
        }
        false
    }
}

impl Remover {
    /// The next piece, without what is taken out.
    pub(crate) fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(piece.len());
        for byte in piece {
            if let Some(skipped) = &mut self.skipped {
                if !skipped.is_over(*byte) {
                    continue;
                }
                self.skipped = None;
            }
            kept.push(*byte);
            if self.read(*byte) {
                kept.extend_from_slice(NOTHING);
                self.skipped = Some(Skipped::default());
            }
        }
        kept
    }

    /// Takes note of a byte. Whether the value that follows it is to be taken out.
    fn read(&mut self, byte: u8) -> bool {
        if let Some(text) = &mut self.text {
            if text.goes_on(byte) {
                return false;
            }
            if text.is_name {
                self.name = text.as_name();
            }
            self.text = None;
            return false;
        }
        match byte {
            b'"' => {
                self.text = Some(Text {
                    is_name: std::mem::take(&mut self.expects_name),
                    ..Text::default()
                });
            }
            b':' => return self.name == Name::ManagedFields && self.is_in(Container::Metadata),
            b'{' => {
                self.open.push(match self.name {
                    Name::Metadata => Container::Metadata,
                    Name::ManagedFields | Name::Other => Container::Object,
                });
                self.begin_field();
            }
            b'[' => {
                self.open.push(Container::List);
                self.name = Name::Other;
            }
            b'}' | b']' => {
                self.open.pop();
                self.name = Name::Other;
            }
            b',' if !self.is_in(Container::List) => self.begin_field(),
            _ => {}
        }
        false
    }

    fn begin_field(&mut self) {
        self.name = Name::Other;
        self.expects_name = true;
    }

    fn is_in(&self, container: Container) -> bool {
        self.open.last() == Some(&container)
    }
}

impl Text {
    fn goes_on(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => return false,
            _ => {}
        }
        if self.is_name && self.name.len() <= FIELD.len() {
            self.name.push(byte);
        }
        true
    }

    fn as_name(&self) -> Name {
        match self.name.as_slice() {
            METADATA => Name::Metadata,
            FIELD => Name::ManagedFields,
            _ => Name::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn passed(text: &str, piece: usize) -> String {
        let mut remover = Remover::default();
        let pieces = text.as_bytes().chunks(piece);
        let kept: Vec<u8> = pieces.flat_map(|piece| remover.pass(piece)).collect();
        String::from_utf8(kept).unwrap()
    }

    #[test]
    fn managed_fields_are_taken_out_of_metadata_and_nothing_else_is() {
        let other = json!({
            "managedFields": 1, "a": ["metadata", "managedFields", { "managedFields": [2] }],
            "text": "\"metadata\":{\"managedFields\":[3]}\\", "spec": { "managedFields": {} },
            "metadata": "managedFields", "empty": {}, "none": null,
        });
        let values = [
            json!([{ "manager": "k", "fieldsV1": { "f:a": { "]": "}\"\\" } } }]),
            json!([]),
            json!("a text with , and }"),
            json!(7),
            Value::Null,
        ];
        for value in values {
            for at in [0, 1] {
                let mut fields = [
                    format!(r#" "managedFields" : {value} "#),
                    r#""labels":{"managedFields":"x"}"#.to_owned(),
                ];
                fields.rotate_left(at);
                let metadata = format!("{{{}}}", fields.join(","));
                let object = format!(r#"{{"metadata": {metadata}, "other": {other}}}"#);
                let list = format!("{{\"items\":[{object},\n{object}]}}");
                for piece in [1, 2, 3, 7, 4096] {
                    let read: Value = serde_json::from_str(&passed(&list, piece)).unwrap();
                    for item in [&read["items"][0], &read["items"][1]] {
                        assert_eq!(item["metadata"]["managedFields"], Value::Null);
                        assert_eq!(item["metadata"]["labels"]["managedFields"], "x");
                        assert_eq!(item["other"], other, "{piece} bytes at a time");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_nested_10_000_levels_deep_is_taken_out_too() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let text = format!(r#"{{"metadata":{{"managedFields":[{deep}],"name":"n"}},"spec":{{}}}}"#);
        let read: Value = serde_json::from_str(&passed(&text, 100)).unwrap();
        let expected = json!({ "metadata": { "managedFields": null, "name": "n" }, "spec": {} });
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_json_passes_as_it_is() {
        for text in ["<html>", "}}]]", "\"", "{\"metadata\"}", ""] {
            assert_eq!(passed(text, 1), text);
        }
    }
}
