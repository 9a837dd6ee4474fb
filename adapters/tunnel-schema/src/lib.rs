//! Cap'n Proto types of the tunnel protocol, generated from `schema/*.capnp` and checked in, so that a
//! build needs no `capnp` binary. Nothing here is written by hand but this page.
#![allow(unreachable_pub)]

/// The generated modules. The generator wants a parent module of this name.
pub mod schema {
    #[rustfmt::skip]
    #[allow(clippy::all, clippy::pedantic, dead_code, unused, rust_2018_idioms)]
    pub mod quic_metadata_protocol_capnp;
    #[rustfmt::skip]
    #[allow(clippy::all, clippy::pedantic, dead_code, unused, rust_2018_idioms)]
    pub mod tunnelrpc_capnp;
}

pub use schema::{quic_metadata_protocol_capnp, tunnelrpc_capnp};
