//! By what a broker knows a cluster: a key that was made there and never leaves it.
//!
//! - [`key`]: the key, in the cluster.
//! - [`proof`]: a proof that whoever asks has it, which is good for one request (DPoP, RFC 9449).
//!
//! Proofs are part of a request's head, so they pass through whatever ends TLS on the way: an ingress before the broker, a
//! forward proxy of the cluster. Client certificates would not (docs/decisions/0027-dpop.md).

pub mod key;
pub mod proof;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::broker::ports::Digest;
use domain::ports::Entropy;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// A code or token of 32 unpredictable bytes, in base64url.
pub fn unpredictable(entropy: &dyn Entropy) -> SecretString {
    SecretString::from(URL_SAFE_NO_PAD.encode(entropy.secret()))
}

/// 32 unpredictable bytes of the system.
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has unpredictable bytes");
    bytes
}

/// By what the store knows a code or token. It holds 32 unpredictable bytes, so a fast hash tells nothing of it.
pub fn digest(secret: &SecretString) -> Digest {
    Sha256::digest(secret.expose_secret()).into()
}
