//! An authoritative name server for the zones, the tunnels' own names and edge discovery. It answers
//! from the very records that the API changes, so a name resolves only if somebody made it right.

mod resolve;
mod server;

use std::net::IpAddr;

pub use server::{DnsOptions, NameServer};

/// One region of the edge, as connectors discover it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeRegion {
    /// Where its edge listens for connectors.
    pub addresses: Vec<IpAddr>,
    /// The port, the same on all of them.
    pub port: u16,
}
