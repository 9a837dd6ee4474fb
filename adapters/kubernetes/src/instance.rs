//! Which cluster this is.

use std::time::Duration;

use domain::InstanceId;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use crate::failure::{is_answered, told};

/// Made with the cluster and never replaced: its uid stands for the cluster.
const NAMESPACE: &str = "kube-system";

/// An API server that does not answer is asked again this often, this long after each failure.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// Why it is not known which cluster this is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// The API server refuses or does not answer.
    #[error(
        "Namespace {NAMESPACE} cannot be read: {0}; its uid tells this cluster from others: permit `get` of it to the controller, as the chart does"
    )]
    Unread(String),
    #[error("Namespace {NAMESPACE}: metadata.uid: {0}")]
    NoUid(String),
}

/// The id of the cluster: the uid of its namespace `kube-system`.
///
/// # Errors
/// The namespace cannot be read.
pub async fn instance_id(client: &Client) -> Result<InstanceId, InstanceError> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let mut attempts = 1;
    let namespace = loop {
        match namespaces.get(NAMESPACE).await {
            Ok(namespace) => break namespace,
            Err(error) if is_answered(&error) || attempts == ATTEMPTS => {
                return Err(InstanceError::Unread(told(&error)));
            }
            Err(_) => {}
        }
        attempts += 1;
        tokio::time::sleep(PAUSE).await;
    };
    let uid = namespace.metadata.uid.unwrap_or_default();
    InstanceId::parse(&uid).map_err(|error| InstanceError::NoUid(error.to_string()))
}
