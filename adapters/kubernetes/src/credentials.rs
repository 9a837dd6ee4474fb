//! Cloudflare credentials and certificates from Secrets, each read when it is asked for and kept nowhere.

use std::sync::Arc;

use adapter_gateway_api::{Kind, Secret};
use async_trait::async_trait;
use domain::attachment::{all_credentials_references, credentials_reference};
use domain::edge::{CredentialSets, Partial};
use domain::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY, CONTROLLER_NAME};
use domain::ports::{Certificates, Credentials, PortError, PortErrorKind};
use domain::secret::{CertificatePair, CloudflareCredentials};
use domain::snapshot::ClusterSnapshot;
use domain::{ObjectKey, ObjectRef};
use kube::Client;

use crate::cluster::{Cluster, secret};
use crate::object_name::is_possible;

/// Credentials of Gateways, by the references of their GatewayClasses and parameters.
pub struct SecretCredentials {
    client: Client,
    cluster: Arc<Cluster>,
}

impl std::fmt::Debug for SecretCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretCredentials").finish_non_exhaustive()
    }
}

impl SecretCredentials {
    /// References come from what the cluster shows, Secrets through the client.
    pub fn new(client: Client, cluster: Arc<Cluster>) -> Self {
        Self { client, cluster }
    }

    fn present(&self) -> Result<Arc<ClusterSnapshot>, PortError> {
        self.cluster.present().ok_or_else(|| {
            let message = "the cluster was not read yet";
            PortError::unavailable(message.to_owned())
        })
    }
}

/// The Cloudflare credentials in a Secret, read now.
///
/// # Errors
/// It is not there, cannot be read, or lacks a key. The message quotes no value.
pub async fn credentials_of(
    client: &Client,
    reference: &ObjectRef,
) -> Result<CloudflareCredentials, PortError> {
    let missing = || {
        unusable(format!(
            "{reference} does not exist; make a Secret of that name with the keys \
             {API_TOKEN_KEY} and {ACCOUNT_ID_KEY}"
        ))
    };
    if !is_possible(&reference.key) {
        return Err(missing());
    }
    let found = read(client, reference).await?.ok_or_else(missing)?;
    found.credentials().map_err(unusable)
}

/// The certificate with its key in a Secret of type `kubernetes.io/tls`, read now.
///
/// # Errors
/// It is not there, cannot be read, or holds none. The message quotes no value.
pub async fn pair_of(client: &Client, secret: &ObjectKey) -> Result<CertificatePair, PortError> {
    let reference = Kind::Secret.reference(secret.clone());
    let not_found =
        |problem: &str| PortError::new(PortErrorKind::NotFound, format!("{reference}: {problem}"));
    let found = read(client, &reference).await?;
    let found = found.ok_or_else(|| not_found("it does not exist"))?;
    found
        .certificate_pair()
        .map_err(|problem| not_found(&problem))
}

async fn read(client: &Client, reference: &ObjectRef) -> Result<Option<Secret>, PortError> {
    let found = secret(client, &reference.key).await;
    found.map_err(|why| {
        let message = format!("{reference} could not be read: {why}");
        PortError::unavailable(message)
    })
}

#[async_trait]
impl Credentials for SecretCredentials {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        let reference = credentials_reference(&*self.present()?, gateway)
            .map_err(|field_error| unusable(format!("Gateway {gateway}: {field_error}")))?;
        credentials_of(&self.client, &reference).await
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        let snapshot = self.present()?;
        let references = all_credentials_references(&snapshot, CONTROLLER_NAME);
        let mut sets = CredentialSets::default();
        for reference in &references {
            sets.add(credentials_of(&self.client, reference).await);
        }
        sets.all()
    }
}

#[async_trait]
impl Certificates for SecretCredentials {
    async fn pair(&self, secret: &ObjectKey) -> Result<CertificatePair, PortError> {
        pair_of(&self.client, secret).await
    }
}

fn unusable(message: String) -> PortError {
    PortError::new(PortErrorKind::Credentials, message)
}
