//! The stand-in as its users see it: over HTTP and DNS.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod access;
mod batch;
mod certificates;
mod client;
mod connections;
mod direct;
mod faults;
mod names;
mod operator;
mod records;
mod tunnels;
mod zones;
