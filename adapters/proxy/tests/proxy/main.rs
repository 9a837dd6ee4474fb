//! The engine with real endpoints behind it and real clients in front of it.

mod balancing;
mod endpoint;
mod failures;
mod limits;
mod reload;
mod rig;
mod routing;
mod streaming;
mod upgrades;
