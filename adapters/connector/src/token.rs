//! What a connector token says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::names::TunnelId;
use domain::secret::ConnectorToken;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;

/// A connector token, read: standard base64 of a JSON document with account tag (`a`), tunnel id (`t`),
/// tunnel secret (`s`, base64) and, for some accounts, a region (`e`).
pub(crate) struct Credentials {
    /// The account that the tunnel belongs to.
    pub(crate) account: String,
    pub(crate) tunnel: TunnelId,
    /// Proves that the connector may join it.
    pub(crate) secret: SecretSlice<u8>,
    /// The region in which to connect; `None` for the global one.
    pub(crate) region: Option<String>,
}

/// Why a text is not a connector token. Never says what the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the connector token is not base64")]
    NotBase64,
    #[error("the connector token is not a JSON document with the fields a, t and s")]
    NotADocument,
    #[error("the tunnel id in the connector token is not a UUID")]
    TunnelId,
    #[error("the tunnel secret in the connector token is not base64")]
    Secret,
}

#[derive(Deserialize)]
struct Document {
    a: String,
    t: String,
    s: SecretText,
    #[serde(default)]
    e: Option<String>,
}

/// Wiped when dropped.
struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

impl Credentials {
    pub(crate) fn read(token: &ConnectorToken) -> Result<Self, TokenError> {
        let json = STANDARD
            .decode(token.expose().trim())
            .map_err(|_| TokenError::NotBase64)?;
        let json = SecretSlice::from(json);
        let document: Document =
            serde_json::from_slice(json.expose_secret()).map_err(|_| TokenError::NotADocument)?;
        let secret = STANDARD
            .decode(document.s.0.expose_secret())
            .ok()
            .filter(|secret| !secret.is_empty())
            .ok_or(TokenError::Secret)?;
        Ok(Self {
            account: document.a,
            tunnel: document.t.parse().map_err(|_| TokenError::TunnelId)?,
            secret: SecretSlice::from(secret),
            region: document.e.filter(|region| !region.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

    fn read(json: &str) -> Result<Credentials, TokenError> {
        Credentials::read(&ConnectorToken::new(STANDARD.encode(json)))
    }

    #[test]
    fn a_token_names_its_tunnel_account_and_region() {
        let json = format!(r#"{{"a":"acc","s":"c2VjcmV0","t":"{TUNNEL}","e":"us"}}"#);
        let read = read(&json).unwrap();
        assert_eq!(read.account, "acc");
        assert_eq!(read.tunnel.to_string(), TUNNEL);
        assert_eq!(read.secret.expose_secret(), b"secret");
        assert_eq!(read.region.as_deref(), Some("us"));
    }

    #[test]
    fn a_bad_token_is_refused_with_what_is_wrong_and_without_its_content() {
        let with = |s: &str, t: &str| format!(r#"{{"a":"acc","s":"{s}","t":"{t}"}}"#);
        for (given, then) in [
            (String::new(), TokenError::NotADocument),
            ("hush".to_owned(), TokenError::NotADocument),
            (r#"{"a":"acc"}"#.to_owned(), TokenError::NotADocument),
            (with("c2VjcmV0", "hush"), TokenError::TunnelId),
            (with("hush!", TUNNEL), TokenError::Secret),
            (with("", TUNNEL), TokenError::Secret),
        ] {
            let error = read(&given).err();
            assert_eq!(error, Some(then), "{given}");
            assert!(!then.to_string().contains("hush"));
        }
        let error = Credentials::read(&ConnectorToken::new("not base64!")).err();
        assert_eq!(error, Some(TokenError::NotBase64));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_refused_but_never_a_panic(text in "\\PC{0,80}") {
            let refused = Credentials::read(&ConnectorToken::new(text.clone())).err();
            prop_assert!(refused.is_some());
        }

        #[test]
        fn any_document_in_base64_is_a_token_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Credentials::read(&ConnectorToken::new(STANDARD.encode(bytes)));
        }

        #[test]
        fn what_a_token_says_is_read_whatever_it_says(
            account in "[a-f0-9]{32}",
            id in any::<[u8; 16]>(),
            secret in proptest::collection::vec(any::<u8>(), 1..64),
            region in proptest::option::of("[a-z]{2,6}"),
        ) {
            let tunnel = TunnelId::from_bytes(id);
            let document = serde_json::json!({
                "a": account, "t": tunnel.to_string(), "s": STANDARD.encode(&secret), "e": region,
            });
            let read = read(&document.to_string()).unwrap();
            prop_assert_eq!(read.account, account);
            prop_assert_eq!(read.tunnel, tunnel);
            prop_assert_eq!(read.secret.expose_secret(), &secret[..]);
            prop_assert_eq!(read.region, region);
        }
    }
}
