//! Statuses as files: `<state>/<kind>/<namespace>/<name>.json`, shaped as Kubernetes shows them.

mod directory;
mod document;
mod table;

pub(crate) use directory::StatusDirectory;
pub use table::{StatusError, StatusRow, read_statuses, render};
