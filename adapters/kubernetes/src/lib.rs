//! Kubernetes as the cluster: watches, statuses, finalizers, leadership, credentials, identities.
//!
//! Everything is read as JSON and converted by `adapter-gateway-api`, so an object that is not as its kind should
//! be never stops a watch.

mod client;
mod cluster;
mod credentials;
mod failure;
mod finalizers;
mod kept_secret;
mod lease;
mod object_name;
mod status;
mod token_reviews;

pub use client::{ConnectError, connect};
pub use cluster::{Cluster, WatchTimes};
pub use credentials::SecretCredentials;
pub use finalizers::{FINALIZER, Finalizers};
pub use kept_secret::{KeptSecret, KeptSecretError, KeptSecretErrorKind};
pub use kube::Client;
pub use lease::{Lease, LeaseOptions};
pub use status::{SUPPORTED_FEATURES, Statuses};
pub use token_reviews::TokenReviews;

/// Name under which this software writes: field manager, and source of events.
const FIELD_MANAGER: &str = "cloudflare-gateway-controller";
