//! Which key a token may be signed with.

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};

/// Which key a token was signed with.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) id: Option<String>,
    pub(crate) algorithm: Algorithm,
}

impl Wanted {
    /// A token without an id of a key may be signed with any.
    pub(crate) fn may_be(&self, key: &Jwk) -> bool {
        let common = &key.common;
        let is_it = self.id.is_none() || self.id == common.key_id;
        let named = common.key_algorithm;
        let fits = named.is_none_or(|named| named == KeyAlgorithm::from(self.algorithm));
        let used = common.public_key_use.as_ref();
        let signs = used.is_none_or(|used| *used == PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        let verifies = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        is_it && fits && signs && verifies && is_of(self.algorithm, key)
    }
}

/// Whether a key is for an algorithm. Those with a shared secret have none: whoever knows what everybody may know could sign.
fn is_of(algorithm: Algorithm, key: &Jwk) -> bool {
    match (algorithm, &key.algorithm) {
        (
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
            AlgorithmParameters::RSA(_),
        ) => true,
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(key)) => {
            key.curve == EllipticCurve::P256
        }
        (Algorithm::ES384, AlgorithmParameters::EllipticCurve(key)) => {
            key.curve == EllipticCurve::P384
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => {
            key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, more: &str) -> Jwk {
        let text = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"{id}"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_key_is_for_signatures_of_its_sort_alone() {
        let rsa = r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#;
        let shared = r#"{"kty":"oct","k":"AAAA"}"#;
        for (key, algorithm, good) in [
            (key("one", ""), Algorithm::EdDSA, true),
            (
                key("one", r#","use":"sig","alg":"EdDSA""#),
                Algorithm::EdDSA,
                true,
            ),
            (key("one", r#","use":"enc""#), Algorithm::EdDSA, false),
            (key("one", r#","alg":"RS256""#), Algorithm::EdDSA, false),
            (
                key("one", r#","key_ops":["sign"]"#),
                Algorithm::EdDSA,
                false,
            ),
            (
                key("one", r#","key_ops":["verify"]"#),
                Algorithm::EdDSA,
                true,
            ),
            (key("one", ""), Algorithm::ES256, false),
            (serde_json::from_str(rsa).unwrap(), Algorithm::PS512, true),
            (serde_json::from_str(rsa).unwrap(), Algorithm::HS256, false),
            (
                serde_json::from_str(shared).unwrap(),
                Algorithm::HS256,
                false,
            ),
        ] {
            let found = Wanted {
                id: None,
                algorithm,
            }
            .may_be(&key);
            assert_eq!(found, good, "{key:?} {algorithm:?}");
        }
    }
}
