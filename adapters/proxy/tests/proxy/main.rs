//! The engine with real endpoints behind it and real clients in front of it.
#![allow(
    clippy::unwrap_used,
    reason = "the whole program is a test; clippy knows only its #[test] functions as such"
)]

mod answers;
mod balancing;
mod endpoint;
mod failures;
mod limits;
mod names;
mod reload;
mod rig;
mod routing;
mod streaming;
mod upgrades;
