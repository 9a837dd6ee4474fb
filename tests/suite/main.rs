//! What crosses crates, in one binary: a module for each kind of test.
// A panic is how a test fails, in the functions that tests share as well.
#![allow(clippy::unwrap_used)]

mod architecture;
mod broker;
mod cluster;
mod conditions;
mod contract;
mod docs;
mod e2e;
mod failures;
mod genuine;
mod hostile;
mod peers;
mod plan;
#[path = "../../adapters/broker-store/tests/postgres/mod.rs"]
mod postgres;
mod records;
mod simulation;
mod timing;
mod vectors;
mod wire;
