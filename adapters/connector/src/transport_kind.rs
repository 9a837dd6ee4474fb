//! What carries connections, and how it is to be chosen.

use std::fmt;

/// What carries a connection to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransportKind {
    /// HTTP/2 over TLS over TCP.
    Http2,
    /// QUIC, which is over UDP. Its requests have no trailers, so gRPC does not work over it.
    Quic,
}

impl TransportKind {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http2 => "http2",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a connector chooses what carries its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// HTTP/2, whatever happens.
    #[default]
    Http2,
    Quic,
    /// HTTP/2, and QUIC for as long as TCP to the edge fails at every address.
    Auto {
        /// Whether requests need trailers, as gRPC does. QUIC is not used then, and the connector's
        /// status says so when it would have helped. See [`Connector::set_trailers_needed`] for
        /// requests that change.
        ///
        /// [`Connector::set_trailers_needed`]: crate::Connector::set_trailers_needed
        trailers_needed: bool,
    },
}
