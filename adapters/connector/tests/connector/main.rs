//! The connector against a small edge: real TLS, real HTTP/2, and `capnp-rpc` as the other side of the
//! control stream.

mod edge;
mod lifecycle;
mod requests;
mod rig;
