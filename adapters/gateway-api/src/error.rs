//! Why an object cannot be read.

use domain::ObjectRef;

/// Why nothing can be said of an object. Holds no value of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {message}")]
pub struct ReadError {
    /// Which object, where that much could be read.
    pub reference: Option<Box<ObjectRef>>,
    /// The object for people, e.g. `Gateway default/web`.
    pub object: String,
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// The message of a type error, for objects that hold no secret.
pub(crate) fn wrong_type(error: &serde_json::Error) -> String {
    format!("{error}; write a value of the type that the API gives this field")
}
