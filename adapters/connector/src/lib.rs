//! The tunnel connector: edge discovery, registration, requests over HTTP/2 and QUIC.
//!
//! A connector dials Cloudflare's edge, proves with its token that it may join a tunnel, and then serves
//! the requests that the edge sends down the connections it keeps. It speaks the protocol of cloudflared
//! and takes that program's place: requests go to a [`RequestHandler`] in the same process.
//!
//! From the outside in: [`Connector`] is what its user holds; `supervisor` keeps the connections, each
//! on an edge address of its own (`addresses`, found by `discovery`); `transport` carries each of them; `connection`
//! is what is the same over all transports: the control stream, and how a connection ends; `exchange` is one
//! request; `wire` has the bytes.

mod addresses;
mod body;
mod connection;
mod connector;
mod discovery;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handler;
mod metrics;
mod options;
mod stalls;
mod status;
mod supervisor;
mod token;
mod transport;
mod transport_kind;
mod wire;

pub use body::{BoxError, RequestBody, RequestBodyError};
pub use connector::Connector;
pub use handler::RequestHandler;
pub use metrics::Metrics;
pub use options::{ConnectorOptions, Discovery, EdgeAddresses, EdgeRoots, StartError};
pub use status::{ConnectionState, ConnectionStatus, ConnectorStatus};
pub use token::TokenError;
pub use transport_kind::{TransportChoice, TransportKind};
