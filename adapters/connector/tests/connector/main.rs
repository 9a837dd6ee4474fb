//! The connector against a small edge: real TLS, real HTTP/2, and `capnp-rpc` as the other side of the
//! control stream.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod edge;
mod hostile;
mod lifecycle;
mod requests;
mod rig;
