//! Certificates of listeners from the Secrets in the folder.

use adapter_gateway_api::{Kind, Secret};
use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{Certificates, PortError, PortErrorKind};
use domain::secret::CertificatePair;

use crate::folder::ManifestFolder;

#[async_trait]
impl Certificates for ManifestFolder {
    async fn pair(&self, secret: &ObjectKey) -> Result<CertificatePair, PortError> {
        let reference = Kind::Secret.reference(secret.clone());
        self.with_cluster(|cluster| {
            let found = cluster.secret(&reference);
            let found = found.ok_or_else(|| "it is not in the manifests folder".to_owned());
            found.and_then(Secret::certificate_pair)
        })
        .map_err(|problem| {
            let message = format!("{reference}: {problem}");
            PortError::new(PortErrorKind::NotFound, message)
        })
    }
}
