//! One connector's connection, whatever carries it. What is sent down a line and what comes back is
//! the same over HTTP/2 and QUIC; only this module knows the difference.

mod http2;
mod quic;
mod switch;

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use tokio::io::{DuplexStream, WriteHalf};
use tokio::net::TcpStream;

use self::http2::Http2Line;
use self::quic::QuicLine;
#[cfg(test)]
pub(super) use self::quic::metadata;
pub(super) use self::quic::{Endpoint, Incoming, server_config};
use super::Shared;
use super::body::{Body, BoxError};
use super::headers::MalformedResponse;
use super::registry::Confirmation;
use crate::cloud::TunnelConfiguration;

/// RPC messages in each direction that nobody has read yet, in bytes.
const RPC_BUFFER: usize = 64 * 1024;

/// What carries a tunnel connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/2 over TLS over TCP.
    Http2,
    /// QUIC.
    Quic,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http2 => "http2",
            Self::Quic => "quic",
        })
    }
}

/// What a visitor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// A request and its answer.
    Http,
    /// Bytes both ways, if the origin agrees with 101.
    WebSocket,
}

/// Why a request got no answer from the origin.
pub(super) enum SendFailure {
    /// It never left the edge: here it is again.
    Unsent(Box<Request<Body>>),
    /// The connection ended before the answer began.
    ConnectionEnded,
    /// The connector gave the request up; the connection lives on.
    StreamFailed(BoxError),
    /// The connector says that it could not reach the origin.
    OriginUnreachable,
    /// The connector's answer does not follow the protocol.
    Malformed(MalformedResponse),
}

/// A connection just accepted.
pub(super) enum Arriving {
    /// HTTP/2 follows.
    Tcp(TcpStream),
    /// QUIC follows.
    Udp(Box<Incoming>),
}

/// The control stream of a line.
pub(super) struct Control {
    /// For the RPC server.
    pub(super) io: DuplexStream,
    /// What the connector says.
    pub(super) from_connector: Body,
    /// Where that must be written for the RPC server to hear it.
    pub(super) to_server: WriteHalf<DuplexStream>,
}

/// A connection to a connector.
pub(super) enum Line {
    Http2(Http2Line),
    Quic(QuicLine),
}

impl Line {
    /// Makes the handshake and waits for the control stream.
    pub(super) async fn establish(
        shared: &Shared,
        arriving: Arriving,
    ) -> anyhow::Result<(Arc<Self>, Control)> {
        let (line, control) = match arriving {
            Arriving::Tcp(tcp) => {
                let (line, control) = Http2Line::establish(shared, tcp).await?;
                (Self::Http2(line), control)
            }
            Arriving::Udp(incoming) => {
                let (line, control) = QuicLine::establish(shared, *incoming).await?;
                (Self::Quic(line), control)
            }
        };
        Ok((Arc::new(line), control))
    }

    /// What carries it.
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Http2(_) => Transport::Http2,
            Self::Quic(_) => Transport::Quic,
        }
    }

    /// Sends a request and waits for the head of the origin's answer. The response has the origin's
    /// headers; 101 means that a WebSocket was agreed to.
    pub(super) async fn send(
        &self,
        kind: RequestKind,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendFailure> {
        match self {
            Self::Http2(line) => line.send(kind, request).await,
            Self::Quic(line) => line.send(kind, request).await,
        }
    }

    /// Pushes a configuration and waits for the connector's word on it.
    pub(super) async fn configure(
        &self,
        configuration: &TunnelConfiguration,
    ) -> Result<Confirmation, BoxError> {
        match self {
            Self::Http2(line) => line.configure(configuration).await,
            Self::Quic(line) => line.configure(configuration).await,
        }
    }

    /// Closes it in an orderly way. Over HTTP/2, open streams may end first.
    pub(super) fn close(&self) {
        match self {
            Self::Http2(line) => line.close(),
            Self::Quic(line) => line.close(),
        }
    }

    /// Ends it at once, as a network or an edge that fails would.
    pub(super) fn cut(&self) {
        match self {
            Self::Http2(line) => line.cut(),
            Self::Quic(line) => line.cut(),
        }
    }

    /// From now on nothing gets through either way, and the connector is told nothing.
    pub(super) fn freeze(&self) {
        match self {
            Self::Http2(line) => line.freeze(),
            Self::Quic(line) => line.freeze(),
        }
    }

    /// Whether it is frozen.
    pub(super) fn is_frozen(&self) -> bool {
        match self {
            Self::Http2(line) => line.is_frozen(),
            Self::Quic(line) => line.is_frozen(),
        }
    }

    /// Waits for its end, whoever brings it about.
    pub(super) async fn ended(&self) {
        match self {
            Self::Http2(line) => line.ended().await,
            Self::Quic(line) => line.ended().await,
        }
    }
}
