//! The engine with real endpoints behind it and real clients in front of it.
#![allow(
    clippy::unwrap_used,
    reason = "the whole program is a test; clippy knows only its #[test] functions as such"
)]

mod answers;
mod authorizer;
mod balancing;
mod departures;
mod endpoint;
mod external_auth;
mod external_auth_grpc;
mod external_auth_order;
mod failures;
mod filters;
mod http2;
mod limits;
mod listener_filters;
mod mirrors;
mod names;
mod outliers;
mod raw_h2;
mod refusals;
mod reload;
mod retries;
mod rig;
mod routing;
mod sessions;
mod silence;
mod streaming;
mod timeouts;
mod tls;
mod upgrades;
mod visitors;
