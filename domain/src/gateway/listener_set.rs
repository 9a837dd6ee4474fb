//! ListenerSet.

use super::{FieldError, GATEWAY_GROUP, Listener};
use crate::names::{ObjectKey, ObjectRef, Timestamp};

/// Kind of the object, in group [`GATEWAY_GROUP`].
pub const LISTENER_SET_KIND: &str = "ListenerSet";

/// A ListenerSet (GEP-1713): listeners of a Gateway that stand in an object of their own, which may be in another
/// namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSet {
    pub key: ObjectKey,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none. Of two conflicting listeners that of the
    /// older ListenerSet is kept.
    pub created: Timestamp,
    /// `spec.parentRef`, with the own namespace where none is written.
    pub parent: ObjectRef,
    /// In the order written.
    pub listeners: Vec<Listener>,
    /// What cannot be acted upon, listeners excepted: those carry their own.
    pub field_errors: Vec<FieldError>,
}

impl ListenerSet {
    /// The Gateway that the listeners are for; `None` where the parent is of another kind.
    pub fn gateway(&self) -> Option<&ObjectKey> {
        let is_gateway = self.parent.group == GATEWAY_GROUP && self.parent.kind == "Gateway";
        is_gateway.then_some(&self.parent.key)
    }
}
