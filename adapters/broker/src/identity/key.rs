//! The key of a cluster: P-256.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::broker::cluster::Thumbprint;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::{ExposeSecret, SecretString};

/// Why a key cannot be used. The message does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster's key cannot be read: a P-256 key in PKCS#8 (DER, in base64) is expected; remove it and enrol the cluster again"
)]
pub struct KeyError;

/// The key pair of a cluster. It is made there and kept there.
#[derive(Clone)]
pub struct ClusterKey {
    text: SecretString,
    signs: EncodingKey,
    public: Jwk,
    thumbprint: Thumbprint,
}

impl ClusterKey {
    /// A new key.
    pub fn generate() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .expect("the system has unpredictable bytes");
        let text = SecretString::from(STANDARD.encode(document.as_ref()));
        Self::parse(&text).expect("a key that was just made is one")
    }

    /// Reads what [`ClusterKey::text`] gave.
    pub fn parse(text: &SecretString) -> Result<Self, KeyError> {
        let der = STANDARD.decode(text.expose_secret().trim());
        let der = der.map_err(|_| KeyError)?;
        // What is no key at all would be found out at the first signature only.
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|_| KeyError)?;
        let signs = EncodingKey::from_ec_der(&der);
        let mut public = Jwk::from_encoding_key(&signs, Algorithm::ES256).map_err(|_| KeyError)?;
        // Nothing but the key: what is not in it cannot be asked about.
        public.common = Default::default();
        let thumbprint = thumbprint(&public).ok_or(KeyError)?;
        Ok(Self {
            text: text.clone(),
            signs,
            public,
            thumbprint,
        })
    }

    /// The key as it is kept.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// By which the broker accepts it.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    pub(super) fn signs(&self) -> &EncodingKey {
        &self.signs
    }

    pub(super) fn public(&self) -> &Jwk {
        &self.public
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey({})", self.thumbprint)
    }
}

/// RFC 7638, SHA-256.
pub(super) fn thumbprint(public: &Jwk) -> Option<Thumbprint> {
    let text = public.thumbprint(ThumbprintHash::SHA256).ok()?;
    Thumbprint::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_after_it_was_kept() {
        let key = ClusterKey::generate();
        let again = ClusterKey::parse(key.text()).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_ne!(ClusterKey::generate().thumbprint(), key.thumbprint());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_told() {
        for text in ["", "canary", "Y2FuYXJ5"] {
            let refused = ClusterKey::parse(&SecretString::from(text)).unwrap_err();
            assert!(!refused.to_string().contains("canary"), "{text}");
        }
        let key = ClusterKey::generate();
        assert!(!format!("{key:?}").contains(key.text().expose_secret()));
    }
}
