//! What a watch has to say.

use domain::ObjectKey;

/// What changed. `T` is what is read of an object.
#[derive(Debug)]
pub(crate) enum News<T> {
    /// All objects there are; others are gone.
    Listed(Vec<T>),
    /// One is new or changed.
    Put(T),
    Gone(ObjectKey),
    /// What was said before still holds.
    Alive,
    /// The kind does not exist here.
    Absent,
    /// Reading fails, and has for a while.
    Failing(String),
}
