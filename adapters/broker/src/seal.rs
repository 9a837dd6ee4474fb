//! Secrets as they are stored: AES-256-GCM with a data key for each, which is wrapped by a key that is elsewhere.
//!
//! What a secret is for (tenant, account and version of a token) is authenticated with it, so a row of the store that is put in
//! another one's place cannot be opened. To replace the wrapping key costs no secret: data keys alone are wrapped again.
//!
//! - [`written`]: keys in a file or an environment variable. Those in modules and services are other crates'.
//! - [`ring`]: keys of several kinds at once. - `data_keys`: data keys that were unwrapped.

mod data_keys;
pub mod ring;
pub mod written;

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use domain::broker::ports::{
    KeyWrap, Purpose, Seal, Sealed, SecretId, Secrets, StoreError, Wrapped,
};
use domain::ports::{Entropy, PortError, PortErrorKind};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use data_keys::DataKeys;

pub use data_keys::KEPT_DATA_KEYS;

/// Bytes of a nonce, which stands before what is enciphered with it.
const NONCE: usize = 12;

/// [`Seal`] with any [`KeyWrap`].
pub struct Envelopes {
    keys: Arc<dyn KeyWrap>,
    entropy: Arc<dyn Entropy>,
    unwrapped: DataKeys,
}

impl Envelopes {
    /// Sealing with data keys of this entropy, which these keys wrap. A data key is unwrapped once and kept in memory, so
    /// what was opened once can be opened while whatever holds the keys is away.
    pub fn new(keys: Arc<dyn KeyWrap>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            keys,
            entropy,
            unwrapped: DataKeys::default(),
        }
    }

    /// Wraps the data keys of all secrets by the present key that are wrapped by another one, of whatever kind. It can be
    /// interrupted and begun again; several brokers may do it at once. How many it wrapped.
    pub async fn wrap_again(&self, secrets: &dyn Secrets) -> Result<usize, StoreError> {
        const PAGE: usize = 100;
        let failed = |error: PortError| StoreError::Failed(error.to_string());
        let mut wrapped = 0;
        loop {
            // Asked again, as it may be replaced meanwhile.
            let current = self.keys.current().await.map_err(failed)?;
            let page = secrets.wrapped_otherwise(&current, PAGE).await?;
            if page.is_empty() {
                return Ok(wrapped);
            }
            for (secret, before) in &page {
                let after = self.wrapped_again(secret, before).await?;
                secrets.wrap_again(secret, before, &after).await?;
                wrapped += 1;
            }
        }
    }

    async fn wrapped_again(
        &self,
        secret: &SecretId,
        before: &Sealed,
    ) -> Result<Sealed, StoreError> {
        let failed =
            |error: PortError| StoreError::Failed(format!("a secret of {}: {error}", secret.owner));
        let data_key = self.keys.unwrap(&wrapping_of(before)).await;
        let wrapped = self.keys.wrap(&data_key.map_err(failed)?).await;
        Ok(sealed(wrapped.map_err(failed)?, before.ciphertext.clone()))
    }

    async fn data_key(&self, sealed: &Sealed) -> Result<Arc<SecretSlice<u8>>, PortError> {
        let wrapped = wrapping_of(sealed);
        if let Some(known) = self.unwrapped.find(&wrapped) {
            return Ok(known);
        }
        let key = self.keys.unwrap(&wrapped).await?;
        Ok(self.unwrapped.keep(&wrapped, key))
    }
}

fn wrapping_of(sealed: &Sealed) -> Wrapped {
    Wrapped {
        key: sealed.key.clone(),
        bytes: sealed.wrapped.clone(),
    }
}

fn sealed(wrapped: Wrapped, ciphertext: Vec<u8>) -> Sealed {
    Sealed {
        key: wrapped.key,
        wrapped: wrapped.bytes,
        ciphertext,
    }
}

/// What is authenticated with a secret.
fn in_words(purpose: Purpose<'_>) -> String {
    match purpose {
        Purpose::Token(account, version) => {
            let (tenant, name, id) = (&account.tenant, &account.name, &account.cloudflare);
            format!("cfgw token {tenant} {name} {id} {}", version.0)
        }
        Purpose::OneTimeCodes(person) => format!("cfgw one-time codes {person}"),
        Purpose::Pair {
            tenant,
            cluster,
            gateway,
            fingerprint,
        } => format!("cfgw certificate {tenant} {cluster} {gateway} {fingerprint}"),
        Purpose::SigningKey(key) => format!("cfgw signing key {key}"),
    }
}

#[async_trait]
impl Seal for Envelopes {
    async fn seal(&self, purpose: Purpose<'_>, secret: &SecretString) -> Result<Sealed, PortError> {
        let mut unpredictable = self.entropy.secret();
        let data_key = SecretSlice::from(unpredictable.to_vec());
        unpredictable.zeroize();
        let plain = secret.expose_secret().as_bytes();
        let ciphertext = encipher(&data_key, &in_words(purpose), plain)?;
        let wrapped = self.keys.wrap(&data_key).await?;
        self.unwrapped.keep(&wrapped, data_key);
        Ok(sealed(wrapped, ciphertext))
    }

    async fn open(&self, purpose: Purpose<'_>, sealed: &Sealed) -> Result<SecretString, PortError> {
        let data_key = self.data_key(sealed).await?;
        let opened = decipher(&data_key, &in_words(purpose), &sealed.ciphertext)?;
        let text = std::str::from_utf8(opened.expose_secret());
        text.map(SecretString::from).map_err(|_| not_ours())
    }
}

fn cipher(key: &SecretSlice<u8>) -> Result<RandomizedNonceKey, PortError> {
    RandomizedNonceKey::new(&AES_256_GCM, key.expose_secret()).map_err(|_| not_ours())
}

fn encipher(key: &SecretSlice<u8>, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, PortError> {
    let mut text = plain.to_vec();
    let nonce = cipher(key)?
        .seal_in_place_append_tag(Aad::from(purpose), &mut text)
        .map_err(|_| not_ours())?;
    let mut whole = nonce.as_ref().to_vec();
    whole.append(&mut text);
    Ok(whole)
}

fn decipher(
    key: &SecretSlice<u8>,
    purpose: &str,
    whole: &[u8],
) -> Result<SecretSlice<u8>, PortError> {
    let (nonce, text) = whole.split_at_checked(NONCE).ok_or_else(not_ours)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_ours())?;
    let mut text = text.to_vec();
    let cipher = cipher(key)?;
    let plain = cipher.open_in_place(nonce, Aad::from(purpose), &mut text);
    // Of its very size, so that no copy is left behind.
    let plain = plain.map(|plain| SecretSlice::from(plain.to_vec()));
    text.zeroize();
    plain.map_err(|_| not_ours())
}

fn not_ours() -> PortError {
    let message = "a sealed secret cannot be opened: it was changed, is of something else, or the key is another one";
    PortError::new(PortErrorKind::Credentials, message)
}

#[cfg(test)]
mod tests;
