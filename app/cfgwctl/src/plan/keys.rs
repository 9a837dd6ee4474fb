//! Credentials and certificates from Secrets: of the manifests where they are there, else of the cluster.

use std::sync::Arc;

use adapter_gateway_api::Kind;
use adapter_kubernetes::Client;
use adapter_manifests::Manifests;
use async_trait::async_trait;
use domain::attachment::{all_credentials_references, credentials_reference};
use domain::edge::{CredentialSets, Partial};
use domain::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY, CONTROLLER_NAME};
use domain::ports::{Certificates, Credentials, PortError, PortErrorKind};
use domain::secret::{CertificatePair, CloudflareCredentials};
use domain::snapshot::ClusterSnapshot;
use domain::{ObjectKey, ObjectRef};

/// Where Secrets are.
pub(super) struct Keys {
    pub(super) snapshot: Arc<ClusterSnapshot>,
    pub(super) manifests: Option<Manifests>,
    pub(super) client: Option<Client>,
}

fn unusable(message: String) -> PortError {
    PortError::new(PortErrorKind::Credentials, message)
}

impl Keys {
    async fn credentials(&self, reference: &ObjectRef) -> Result<CloudflareCredentials, PortError> {
        let manifests = self.manifests.as_ref();
        if let Some(found) = manifests.and_then(|it| it.credentials(reference)) {
            return found.map_err(unusable);
        }
        match &self.client {
            Some(client) => adapter_kubernetes::credentials_of(client, reference).await,
            None => Err(unusable(format!(
                "{reference} is not in the files; write a Secret of that name with the keys {API_TOKEN_KEY} and {ACCOUNT_ID_KEY}"
            ))),
        }
    }
}

#[async_trait]
impl Credentials for Keys {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        let reference = credentials_reference(&self.snapshot, gateway)
            .map_err(|field_error| unusable(format!("Gateway {gateway}: {field_error}")))?;
        self.credentials(&reference).await
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        let references = all_credentials_references(&self.snapshot, CONTROLLER_NAME);
        let mut sets = CredentialSets::default();
        for reference in &references {
            sets.add(self.credentials(reference).await);
        }
        sets.all()
    }
}

#[async_trait]
impl Certificates for Keys {
    async fn pair(&self, secret: &ObjectKey) -> Result<CertificatePair, PortError> {
        let reference = Kind::Secret.reference(secret.clone());
        let not_found = |problem: String| {
            PortError::new(PortErrorKind::NotFound, format!("{reference}: {problem}"))
        };
        let manifests = self.manifests.as_ref();
        if let Some(found) = manifests.and_then(|it| it.pair(&reference)) {
            return found.map_err(not_found);
        }
        match &self.client {
            Some(client) => adapter_kubernetes::pair_of(client, secret).await,
            None => Err(not_found("it is not in the files".to_owned())),
        }
    }
}
