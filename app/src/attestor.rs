//! What a controller shows to a broker of where it runs.

use std::path::PathBuf;

use adapter_kubernetes::{Client, published_keys};
use async_trait::async_trait;
use domain::broker::attestation::{Attestor, LARGEST_KEY_SET};
use domain::ports::{PortError, PortErrorKind};
use secrecy::SecretString;

/// Bytes of a token, at most, as a broker takes it.
const LARGEST_TOKEN: usize = 16 << 10;

/// The token of a projected volume, and the keys that the API server publishes for it.
pub struct Projected {
    file: PathBuf,
    client: Client,
}

impl Projected {
    /// The kubelet keeps the file up to date, so it is read each time.
    pub fn new(file: PathBuf, client: Client) -> Self {
        Self { file, client }
    }
}

impl std::fmt::Debug for Projected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projected")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Attestor for Projected {
    async fn token(&self) -> Result<SecretString, PortError> {
        let failed = |why: String| {
            let message = format!(
                "edge.broker.service_account_token_file: {}: {why}",
                self.file.display()
            );
            PortError::new(PortErrorKind::Invalid, message)
        };
        let text = tokio::fs::read_to_string(&self.file).await;
        let text = text.map_err(|error| failed(error.to_string()))?;
        match text.len() > LARGEST_TOKEN {
            true => Err(failed(format!("more than {LARGEST_TOKEN} bytes"))),
            false => Ok(SecretString::from(text)),
        }
    }

    async fn published_keys(&self) -> Result<Vec<u8>, PortError> {
        published_keys(&self.client, LARGEST_KEY_SET).await
    }
}
