//! Proofs that whoever asks has the key of a cluster (DPoP, RFC 9449): a signature over method, URL, time, and the session's
//! token. A proof is good for one request: it is refused when it comes again.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::broker::cluster::Thumbprint;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::key::{ClusterKey, thumbprint};

/// The request header that holds a proof.
pub const HEADER: &str = "dpop";

/// How far the clocks of cluster and broker may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Bytes of a proof, at most. Ours have about 450.
pub const LONGEST: usize = 2048;

/// `typ` of a proof (RFC 9449, section 4.2).
const TYPE: &str = "dpop+jwt";

/// What a proof is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'r> {
    pub method: &'r str,
    /// Scheme, host and path; no query. For a proof `http` and `https` are the same: TLS may end before the broker.
    pub url: &'r str,
    /// The token of the session; `None` for a request that opens one.
    pub token: Option<&'r str>,
}

/// RFC 9449, section 4.2. Others are refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ath: Option<String>,
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("send one proof of the cluster's key, as `DPoP: …` (RFC 9449)")]
    Missing,
    #[error("the proof is not a DPoP proof with a P-256 key (RFC 9449)")]
    Malformed,
    #[error("the proof is for another request")]
    OtherRequest,
    #[error(
        "the proof is of another time; the clocks of cluster and broker must not be more than 60 s apart"
    )]
    OtherTime,
    #[error("the proof was used already")]
    Used,
}

/// A proof that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub key: Thumbprint,
    /// The public key as JSON (RFC 7517).
    pub public_key: String,
    id: String,
    at: Timestamp,
}

impl ClusterKey {
    /// A proof for a request. `id` must not come again; 16 unpredictable bytes in any form are enough.
    pub fn prove(&self, request: Request<'_>, id: String, now: Timestamp) -> String {
        let header = Header {
            typ: Some(TYPE.to_owned()),
            jwk: Some(self.public().clone()),
            ..Header::new(Algorithm::ES256)
        };
        let claims = Claims {
            jti: id,
            htm: request.method.to_owned(),
            htu: request.url.to_owned(),
            iat: now.0,
            ath: request.token.map(hash_of),
        };
        encode(&header, &claims, self.signs()).expect("a key that was read can sign")
    }
}

fn hash_of(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

/// Verifies a proof for a request. Whether it was used already is not looked at.
pub fn verify(proof: &str, request: Request<'_>, now: Timestamp) -> Result<Proof, ProofError> {
    if proof.len() > LONGEST {
        return Err(ProofError::Malformed);
    }
    let header = decode_header(proof).map_err(|_| ProofError::Malformed)?;
    let jwk = header.jwk.as_ref().ok_or(ProofError::Malformed)?;
    if header.typ.as_deref() != Some(TYPE) || header.alg != Algorithm::ES256 || !is_p256(jwk) {
        return Err(ProofError::Malformed);
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| ProofError::Malformed)?;
    let claims = decode::<Claims>(proof, &key, &signature_only());
    let claims = claims.map_err(|_| ProofError::Malformed)?.claims;
    let is_for = claims.htm == request.method
        && after_scheme(&claims.htu) == after_scheme(request.url)
        && claims.ath == request.token.map(hash_of);
    if !is_for {
        return Err(ProofError::OtherRequest);
    }
    if now.0.abs_diff(claims.iat) > CLOCK_SKEW.as_secs() {
        return Err(ProofError::OtherTime);
    }
    if claims.jti.is_empty() || claims.jti.len() > 128 {
        return Err(ProofError::Malformed);
    }
    Ok(Proof {
        key: thumbprint(jwk).ok_or(ProofError::Malformed)?,
        public_key: serde_json::to_string(jwk).map_err(|_| ProofError::Malformed)?,
        id: claims.jti,
        at: Timestamp(claims.iat),
    })
}

fn after_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    ["http", "https"].contains(&scheme).then_some(rest)
}

fn is_p256(jwk: &Jwk) -> bool {
    let curve = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(parameters) => &parameters.curve,
        _ => return false,
    };
    *curve == EllipticCurve::P256
}

/// A proof has neither audience nor expiry; its time is looked at by us.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

/// Proofs of one key that were used. What is older than [`CLOCK_SKEW`] is refused by its time, so it is forgotten: how many there
/// are is bounded by how often the key's owner may ask.
///
/// Each broker remembers those that it saw itself. A proof that somebody took from a broken TLS connection could be shown to
/// another replica within a minute; a statement that comes again there changes nothing (its place is taken).
#[derive(Debug, Default)]
pub struct UsedProofs(BTreeSet<(Timestamp, [u8; 32])>);

impl UsedProofs {
    /// Takes a proof that was not used yet.
    pub fn take(&mut self, proof: &Proof, now: Timestamp) -> Result<(), ProofError> {
        let skew = i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(i64::MAX);
        let oldest = Timestamp(now.0.saturating_sub(skew));
        while self.0.first().is_some_and(|(at, _)| *at < oldest) {
            self.0.pop_first();
        }
        let id = Sha256::digest(&proof.id).into();
        match self.0.insert((proof.at, id)) {
            true => Ok(()),
            false => Err(ProofError::Used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    const ASKED: Request<'_> = Request {
        method: "PUT",
        url: "https://broker.example.com/v1/gateways/default/one",
        token: Some("token"),
    };

    #[test]
    fn a_proof_is_good_for_the_request_that_it_is_for_and_no_other() {
        let key = ClusterKey::generate();
        let proof = key.prove(ASKED, "1".to_owned(), NOW);
        let verified = verify(&proof, ASKED, NOW).unwrap();
        assert_eq!(verified.key, *key.thumbprint());
        let before_tls = ASKED.url.replace("https:", "http:");
        let same = Request {
            url: &before_tls,
            ..ASKED
        };
        assert_eq!(verify(&proof, same, NOW), Ok(verified));
        for other in [
            Request {
                url: "ftp://broker.example.com/v1/gateways/default/one",
                ..ASKED
            },
            Request {
                method: "GET",
                ..ASKED
            },
            Request {
                url: "https://broker.example.com/v1/gateways/default/two",
                ..ASKED
            },
            Request {
                url: "https://other.example.com/v1/gateways/default/one",
                ..ASKED
            },
            Request {
                token: Some("other"),
                ..ASKED
            },
            Request {
                token: None,
                ..ASKED
            },
        ] {
            let refused = verify(&proof, other, NOW);
            assert_eq!(refused, Err(ProofError::OtherRequest), "{other:?}");
        }
    }

    #[test]
    fn a_proof_is_good_for_a_minute() {
        let key = ClusterKey::generate();
        let proof = key.prove(ASKED, "1".to_owned(), NOW);
        for (apart, is_good) in [(-61, false), (-60, true), (60, true), (61, false)] {
            let verified = verify(&proof, ASKED, Timestamp(NOW.0 + apart));
            let expected = if is_good {
                None
            } else {
                Some(ProofError::OtherTime)
            };
            assert_eq!(verified.err(), expected, "{apart}");
        }
    }

    #[test]
    fn a_proof_is_used_once_for_as_long_as_it_is_good() {
        let (key, mut used) = (ClusterKey::generate(), UsedProofs::default());
        let proof = |id: &str| {
            let proof = key.prove(ASKED, id.to_owned(), NOW);
            verify(&proof, ASKED, NOW).unwrap()
        };
        assert_eq!(used.take(&proof("1"), NOW), Ok(()));
        assert_eq!(used.take(&proof("2"), NOW), Ok(()));
        let last = Timestamp(NOW.0 + 60);
        assert_eq!(used.take(&proof("1"), last), Err(ProofError::Used));
        assert_eq!(used.take(&proof("3"), Timestamp(NOW.0 + 61)), Ok(()));
        assert_eq!(used.0.len(), 1, "the others are forgotten");
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let key = ClusterKey::generate();
        let proof = key.prove(ASKED, "1".to_owned(), NOW);
        let [head, body, signature] = proof.split('.').collect::<Vec<_>>()[..] else {
            unreachable!("a proof has three parts");
        };
        let other = ClusterKey::generate().prove(ASKED, "1".to_owned(), NOW);
        let other_signature = other.rsplit('.').next().unwrap();
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let without_key = part(r#"{"typ":"dpop+jwt","alg":"ES256"}"#);
        let unsigned = part(r#"{"typ":"dpop+jwt","alg":"none"}"#);
        for bad in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{head}.{body}."),
            format!("{head}.{body}.{other_signature}"),
            format!("{without_key}.{body}.{signature}"),
            format!("{unsigned}.{body}."),
            format!("{head}.{}.{signature}", part("{}")),
            "a".repeat(LONGEST + 1),
        ] {
            let refused = verify(&bad, ASKED, NOW);
            assert_eq!(refused, Err(ProofError::Malformed), "{bad}");
        }
    }
}
