//! The bounds of a server.

use std::time::Duration;

/// Bytes of a request's head, at most.
pub(crate) const LARGEST_HEAD: usize = 16 << 10;

/// Header lines of an HTTP/1.1 request, at most.
pub(crate) const MOST_HEADERS: usize = 64;

/// Requests at a time on one HTTP/2 connection, at most.
pub(crate) const REQUESTS_OF_CONNECTION: u32 = 8;

/// Bytes of a body that an HTTP/2 client may send before they are read.
pub(crate) const STREAM_WINDOW: u32 = 128 << 10;

/// The same for all bodies of a connection.
pub(crate) const CONNECTION_WINDOW: u32 = 256 << 10;

/// How many connections a server has, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    /// Of these, connections of strangers: those without a request whose client is [known](crate::Client::known).
    pub strangers: usize,
    /// Bits of an IPv6 address that distinguish clients: 128 where each client has one address, 64 where it may
    /// choose from a network.
    pub ipv6_prefix: u8,
    /// How long a connection may take from being accepted until the head of its first request is complete, TLS
    /// included.
    pub first_request: Duration,
    /// How long a connection may be without a request after that.
    pub idle: Duration,
    /// How long a stranger's request may take, from its head to the end of its answer.
    pub request: Duration,
    /// The same for a known client; `None` for answers without an end.
    pub known_request: Option<Duration>,
    /// How long requests may go on after the order to stop.
    pub grace: Duration,
}

impl Limits {
    /// Connections from one [`Peer`](crate::Peer): a quarter of all.
    pub fn of_peer(&self) -> usize {
        (self.connections / 4).max(1)
    }
}
