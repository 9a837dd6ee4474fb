//! Statuses in the state folder: written by the sink, shown to people.

mod show;
mod sink;

use adapter_gateway_api::Kind;

pub use show::{ObjectStatus, ShownCondition, read_statuses, render};
pub(crate) use sink::StatusFolder;

/// Kinds with a status, in the order shown.
fn kinds() -> impl Iterator<Item = Kind> {
    let kinds = Kind::ALL.iter().copied();
    kinds.filter(|kind| kind.status().is_some())
}

/// The subfolder of the state folder for the objects of a kind.
fn folder(kind: Kind) -> String {
    kind.as_str().to_ascii_lowercase()
}
