//! The broker's own Cloudflare credentials: one account, with its API token in a file.

use std::path::PathBuf;

use async_trait::async_trait;
use domain::edge::Partial;
use domain::ports::{Credentials, PortError};
use domain::secret::CloudflareCredentials;
use domain::{AccountId, ObjectKey};
use parking_lot::Mutex;
use secrecy::SecretString;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file holds something else. The message does not repeat it.
    #[error(
        "{} does not hold a token: one line of visible ASCII is expected",
        .0.display()
    )]
    NoToken(PathBuf),
}

/// Reads a file with one token in it.
pub fn read_token(path: &std::path::Path) -> Result<SecretString, TokenFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| TokenFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TokenFileError::NoToken(path.to_owned()));
    }
    Ok(SecretString::from(token))
}

/// [`Credentials`] that are the same for every Gateway of every cluster. The file is read again for each
/// use, so that a replaced token needs no restart; while it cannot be read, the last token stays in use.
pub struct FileCredentials {
    account: AccountId,
    path: PathBuf,
    last: Mutex<SecretString>,
}

impl FileCredentials {
    /// Reads the file for the first time; then it must be good.
    pub fn open(account: AccountId, path: PathBuf) -> Result<Self, TokenFileError> {
        let last = Mutex::new(read_token(&path)?);
        Ok(Self {
            account,
            path,
            last,
        })
    }

    fn now(&self) -> CloudflareCredentials {
        let mut last = self.last.lock();
        match read_token(&self.path) {
            Ok(token) => *last = token,
            Err(error) => tracing::warn!("{error}; the last token stays in use"),
        }
        CloudflareCredentials {
            account: self.account.clone(),
            token: last.clone(),
        }
    }
}

#[async_trait]
impl Credentials for FileCredentials {
    async fn of(&self, _gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        Ok(self.now())
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        Ok(vec![self.now()])
    }
}
