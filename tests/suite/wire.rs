//! One table of what goes over the wire: what a visitor sends, what an endpoint answers, and what must follow by the
//! specification. Each row runs over HTTP/2 and over QUIC, with endpoints that speak HTTP/1.1 and HTTP/2, and through
//! nginx as a plain proxy where it is installed.
//!
//! In `answers` visitors send requests through the stand-in's edge. In `requests` the test itself is the edge, because no
//! library of a visitor sends these.

mod answers;
pub(crate) mod backend_tls;
mod endpoint;
mod external_auth;
mod good;
mod kinds;
mod line;
mod mirrors;
mod nginx;
mod policy;
mod requests;
mod rows;
mod table;
mod visitor;

use adapter_connector::TransportChoice;

/// What carries requests from the edge.
const TRANSPORTS: [TransportChoice; 2] = [TransportChoice::Http2, TransportChoice::Quic];
