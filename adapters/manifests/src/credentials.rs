//! Cloudflare credentials from the Secrets in the folder.

use adapter_gateway_api::Secret;
use async_trait::async_trait;
use domain::attachment::{all_credentials_references, credentials_reference};
use domain::edge::{EdgeError, EdgeErrorKind};
use domain::gateway::CONTROLLER_NAME;
use domain::ports::Credentials;
use domain::secret::CloudflareCredentials;
use domain::{AccountId, ObjectKey, ObjectRef};
use secrecy::{ExposeSecret, SecretString};

use crate::cluster::Cluster;
use crate::folder::ManifestFolder;

/// Key of the API token in the Secret.
const API_TOKEN_KEY: &str = "CLOUDFLARE_API_TOKEN";
/// Key of the account id in the Secret.
const ACCOUNT_ID_KEY: &str = "CLOUDFLARE_ACCOUNT_ID";

#[async_trait]
impl Credentials for ManifestFolder {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, EdgeError> {
        let reference = credentials_reference(&self.present(), gateway)
            .map_err(|defect| unusable(format!("Gateway {gateway}: {defect}")))?;
        self.with_cluster(|cluster| credentials(cluster, &reference))
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, EdgeError> {
        let snapshot = self.present();
        let references = all_credentials_references(&snapshot, CONTROLLER_NAME);
        let mut all: Vec<CloudflareCredentials> = Vec::new();
        for reference in &references {
            let found = self.with_cluster(|cluster| credentials(cluster, reference))?;
            if !all.iter().any(|known| is_same(known, &found)) {
                all.push(found);
            }
        }
        Ok(all)
    }
}

fn credentials(
    cluster: &Cluster,
    reference: &ObjectRef,
) -> Result<CloudflareCredentials, EdgeError> {
    let secret = cluster.secret(reference).ok_or_else(|| {
        unusable(format!(
            "{reference} is not in the manifests folder; write a Secret of that name with the keys \
             {API_TOKEN_KEY} and {ACCOUNT_ID_KEY}"
        ))
    })?;
    Ok(CloudflareCredentials {
        account: AccountId::new(text(secret, ACCOUNT_ID_KEY)?.expose_secret()),
        token: text(secret, API_TOKEN_KEY)?,
    })
}

/// The text under a key, without the line end that tools put behind it.
fn text(secret: &Secret, key: &str) -> Result<SecretString, EdgeError> {
    let problem = |problem: &str| unusable(format!("Secret {}: {problem}", secret.key));
    let bytes = secret
        .value(key)
        .ok_or_else(|| problem(&format!("it has no key {key}; add it under stringData")))?;
    let text = std::str::from_utf8(bytes.expose_secret())
        .map_err(|_| problem(&format!("the value of key {key} is no text; write it anew")))?
        .trim();
    if text.is_empty() {
        return Err(problem(&format!("key {key} is empty; write its value")));
    }
    Ok(SecretString::from(text))
}

fn is_same(one: &CloudflareCredentials, other: &CloudflareCredentials) -> bool {
    one.account == other.account && one.token.expose_secret() == other.token.expose_secret()
}

fn unusable(message: String) -> EdgeError {
    EdgeError::new(EdgeErrorKind::Credentials, message)
}
