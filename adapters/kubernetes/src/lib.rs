//! Kubernetes as the cluster: watches, statuses, finalizers, leadership, credentials, identities, and the
//! [`workloads`] that proxies are.
//!
//! Lists and events are cut into objects before any of them is read, so that a malformed object does not keep others
//! from being read; `adapter-gateway-api` converts them.

mod client;
mod cluster;
mod credentials;
mod failure;
mod finalizers;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod instance;
mod kept_secret;
mod kind;
mod lease;
mod object_name;
mod orphans;
mod owner;
mod published_keys;
mod requested_token;
mod rotations;
mod status;
mod token_reviews;
pub mod workloads;

pub use client::{Clients, ConnectError, connect, connect_to};
pub use cluster::{Cluster, ClusterOptions, WatchTimes, secrets_once, snapshot_once, trust_once};
pub use credentials::{SecretCredentials, credentials_of, pair_of};
pub use failure::told;
pub use finalizers::{FINALIZER, Finalizers};
pub use instance::{InstanceError, instance_id};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
pub use kept_secret::{KeptSecret, KeptSecretError, KeptSecretErrorKind};
pub use kube::{Client, Config};
pub use lease::{Lease, LeaseOptions};
pub use orphans::KeptOrphans;
pub use owner::deployment_as_owner;
pub use published_keys::published_keys;
pub use requested_token::requested_token;
pub use rotations::{ROTATION_ANNOTATION, Rotations};
pub use status::Statuses;
pub use token_reviews::TokenReviews;
