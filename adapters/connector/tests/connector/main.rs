//! The connector against a small edge: real TLS, real HTTP/2 and
//! QUIC, and `capnp-rpc` as the other side of the
//! control stream.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod edge;
mod fallback;
mod frames;
mod hostile;
mod hostile_quic;
mod lifecycle;
mod log;
mod malformed;
mod quic;
mod quic_edge;
mod raw_edge;
mod requests;
mod rig;
