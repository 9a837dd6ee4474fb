//! TLS certificates of listeners: what may be known of them without their keys, and which zones they are
//! for; and the certificate authorities that backends are checked by. A wildcard in a certificate stands for one label (RFC 9525, section 6.3), one in a listener for any
//! number of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::names::{Hostname, Timestamp};

/// Key of the certificate chain in a TLS Secret.
pub const CERTIFICATE_KEY: &str = "tls.crt";

/// Key of the private key in a TLS Secret.
pub const PRIVATE_KEY_KEY: &str = "tls.key";

/// Key of the certificate authorities in a ConfigMap or Secret (Gateway API, `caCertificateRefs`).
pub const CA_KEY: &str = "ca.crt";

/// Bytes of the certificate authorities of one ConfigMap or Secret: all that a browser trusts are fewer.
pub const LARGEST_CA_BUNDLE: usize = 256 << 10;

/// Certificate authorities: at least one certificate, in PEM, and nothing else, at most [`LARGEST_CA_BUNDLE`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "String", into = "String")
)]
pub struct CaBundle(Arc<str>);

impl CaBundle {
    /// The certificates in PEM.
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl From<String> for CaBundle {
    fn from(pem: String) -> Self {
        Self(pem.into())
    }
}

impl From<CaBundle> for String {
    fn from(bundle: CaBundle) -> Self {
        bundle.0.as_ref().to_owned()
    }
}

/// What a ConfigMap or Secret holds under `ca.crt`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TrustBundle {
    /// The key is not there.
    #[default]
    Absent,
    /// Certificate authorities.
    Usable(CaBundle),
    /// Something else; the problem names the key and quotes no value.
    Malformed(String),
}

/// The first half of the SHA-256 of a certificate chain as written, in hexadecimal: enough to tell two
/// chains apart, and short enough for a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Fingerprint(String);

#[cfg(feature = "serde")]
impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be 32 lower-case hexadecimal digits")
    }
}

#[cfg(feature = "serde")]
impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl Fingerprint {
    /// Of a chain in PEM.
    pub fn of(chain: &[u8]) -> Self {
        let digest = Sha256::digest(chain);
        Self(
            digest[..16]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// DNS names that it is for, as far as they can be hostnames.
    pub names: BTreeSet<Hostname>,
    /// The last second in which it is valid.
    pub not_after: Timestamp,
    /// Tells it from others.
    pub fingerprint: Fingerprint,
}

/// What a Secret holds under `tls.crt` and `tls.key`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TlsPair {
    /// One of the keys, or both, are not there.
    #[default]
    Absent,
    /// A certificate and its key.
    Usable(CertificateFacts),
    /// Something else; the problem names the key of the Secret and never quotes a value.
    Malformed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let fingerprint = Fingerprint::of(b"chain");
        let text = fingerprint.to_string();
        assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        for other in ["", "abc", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(Fingerprint::parse(other), None, "{other}");
        }
    }
}
