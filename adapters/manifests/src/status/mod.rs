//! Statuses in the state folder: written by the sink, shown to people.

mod json;
mod show;
mod sink;

use domain::ObjectRef;

pub use show::{ObjectStatus, ShownCondition, read_statuses, render};
pub(crate) use sink::{StatusFolder, StatusRound};

/// Subfolders of the state folder with the kind of the objects in them, in the order shown.
const KINDS: [(&str, &str); 4] = [
    ("gatewayclass", "GatewayClass"),
    ("gateway", "Gateway"),
    ("httproute", "HTTPRoute"),
    ("grpcroute", "GRPCRoute"),
];

/// An object for people: `HTTPRoute default/good`, `GatewayClass cloudflare`.
pub(crate) fn object_name(reference: &ObjectRef) -> String {
    if reference.key.namespace.is_empty() {
        format!("{} {}", reference.kind, reference.key.name)
    } else {
        reference.to_string()
    }
}
