//! The broker: it holds Cloudflare credentials and makes the edge intents of many clusters true.
//!
//! - [`wire`]: the documents that client and server exchange.
//! - [`problem`]: refusals and failures (RFC 9457).
//! - [`client`]: [`BrokerEdge`], the `Edge` of a cluster that has no Cloudflare credentials.
//! - [`auth`]: which cluster a bearer token stands for.
//! - [`server`]: the HTTP API over one `Edge` for each cluster.
//! - [`serve`](mod@serve): the server on a listener, with or without TLS, and its bounds.
//! - [`credentials`]: the broker's own Cloudflare credentials, from a file.
//!
//! A cluster is known by its token alone. Its name is the installation name of its own `Edge`, so the marks
//! at Cloudflare keep clusters apart; nothing else is stored.

pub mod auth;
pub mod client;
pub mod credentials;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod limits;
mod outage;
pub mod problem;
pub mod serve;
pub mod server;
pub mod wire;

pub use auth::{Cluster, ClusterTokenHash};
pub use client::{BrokerEdge, ClientError, ClientSettings};
pub use credentials::FileCredentials;
pub use limits::ClusterLimits;
pub use serve::{LISTENER_LIMITS, TlsError, serve, tls_config};
pub use server::router;
