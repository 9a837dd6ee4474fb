//! Secrets. None of these types can be printed, compared or serialised; they are wiped when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

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

impl fmt::Debug for CloudflareCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

impl fmt::Debug for CertificatePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificatePair")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// What lets connectors join the tunnels of a Gateway: for each tunnel, in a line of its own, standard base64 of a JSON document
/// with account tag, tunnel id and tunnel secret, exactly as `cloudflared tunnel run --token` takes it.
#[derive(Clone)]
pub struct ConnectorToken {
    text: SecretString,
    is_partial: bool,
}

impl ConnectorToken {
    /// Takes the token as the API gave it, or as several were written.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: SecretString::from(text.into()),
            is_partial: false,
        }
    }

    /// Those of several tunnels as one. `is_partial`: whether the Gateway has tunnels besides, whose tokens cannot be had now.
    pub fn of_tunnels(tokens: &[Self], is_partial: bool) -> Self {
        let tokens: Vec<&str> = tokens.iter().map(Self::expose).collect();
        Self {
            is_partial,
            ..Self::new(tokens.join("\n"))
        }
    }

    /// The token of each tunnel.
    pub fn tunnels(&self) -> impl Iterator<Item = Self> {
        let lines = self.expose().lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).map(Self::new)
    }

    /// Whether the Gateway has tunnels besides. Proxies that run keep what they have then.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The text, for the connector only.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Whether two tokens are the same one.
    pub fn is_same(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }

    /// Its hash.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.expose()).into())
    }
}

/// The SHA-256 of a connector token, by which it is known where the token itself must not be. A token holds 32
/// unpredictable bytes, so its hash tells nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let is_hexadecimal = text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hexadecimal || text.len() != 2 * bytes.len() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

#[cfg(feature = "serde")]
impl TryFrom<String> for TokenHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be 64 hexadecimal digits")
    }
}

#[cfg(feature = "serde")]
impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConnectorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectorToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_a_token_is_read_as_it_was_written_and_in_no_other_length() {
        let hash = ConnectorToken::new("token").hash();
        let text = hash.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(TokenHash::parse(&text), Some(hash));
        for bad in [
            "",
            &text[2..],
            &format!("{text}00"),
            &text.replacen(|_| true, "g", 1),
            &text.replacen(|_| true, "+", 1),
        ] {
            assert_eq!(TokenHash::parse(bad), None, "{bad}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_written_hash_of_a_token_is_its_digits() {
        let hash = ConnectorToken::new("token").hash();
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<TokenHash>(&text).unwrap(), hash);
        assert!(serde_json::from_str::<TokenHash>("\"00\"").is_err());
    }

    #[test]
    fn the_token_of_a_gateway_holds_that_of_each_of_its_tunnels() {
        for (text, expected) in [
            ("one", vec!["one"]),
            ("one\ntwo\n", vec!["one", "two"]),
            (" \n one\r\n\n", vec!["one"]),
            ("", vec![]),
        ] {
            let tokens: Vec<_> = ConnectorToken::new(text).tunnels().collect();
            let texts: Vec<_> = tokens.iter().map(ConnectorToken::expose).collect();
            assert_eq!(texts, expected, "{text:?}");
            let whole = ConnectorToken::of_tunnels(&tokens, false);
            assert_eq!(whole.expose(), expected.join("\n"));
        }
        let alone = ConnectorToken::new("one");
        let whole = ConnectorToken::of_tunnels(std::slice::from_ref(&alone), true);
        assert!(whole.is_same(&alone) && whole.is_partial());
    }

    #[test]
    fn tokens_and_credentials_are_the_same_if_every_part_of_them_is() {
        let credentials = |account: &str, token: &str| CloudflareCredentials {
            account: AccountId::new(account),
            token: SecretString::from(token),
        };
        for (account, token, same) in [("a", "t", true), ("b", "t", false), ("a", "u", false)] {
            let other = credentials(account, token);
            assert_eq!(credentials("a", "t").is_same(&other), same);
            let token = ConnectorToken::new(token);
            assert_eq!(
                ConnectorToken::new("t").is_same(&token),
                token.expose() == "t"
            );
        }
    }
}
