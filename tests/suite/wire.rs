//! One table of what goes over the wire: what a visitor sends, what an endpoint answers, and what the specification wants
//! to become of it. Each row is asked over HTTP/2 and over QUIC, with endpoints that speak HTTP/1.1 and HTTP/2; what nginx
//! makes of it as a plain proxy is asked too, where it is installed.
//!
//! `answers` is asked by visitors through the stand-in's edge; what no visitor's library sends is asked in `requests`,
//! where the test is the edge.

mod answers;
mod endpoint;
mod good;
mod line;
mod nginx;
mod policy;
mod requests;
mod rows;
mod table;
mod visitor;

use adapter_connector::TransportChoice;

/// What carries requests from the edge.
const TRANSPORTS: [TransportChoice; 2] = [TransportChoice::Http2, TransportChoice::Quic];
