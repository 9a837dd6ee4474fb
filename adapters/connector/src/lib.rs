//! The tunnel connector: edge discovery, registration, requests over HTTP/2 and QUIC.
//!
//! A connector dials Cloudflare's edge, proves with its token that it may join a tunnel, and then serves
//! the requests that the edge sends down the connections it keeps. It speaks the protocol of cloudflared
//! and takes that program's place: requests go to a [`RequestHandler`] in the same process.
//!
//! From the outside in: [`Connector`] is what its user holds; `supervisor` keeps the connections, each
//! on an edge address of its own (`addresses`, found by `discovery`); `connection` is one of them with
//! its control stream; `transport` carries it; `exchange` is one request; `wire` has the bytes.

mod addresses;
mod connection;
mod connector;
mod discovery;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod metrics;
mod options;
mod stalls;
mod status;
mod supervisor;
mod token;
mod transport;
mod wire;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use domain::route_table::Arrival;

pub use connector::{Connector, StartError};
pub use exchange::{RequestBody, RequestBodyError};
pub use metrics::Metrics;
pub use options::{ConnectorOptions, Discovery, EdgeAddresses, EdgeRoots};
pub use status::{ConnectionState, ConnectionStatus, ConnectorStatus};
pub use token::TokenError;
pub use transport::{TransportChoice, TransportKind};

/// Any error, where only its text matters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers the requests of a tunnel.
pub trait RequestHandler: Send + Sync + 'static {
    /// The body of an answer. An error of it resets the request's stream, so that the client does not
    /// take a part for the whole.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers a request. The future is dropped when the client goes away.
    ///
    /// A WebSocket comes with `Connection: Upgrade` and `Upgrade: websocket`, its body being the client's
    /// byte stream; where it is accepted the answer is a 101 whose body is the byte stream to the client.
    /// A panic becomes a 502 for this request alone.
    fn handle(
        &self,
        arrival: Arrival,
        request: http::Request<RequestBody>,
    ) -> impl Future<Output = http::Response<Self::Body>> + Send;

    /// How long a client may take nothing of an answer, as things are now; then its request is given up. It is asked
    /// twice a second.
    fn patience(&self) -> Duration {
        Duration::MAX
    }
}
