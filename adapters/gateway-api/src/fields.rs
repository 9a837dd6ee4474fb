//! The fields of one object: read into types, checked, and reported by their paths.

use std::cell::RefCell;

use domain::ObjectRef;
use domain::capabilities::Feature;
use domain::gateway::{
    FeatureUse, FieldError, FieldErrorKind, Pattern, PatternBudget, PatternRoom, UnusablePattern,
};
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use crate::error::{ReadError, wrong_type};
use crate::schema;

/// An object's fields, with the field errors found in them so far.
#[derive(Debug)]
pub(crate) struct Fields {
    reference: ObjectRef,
    value: Value,
    field_errors: RefCell<Vec<FieldError>>,
    /// Paths of written fields that no type read.
    unread: RefCell<Vec<String>>,
    patterns: RefCell<PatternBudget>,
    uses: RefCell<Vec<FeatureUse>>,
}

impl Fields {
    pub(crate) fn new(reference: ObjectRef, value: Value) -> Self {
        Self {
            reference,
            value,
            field_errors: RefCell::default(),
            unread: RefCell::default(),
            patterns: RefCell::default(),
            uses: RefCell::default(),
        }
    }

    /// A top-level field, null where it is absent.
    pub(crate) fn raw(&self, name: &str) -> &Value {
        &self.value[name]
    }

    /// Reads a top-level field. What is written in it and not read is remembered for
    /// [`field_errors`](Self::field_errors).
    pub(crate) fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, ReadError> {
        let value = &self.value[name];
        if value.is_null() {
            return Ok(T::default());
        }
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
        let result = serde_ignored::deserialize(tracked, |path: Path<'_>| {
            if !is_unwritten(at(value, &path)) {
                self.unread.borrow_mut().push(render(name, &path));
            }
        });
        result.map_err(|error| {
            let path = track.path().to_string();
            let field = match path.as_str() {
                "." => name.to_owned(),
                path if path.starts_with('[') => format!("{name}{path}"),
                path => format!("{name}.{path}"),
            };
            self.error(&field, wrong_type(&error))
        })
    }

    /// An error about the whole object.
    pub(crate) fn error(&self, field: &str, message: String) -> ReadError {
        let ObjectRef { kind, key, .. } = &self.reference;
        let object = match key.namespace.as_str() {
            "" => format!("{kind} {}", key.name),
            _ => self.reference.to_string(),
        };
        ReadError {
            reference: Some(Box::new(self.reference.clone())),
            object,
            field: field.to_owned(),
            message,
        }
    }

    /// Notes a value that breaks a rule of the API.
    pub(crate) fn invalid(&self, field: impl Into<String>, message: impl Into<String>) {
        self.field_error(field.into(), FieldErrorKind::Invalid, message.into());
    }

    /// Notes a valid value that is not served.
    pub(crate) fn unsupported(&self, field: impl Into<String>, message: impl Into<String>) {
        self.field_error(field.into(), FieldErrorKind::Unsupported, message.into());
    }

    /// Notes a feature that not every data plane serves.
    pub(crate) fn uses(&self, feature: Feature, field: impl Into<String>) {
        let field = field.into();
        self.uses.borrow_mut().push(FeatureUse { field, feature });
    }

    pub(crate) fn used(&self) -> Vec<FeatureUse> {
        let mut uses = self.uses.take();
        uses.shrink_to_fit();
        uses
    }

    fn field_error(&self, field: String, kind: FieldErrorKind, message: String) {
        self.field_errors.borrow_mut().push(FieldError {
            field,
            kind,
            message,
        });
    }

    /// A TCP port. Notes a field error where it is not one.
    pub(crate) fn port(&self, field: impl Into<String>, port: i64) -> Option<u16> {
        let valid = u16::try_from(port).ok().filter(|port| *port > 0);
        if valid.is_none() {
            self.invalid(
                field,
                format!("Invalid value: {port}: must be between 1 and 65535"),
            );
        }
        valid
    }

    /// A text that must be written. Notes a field error where it is empty.
    pub(crate) fn required(&self, field: impl Into<String>, text: &str) {
        if text.is_empty() {
            self.invalid(field, "Required value: write it");
        }
    }

    /// Judges a regular expression within the budget of the object. `None` once the budget is exhausted: that
    /// was reported, and the object is refused.
    pub(crate) fn judge_pattern(&self, text: &str) -> Option<Result<Pattern, UnusablePattern>> {
        let mut patterns = self.patterns.borrow_mut();
        (!patterns.is_exhausted()).then(|| patterns.parse(text))
    }

    /// What the regular expressions of the object take when they are compiled.
    pub(crate) fn pattern_room(&self) -> PatternRoom {
        self.patterns.borrow().room()
    }

    /// The field errors that were noted.
    pub(crate) fn noted(&self) -> Vec<FieldError> {
        self.field_errors.borrow().clone()
    }

    /// Whether there is any.
    pub(crate) fn has_noted(&self) -> bool {
        !self.field_errors.borrow().is_empty()
    }

    /// Every field error: those noted, each written field that was not read, and what the schema refuses. A field inside
    /// one that is reported already is not reported again.
    pub(crate) fn field_errors(&self) -> Vec<FieldError> {
        let mut field_errors = self.field_errors.borrow().clone();
        let noted: Vec<String> = field_errors
            .iter()
            .map(|field_error| field_error.field.clone())
            .collect();
        let covered = |field: &str| noted.iter().any(|noted| is_within(field, noted));
        let unread = self.unread.borrow();
        field_errors.extend(unread.iter().filter(|field| !covered(field)).map(|field| {
            FieldError {
                field: field.clone(),
                kind: FieldErrorKind::Unsupported,
                message: "this field is not served by this version; remove it, or check its \
                              spelling"
                    .to_owned(),
            }
        }));
        let told: Vec<String> = field_errors
            .iter()
            .map(|field_error| field_error.field.clone())
            .collect();
        let faults = schema::faults(&self.reference.kind, &self.value);
        let faults = faults
            .into_iter()
            .filter(|(field, _)| !told.iter().any(|told| is_within(field, told)));
        field_errors.extend(faults.map(|(field, message)| FieldError {
            field,
            kind: FieldErrorKind::Invalid,
            message,
        }));
        field_errors
    }
}

/// Whether a field is another one or lies inside it.
pub(crate) fn is_within(field: &str, outer: &str) -> bool {
    field
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether a field says nothing: the empty list means the same as its absence.
fn is_unwritten(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn at<'v>(root: &'v Value, path: &Path<'_>) -> &'v Value {
    match path {
        Path::Root => root,
        Path::Seq { parent, index } => &at(root, parent)[*index],
        Path::Map { parent, key } => &at(root, parent)[key.as_str()],
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => at(root, parent),
    }
}

/// A path as the API's own messages write it: `spec.rules[0].filters[1].cors`.
fn render(root: &str, path: &Path<'_>) -> String {
    match path {
        Path::Root => root.to_owned(),
        Path::Seq { parent, index } => format!("{}[{index}]", render(root, parent)),
        Path::Map { parent, key } => format!("{}.{key}", render(root, parent)),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => render(root, parent),
    }
}
