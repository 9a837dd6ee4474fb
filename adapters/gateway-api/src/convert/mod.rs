//! From written types to domain values: defaults filled in, rules checked, field errors noted.

pub(crate) mod gateway;
pub(crate) mod gateway_class;
pub(crate) mod kubernetes;
pub(crate) mod parameters;
pub(crate) mod reference_grant;
pub(crate) mod route;

mod dns;
mod exposure;
mod filters;
mod grpc_route;
mod http_route;
mod matches;
mod references;
mod tenants;
mod text;
mod tunnel;
