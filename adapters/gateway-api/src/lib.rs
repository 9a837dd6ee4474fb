//! Gateway API and core objects as users write them, and their conversion to domain values.
//!
//! [`read`] takes one object as JSON and refuses as little as it can. What the user got wrong becomes a
//! [`FieldError`](domain::gateway::FieldError) of the domain value wherever that value can still stand, and so
//! does every field of a `spec` that no type here reads: a field is served or reported, never ignored.
//! A [`ReadError`] is for objects whose kind, name or fields cannot be read at all.
//!
//! The types inside mirror the Go types of the Gateway API under their own names, as far as they are
//! served.

mod config_map;
mod convert;
mod error;
mod fields;
mod kind;
mod metadata;
mod object;
mod parent_refs;
mod schema;
mod secret;
mod snapshot;
pub mod status;
mod tls;
mod types;

pub use config_map::ConfigMap;
pub use error::ReadError;
pub use kind::{Kind, Scope, StatusShape};
pub use object::{Object, read};
pub use parent_refs::{OnlyParentRef, ParentRefs};
pub use secret::Secret;
pub use snapshot::SnapshotBuilder;
