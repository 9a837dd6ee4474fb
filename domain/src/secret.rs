//! Secrets. None of these types can be printed, compared or serialised; they are wiped when dropped.

use secrecy::{ExposeSecret, SecretString};

use crate::certificate::Fingerprint;
use crate::names::AccountId;

/// A Cloudflare API token with the account it is used for.
#[derive(Clone)]
pub struct CloudflareCredentials {
    /// The account in which tunnels are made.
    pub account: AccountId,
    pub token: SecretString,
}

impl CloudflareCredentials {
    /// Whether both are the same token for the same account.
    pub fn is_same(&self, other: &Self) -> bool {
        self.account == other.account && self.token.expose_secret() == other.token.expose_secret()
    }
}

impl std::fmt::Debug for CloudflareCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudflareCredentials")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// A TLS certificate with its key.
#[derive(Clone)]
pub struct CertificatePair {
    /// The chain in PEM, the leaf first.
    pub chain: String,
    /// The private key in PEM.
    pub key: SecretString,
    pub fingerprint: Fingerprint,
}

impl std::fmt::Debug for CertificatePair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePair")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// What lets a connector join a tunnel: standard base64 of a JSON document with account tag, tunnel id
/// and tunnel secret, exactly as `cloudflared tunnel run --token` takes it.
#[derive(Clone)]
pub struct ConnectorToken(SecretString);

impl ConnectorToken {
    /// Takes the token as the API gave it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, for the connector only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether two tokens are the same one.
    pub fn is_same(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl std::fmt::Debug for ConnectorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectorToken(…)")
    }
}
