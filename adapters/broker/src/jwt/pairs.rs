//! Key pairs of whoever signs tokens, for tests.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::Value;

/// A key pair with the id that its provider gives it.
pub(crate) struct Pair {
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) signs: EncodingKey,
}

impl Pair {
    pub(crate) fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let ecdsa = |curve| {
            let pair = EcdsaKeyPair::generate(curve).unwrap();
            EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
        };
        let signs = match algorithm {
            Algorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().unwrap();
                EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                // PKCS#1 is wanted, which PKCS#8 of this size has after 26 bytes.
                EncodingKey::from_rsa_der(&der.as_ref()[26..])
            }
        };
        Self {
            id,
            algorithm,
            signs,
        }
    }

    pub(crate) fn public(&self) -> Jwk {
        let mut public = Jwk::from_encoding_key(&self.signs, self.algorithm).unwrap();
        public.common.key_id = Some(self.id.to_owned());
        public
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            kid: Some(self.id.to_owned()),
            ..Header::new(self.algorithm)
        }
    }

    pub(crate) fn sign(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.signs).unwrap()
    }
}
