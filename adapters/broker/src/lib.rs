//! The broker: it holds Cloudflare credentials and makes the edge intents of many clusters true.
//!
//! - [`wire`]: the documents that client and server exchange.
//! - [`problem`]: refusals and failures (RFC 9457).
//! - [`identity`]: by what a cluster is known.
//! - [`attestation`]: tokens of ServiceAccounts, by which it is known where a cluster's controller runs.
//! - [`client`]: [`BrokerEdge`], the `Edge` of a cluster that has no Cloudflare credentials.
//! - [`server`]: what clusters ask, over HTTP.
//! - [`openapi`]: the same as a document of OpenAPI.
//! - [`people`]: what people ask, over HTTP.
//! - [`engine`]: makes true what clusters stated.
//! - [`tokens`]: API tokens, tried before they count. - [`rays`]: Cloudflare's ids of calls, for the audit.
//! - [`seal`]: secrets as they are stored.
//! - [`audit`]: what is signed of the audit, what is cut, and whether it is true.
//! - [`serve`](mod@serve): the server on a listener, with or without TLS, and its bounds.
//!
//! What is decided is in [`domain::broker`], and what is kept in a [`Store`](domain::broker::ports::Store).

pub mod attestation;
pub mod audit;
pub mod client;
pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod identity;
mod jwt;
pub mod openapi;
mod outage;
pub mod people;
pub mod problem;
mod rate;
pub mod rays;
pub mod seal;
pub mod serve;
pub mod server;
pub mod tokens;
pub mod wire;

pub use client::{BrokerEdge, ClientError, ClientSettings};
pub use engine::Engine;
pub use serve::{LISTENER_LIMITS, TlsError, serve, tls_config};
pub use server::{ClusterPlane, router};
