//! Sessions: what one visitor asks for goes to one endpoint (GEP-1619).

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::RouteKind;
use crate::names::ObjectKey;

/// `rule.sessionPersistence`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Session {
    /// The rule in its route: its name, else its position. Rules do not share sessions.
    pub rule: String,
    /// How the token of a session goes to the visitor and back.
    pub carrier: SessionCarrier,
    /// Whether a visitor stays with its backend too, whatever the weights, but for 0. Else a backend is chosen by weight for
    /// each request, and the visitor has an endpoint of each.
    pub beats_weights: bool,
    /// How long after its begin a session ends; more than zero.
    pub absolute: Option<Duration>,
    /// How long after its last request a session ends; more than zero.
    pub idle: Option<Duration>,
    /// What tokens are made with. `None` as long as the route is not in a table, and where the program has none: then
    /// there are no sessions.
    pub key: Option<SessionKey>,
}

/// Where the token of a session stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum SessionCarrier {
    Cookie(SessionCookie),
    /// A header of this name (lower case), in requests and in answers.
    Header(String),
}

impl Session {
    /// A name for the cookie or header of a rule that other rules do not get: FNV-1a over what names the rule.
    pub fn default_name(kind: RouteKind, route: &ObjectKey, rule: &str) -> String {
        let ObjectKey { namespace, name } = route;
        let parts = [kind.as_str(), namespace, name, rule];
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("cfgw-session-{hash:016x}")
    }
}

impl SessionCarrier {
    /// Gives the cookie or header another name.
    pub(super) fn rename(&mut self, name: String) {
        match self {
            Self::Cookie(cookie) => cookie.name = name,
            Self::Header(header) => *header = name,
        }
    }
}

/// A cookie with the token of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SessionCookie {
    pub name: String,
    /// Its attribute `Path`; `None` for the path that the rule asks for.
    pub path: Option<String>,
    /// Whether browsers keep it until the session ends (`Max-Age`), also when they are closed.
    pub is_permanent: bool,
}

/// A secret that tokens of sessions are made with. It is written into tables, because every proxy of a Gateway needs it, and
/// nowhere else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A key of these bytes, which nobody else has.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for making tokens only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of one part of what this key is for. Who has it cannot tell this key or that of another part.
    #[must_use]
    pub fn of_part(&self, names: &[&str]) -> Self {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        for name in names {
            hmac.update(&(name.len() as u64).to_be_bytes());
            hmac.update(name.as_bytes());
        }
        Self(hmac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey").finish_non_exhaustive()
    }
}

/// As 64 hexadecimal digits.
#[cfg(feature = "serde")]
impl serde::Serialize for SessionKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for SessionKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&digits).ok_or_else(|| serde::de::Error::custom("not a key of sessions"))
    }
}

impl SessionKey {
    /// Its 64 hexadecimal digits, for where it is kept.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A key of 64 hexadecimal digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_key_of_its_own_and_no_key_is_shown() {
        let key = SessionKey::new([7; 32]);
        let parts: [&[&str]; 5] = [&["a", "b"], &["ab", ""], &["ab"], &["a"], &[]];
        let keys = parts.map(|names| key.of_part(names));
        for (index, one) in keys.iter().enumerate() {
            assert_eq!(*one, key.of_part(parts[index]));
            assert!(!keys[..index].contains(one), "{:?}", parts[index]);
            assert_ne!(*one, key);
        }
        assert_eq!(format!("{key:?}"), "SessionKey { .. }");
    }

    #[test]
    fn a_key_is_read_from_64_digits_only() {
        let digits = "0f".repeat(32);
        assert_eq!(
            SessionKey::from_hex(&digits),
            Some(SessionKey::new([15; 32]))
        );
        assert_eq!(SessionKey::new([15; 32]).to_hex(), digits);
        for wrong in ["", "0f", &digits[1..], &"é".repeat(32), &"0g".repeat(32)] {
            assert_eq!(SessionKey::from_hex(wrong), None, "{wrong}");
        }
    }
}
