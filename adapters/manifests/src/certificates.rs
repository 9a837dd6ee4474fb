//! Certificates of listeners from the Secrets in the folder.

use adapter_gateway_api::Secret;
use async_trait::async_trait;
use domain::edge::{EdgeError, EdgeErrorKind};
use domain::ports::Certificates;
use domain::secret::CertificatePair;
use domain::{ObjectKey, ObjectRef};

use crate::folder::ManifestFolder;

#[async_trait]
impl Certificates for ManifestFolder {
    async fn pair(&self, secret: &ObjectKey) -> Result<CertificatePair, EdgeError> {
        let reference = ObjectRef {
            group: String::new(),
            kind: "Secret".to_owned(),
            key: secret.clone(),
        };
        self.with_cluster(|cluster| {
            let found = cluster.secret(&reference);
            let found = found.ok_or_else(|| "it is not in the manifests folder".to_owned());
            found.and_then(Secret::certificate_pair)
        })
        .map_err(|problem| {
            let message = format!("{reference}: {problem}");
            EdgeError::new(EdgeErrorKind::NotFound, message)
        })
    }
}
