//! The connection to the API server.

use kube::{Client, Config};

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
    Ok(Client::try_from(Config::infer().await?)?)
}
