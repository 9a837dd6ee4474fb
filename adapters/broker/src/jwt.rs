//! JSON Web Tokens (RFC 7519) that somebody else signed: an identity provider, a cluster.
//!
//! - [`signing_key`]: which keys a token may be signed with.

#[cfg(test)]
pub(crate) mod pairs;
pub(crate) mod signing_key;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::broker::oidc::{ClaimPath, Claims, Provider};
use domain::broker::ports::Digest;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use signing_key::Wanted;

/// Bytes of a token, at most.
pub(crate) const LONGEST: usize = 16 << 10;

/// Why a token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is not a JSON Web Token of at most {LONGEST} bytes")]
    Malformed,
    #[error(
        "the token is not signed with a key pair; RS256, ES256 and EdDSA are taken, and their kin"
    )]
    Algorithm,
    #[error("the token is not meant for this: its type is not JWT")]
    Type,
    #[error("the signature of the token is not of one of the keys that it may be signed with")]
    Signature,
    #[error(
        "the token lacks one of iss, sub, aud, exp and iat, or has another value there than belongs there"
    )]
    Claims,
}

/// A token that somebody shows. Nothing of it is true before [`Shown::verify`].
pub(crate) struct Shown<'t> {
    text: &'t str,
    algorithm: Algorithm,
    key: Option<String>,
    issuer: String,
    audience: BTreeSet<String>,
}

impl<'t> Shown<'t> {
    pub(crate) fn read(text: &'t str) -> Result<Self, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let [_, payload, _] = text.split('.').collect::<Vec<_>>()[..] else {
            return Err(TokenError::Malformed);
        };
        let payload = URL_SAFE_NO_PAD.decode(payload);
        let payload = payload.map_err(|_| TokenError::Malformed)?;
        let claims: Value = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        let header = decode_header(text).map_err(|_| TokenError::Algorithm)?;
        if matches!(
            header.alg,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
        ) {
            return Err(TokenError::Algorithm);
        }
        let is_jwt = |name: &String| name.eq_ignore_ascii_case("jwt");
        if !header.typ.as_ref().is_none_or(is_jwt) {
            return Err(TokenError::Type);
        }
        Ok(Self {
            text,
            algorithm: header.alg,
            key: header.kid,
            issuer: text_of(&claims, "iss").ok_or(TokenError::Claims)?,
            audience: audience(&claims).ok_or(TokenError::Claims)?,
        })
    }

    /// Whether it says that it is of this provider and for whom that provider's tokens must be.
    pub(crate) fn may_be_of(&self, provider: &Provider) -> bool {
        self.issuer == provider.issuer && self.audience.contains(&provider.audience)
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            id: self.key.clone(),
            algorithm: self.algorithm,
        }
    }

    /// What it says, if one of these keys signed it. Its times and for whom it is are not looked at.
    pub(crate) fn verify(
        &self,
        keys: &[Jwk],
        paths: &BTreeSet<&ClaimPath>,
    ) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let mut keys = keys.iter();
        let said = keys.find_map(|key| {
            let key = DecodingKey::from_jwk(key).ok()?;
            decode::<Value>(self.text, &key, &validation).ok()
        });
        let said = said.ok_or(TokenError::Signature)?.claims;
        claims(&said, paths).ok_or(TokenError::Claims)
    }

    /// By what it is remembered: what the signature is over. Of one signature others can be made.
    pub(crate) fn digest(&self) -> Digest {
        let signed = self
            .text
            .rsplit_once('.')
            .map_or(self.text, |(signed, _)| signed);
        Sha256::digest(signed).into()
    }
}

fn claims(said: &Value, paths: &BTreeSet<&ClaimPath>) -> Option<Claims> {
    let texts = paths
        .iter()
        .map(|path| ((*path).clone(), texts_at(said, path)));
    let texts: BTreeMap<_, _> = texts.filter(|(_, texts)| !texts.is_empty()).collect();
    Some(Claims {
        issuer: text_of(said, "iss")?,
        subject: text_of(said, "sub")?,
        audience: audience(said)?,
        authorized_party: optional(said, "azp", Value::as_str)?.map(str::to_owned),
        issued: optional(said, "iat", moment)??,
        expires: optional(said, "exp", moment)??,
        not_before: optional(said, "nbf", moment)?,
        nonce: optional(said, "nonce", Value::as_str)?.map(str::to_owned),
        // Some providers write it as a text.
        email_verified: matches!(&said["email_verified"], Value::Bool(true))
            || said["email_verified"] == "true",
        texts,
    })
}

fn text_of(said: &Value, claim: &str) -> Option<String> {
    said.get(claim)?.as_str().map(str::to_owned)
}

/// `Some(None)` where there is no such claim, or it is null; `None` where it is something else.
fn optional<'v, T>(
    said: &'v Value,
    claim: &str,
    read: impl FnOnce(&'v Value) -> Option<T>,
) -> Option<Option<T>> {
    match said.get(claim) {
        None | Some(Value::Null) => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// One text, or a list of texts (RFC 7519, section 4.1.3).
fn audience(said: &Value) -> Option<BTreeSet<String>> {
    match said.get("aud")? {
        Value::String(text) => Some([text.clone()].into()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Seconds since 1970, with or without a fraction (RFC 7519, section 2).
fn moment(value: &Value) -> Option<Timestamp> {
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    let whole = |seconds: f64| seconds.floor() as i64;
    value
        .as_i64()
        .or_else(|| value.as_f64().map(whole))
        .map(Timestamp)
}

/// The texts at a path: a text, a number or a truth as one, or those of a list.
fn texts_at(said: &Value, path: &ClaimPath) -> BTreeSet<String> {
    let mut names = path.names().iter();
    let found = names.try_fold(said, |value, name| value.as_object()?.get(name));
    let items = match found {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}
