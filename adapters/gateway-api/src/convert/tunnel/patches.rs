//! `spec.tunnel.patches`: RFC 6902. Whether an operation fits the Deployment is seen where it is carried out.

use domain::gateway::PatchOperation;
use serde_json::{Value, json};

use super::{at_most, json, one_of};
use crate::fields::Fields;
use crate::types::ParametersPatch;

const FIELD: &str = "spec.tunnel.patches";

/// Limits of the CRD.
const MOST_OPERATIONS: usize = 128;
const LONGEST_POINTER: usize = 1024;

/// All operations together, as JSON.
const MOST_BYTES: usize = 64 * 1024;

pub(super) fn read(fields: &Fields, written: &[ParametersPatch]) -> Vec<PatchOperation> {
    if !at_most(fields, FIELD, written.len(), MOST_OPERATIONS) {
        return Vec::new();
    }
    let each = written.iter().enumerate();
    let read: Vec<PatchOperation> = each
        .filter_map(|(index, written)| operation(fields, &format!("{FIELD}[{index}]"), written))
        .collect();
    let bytes: usize = read.iter().map(|read| read.json.as_str().len()).sum();
    if bytes > MOST_BYTES {
        let message = format!("Too long: {bytes} bytes: must have at most {MOST_BYTES} together");
        fields.invalid(FIELD, message);
        return Vec::new();
    }
    read
}

fn operation(fields: &Fields, field: &str, written: &ParametersPatch) -> Option<PatchOperation> {
    let ParametersPatch {
        op,
        path,
        from,
        value,
    } = written;
    let known = ["add", "remove", "replace", "move", "copy", "test"];
    let is_known = one_of(fields, &format!("{field}.op"), op, &known);
    let mut whole = json!({"op": op, "path": path});
    let mut fits = is_known && is_pointer(fields, &format!("{field}.path"), path);
    let mut needed = |name: &str, value: Option<Value>| match value {
        Some(value) => whole[name] = value,
        None => {
            let message = format!("Required value: {op} needs it");
            fields.invalid(format!("{field}.{name}"), message);
            fits = false;
        }
    };
    match op.as_str() {
        "move" | "copy" => needed("from", from.as_deref().map(Value::from)),
        "add" | "replace" | "test" => needed("value", value.clone()),
        _ => {}
    }
    if let Some(from) = from
        .as_deref()
        .filter(|_| matches!(op.as_str(), "move" | "copy"))
    {
        fits &= is_pointer(fields, &format!("{field}.from"), from);
    }
    fits.then(|| PatchOperation {
        op: op.clone(),
        path: path.clone(),
        json: json(&whole),
    })
}

/// Whether a text is a JSON pointer (RFC 6901).
fn is_pointer(fields: &Fields, field: &str, text: &str) -> bool {
    let starts = text.is_empty() || text.starts_with('/');
    let mut parts = text.split('~').skip(1);
    let is_one = starts && parts.all(|rest| rest.starts_with(['0', '1']));
    if !is_one || text.len() > LONGEST_POINTER {
        let message = format!(
            "Invalid value: {:?}: must be a JSON pointer of at most {LONGEST_POINTER} bytes, such as /spec/template/spec/hostname",
            text.chars().take(80).collect::<String>()
        );
        fields.invalid(field, message);
        return false;
    }
    true
}
