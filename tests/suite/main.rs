//! What crosses crates, in one binary: a module for each kind of test.

mod architecture;
mod contract;
mod e2e;
mod failures;
