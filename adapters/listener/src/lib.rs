//! HTTP servers whose clients are strangers: how many connections there are at a time, how long each may be
//! without a request, how long a request may take and how large its head may be is bounded before anybody knows
//! who asks. hyper bounds what happens within a connection; which connections there are is decided here.
//!
//! - [`serve`]: accepts connections and serves HTTP on them.
//! - [`Limits`]: the bounds of one server.
//! - [`Client`]: who sent a request; each request carries it as an extension. [`Known`]: it is no stranger.
//! - [`Peer`]: from where a client comes.
//! - [`AtMostEvery`]: keeps what strangers cause from filling the log.

mod connections;
mod limits;
mod log;
mod peer;
mod serve;

pub use connections::{Client, Known};
pub use limits::Limits;
pub use log::AtMostEvery;
pub use peer::Peer;
pub use serve::{Security, Server, Versions, serve};
