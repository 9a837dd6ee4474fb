//! Objects as users write them, named and shaped as the Go types of the Gateway API (`apis/v1`) and of
//! Kubernetes' core. A field that no data plane serves yet is a [`Value`](serde_json::Value) in routes and has no place
//! elsewhere; whatever else is written in a `spec` is found while reading and reported under its path. Numbers keep the range of JSON, so that a port of
//! 70000 is a value to report on, not a failure to read. No type is flattened, tagged or untagged: those
//! would hide unread fields from `serde_ignored`. A small kind has its types where it is converted.

mod gateway;
mod grpc_route;
mod http_route;
mod kubernetes;
mod parameters;
mod parameters_tunnel;
mod shared;

pub(crate) use gateway::*;
pub(crate) use grpc_route::*;
pub(crate) use http_route::*;
pub(crate) use kubernetes::*;
pub(crate) use parameters::*;
pub(crate) use parameters_tunnel::*;
pub(crate) use shared::*;

/// Declares a type that mirrors a Go struct: every field may be absent.
macro_rules! api_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $name {
            $($(#[$attribute])* pub(crate) $field: $type,)*
        }
    };
}
pub(crate) use api_type;
