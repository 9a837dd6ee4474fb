//! From written types to domain values: defaults filled in, rules checked, field errors noted.

pub(crate) mod backend_tls;
pub(crate) mod backend_traffic;
pub(crate) mod external;
pub(crate) mod gateway;
pub(crate) mod gateway_class;
pub(crate) mod kubernetes;
pub(crate) mod listener_set;
pub(crate) mod parameters;
pub(crate) mod reference_grant;
pub(crate) mod route;

mod addresses;
mod dns;
mod exposure;
mod filters;
mod frontend;
mod grpc_route;
mod http_route;
mod matches;
mod references;
mod retry;
mod session;
mod tenants;
mod text;
mod tunnel;
