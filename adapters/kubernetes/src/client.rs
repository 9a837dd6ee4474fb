//! The connection to the API server.

use std::time::Duration;

use kube::{Client, Config};

/// An API server that is there accepts connections well within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither KUBECONFIG (or `~/.kube/config`) nor a pod's ServiceAccount says where the cluster is.
    #[error("no cluster is configured: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount")]
    NotConfigured(#[from] kube::config::InferConfigError),
    /// The configuration cannot be used, e.g. a certificate that cannot be read.
    #[error("the cluster's configuration cannot be used: {0}")]
    Unusable(#[from] kube::Error),
}

/// A client for the cluster that KUBECONFIG names, or else for the one that this pod runs in. No call is
/// made yet.
///
/// # Errors
/// No cluster is configured, or its configuration cannot be used.
pub async fn connect() -> Result<Client, ConnectError> {
    let mut config = Config::infer().await?;
    // Who calls decides when to try again: a renewal of the Lease must not hang in silent retries.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(Client::try_from(config)?)
}
