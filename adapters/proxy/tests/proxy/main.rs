//! The engine with real endpoints behind it and real clients in front of it.
#![allow(
    clippy::unwrap_used,
    reason = "the whole program is a test; clippy knows only its #[test] functions as such"
)]

mod answers;
mod balancing;
mod departures;
mod endpoint;
mod failures;
mod filters;
mod http2;
mod limits;
mod names;
mod raw_h2;
mod refusals;
mod reload;
mod rig;
mod routing;
mod silence;
mod streaming;
mod timeouts;
mod upgrades;
