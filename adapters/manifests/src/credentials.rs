//! Cloudflare credentials from the Secrets in the folder.

use async_trait::async_trait;
use domain::attachment::{all_credentials_references, credentials_reference};
use domain::edge::{CredentialSets, Partial};
use domain::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY, CONTROLLER_NAME};
use domain::ports::{Credentials, PortError, PortErrorKind};
use domain::secret::CloudflareCredentials;
use domain::{ObjectKey, ObjectRef};

use crate::cluster::Cluster;
use crate::folder::ManifestFolder;

#[async_trait]
impl Credentials for ManifestFolder {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        let reference = credentials_reference(&self.present(), gateway)
            .map_err(|field_error| unusable(format!("Gateway {gateway}: {field_error}")))?;
        self.with_cluster(|cluster| credentials(cluster, &reference))
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        let snapshot = self.present();
        let references = all_credentials_references(&snapshot, CONTROLLER_NAME);
        let mut sets = CredentialSets::default();
        for reference in &references {
            sets.add(self.with_cluster(|cluster| credentials(cluster, reference)));
        }
        sets.all()
    }
}

fn credentials(
    cluster: &Cluster,
    reference: &ObjectRef,
) -> Result<CloudflareCredentials, PortError> {
    let secret = cluster.secret(reference).ok_or_else(|| {
        unusable(format!(
            "{reference} is not in the manifests folder; write a Secret of that name with the keys \
             {API_TOKEN_KEY} and {ACCOUNT_ID_KEY}"
        ))
    })?;
    secret.credentials().map_err(unusable)
}

fn unusable(message: String) -> PortError {
    PortError::new(PortErrorKind::Credentials, message)
}
