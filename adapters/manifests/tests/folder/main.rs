//! What the folder does, seen from outside: files in, ports and state folder out.

#![allow(
    clippy::unwrap_used,
    reason = "what a test cannot go on without may panic"
)]

mod credentials;
mod objects;
mod problems;
mod statuses;
mod support;
mod watching;
