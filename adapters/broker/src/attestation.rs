//! Tokens of ServiceAccounts (Kubernetes' projected tokens) and the keys that a cluster publishes for them. Nobody is asked: both
//! come from the cluster, and which keys are the cluster's is decided in [`domain::broker::attestation`].

use std::collections::BTreeSet;
use std::fmt;

use domain::broker::attestation::{
    LARGEST_KEY_SET, PublicKey, PublicKeys, Shown as ShownByCluster, Token,
};
use domain::broker::oidc::Claims;
use domain::broker::{Code, Refusal};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
    EllipticCurveKeyType, Jwk, KeyAlgorithm, PublicKeyUse, RSAKeyParameters, RSAKeyType,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::jwt::Shown;
use crate::wire::AttestationDocument;

pub use domain::broker::attestation::KeysError;

/// Why a key set is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("keys: Too long: must be at most {LARGEST_KEY_SET} bytes")]
    TooLarge,
    #[error("keys: Invalid value: must be a JSON Web Key Set (RFC 7517) as a cluster publishes it")]
    Malformed,
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// RFC 7517, section 5. Keys of an unknown sort are left out, so each is read by itself.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Reads what a cluster publishes at `/openid/v1/jwks`: the keys for RS256 and ES256, and no others.
pub fn read_key_set(text: &[u8]) -> Result<PublicKeys, KeySetError> {
    if text.len() > LARGEST_KEY_SET {
        return Err(KeySetError::TooLarge);
    }
    let set: KeySet = serde_json::from_slice(text).map_err(|_| KeySetError::Malformed)?;
    let keys = set.keys.into_iter();
    let keys = keys.filter_map(|key| public_key(serde_json::from_value(key).ok()?));
    Ok(PublicKeys::new(keys)?)
}

/// A key with its id, if tokens can be verified by it here.
fn public_key(key: Jwk) -> Option<(String, PublicKey)> {
    let Jwk { common, algorithm } = key;
    let signs = common
        .public_key_use
        .is_none_or(|used| used == PublicKeyUse::Signature);
    let named = common.key_algorithm;
    let (known, fits) = match algorithm {
        AlgorithmParameters::RSA(RSAKeyParameters { n, e, .. }) => {
            (PublicKey::Rsa { n, e }, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            let EllipticCurveKeyParameters { x, y, .. } = point;
            (PublicKey::P256 { x, y }, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    let is_used = signs && named.is_none_or(|named| named == fits);
    is_used.then_some((common.key_id?, known))
}

/// The same key, as whoever verifies wants it.
fn jwk(id: &str, key: &PublicKey) -> Jwk {
    let (algorithm, parameters) = match key {
        PublicKey::Rsa { n, e } => {
            let parameters = AlgorithmParameters::RSA(RSAKeyParameters {
                key_type: RSAKeyType::RSA,
                n: n.clone(),
                e: e.clone(),
            });
            (KeyAlgorithm::RS256, parameters)
        }
        PublicKey::P256 { x, y } => {
            let parameters = AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve: EllipticCurve::P256,
                x: x.clone(),
                y: y.clone(),
            });
            (KeyAlgorithm::ES256, parameters)
        }
    };
    Jwk {
        common: CommonParameters {
            key_id: Some(id.to_owned()),
            key_algorithm: Some(algorithm),
            ..CommonParameters::default()
        },
        algorithm: parameters,
    }
}

/// A token of a ServiceAccount as a cluster shows it. It may be none.
pub struct ServiceAccountToken(SecretString);

impl ServiceAccountToken {
    /// Nothing of it is true before it was verified.
    pub fn new(text: SecretString) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceAccountToken")
    }
}

impl Token for ServiceAccountToken {
    fn verify(&self, keys: &PublicKeys) -> Option<Claims> {
        let shown = Shown::read(self.0.expose_secret()).ok()?;
        let wanted = shown.wanted();
        // Kubernetes always names the key. So one signature is looked at, however many keys there are.
        let names_key = wanted.id.is_some();
        if !names_key || !matches!(wanted.algorithm, Algorithm::RS256 | Algorithm::ES256) {
            return None;
        }
        let all = keys.iter().map(|(id, key)| jwk(id, key));
        let fitting: Vec<Jwk> = all.filter(|key| wanted.may_be(key)).collect();
        shown.verify(&fitting, &BTreeSet::new()).ok()
    }
}

/// What a document shows.
pub(crate) fn shown(document: AttestationDocument) -> Result<ShownByCluster, Refusal> {
    let keys = document.keys.as_ref();
    let keys = keys.map(|text| read_key_set(text.as_bytes())).transpose();
    let keys = keys.map_err(|error| {
        let detail = format!("attestation.{error}");
        Refusal::new(Code::AttestationRefused, detail)
    })?;
    let token = ServiceAccountToken::new(SecretString::from(document.token));
    Ok(ShownByCluster {
        token: Box::new(token),
        keys,
    })
}

#[cfg(test)]
mod tests;
