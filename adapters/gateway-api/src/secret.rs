//! Secret.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::certificate::{CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY_KEY, TlsPair, TrustBundle};
use domain::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY};
use domain::secret::{CertificatePair, CloudflareCredentials};
use domain::snapshot::SecretFacts;
use domain::{AccountId, ObjectKey};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_json::{Map, Value};

use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::tls;

/// A Secret. Its values cannot be printed and are wiped when dropped.
pub struct Secret {
    pub key: ObjectKey,
    values: BTreeMap<String, SecretSlice<u8>>,
}

impl Secret {
    /// Names of its keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The bytes under a key.
    pub fn value(&self, key: &str) -> Option<&SecretSlice<u8>> {
        self.values.get(key)
    }

    /// What the domain may know of it.
    pub fn facts(&self) -> SecretFacts {
        SecretFacts {
            keys: self.keys().map(str::to_owned).collect(),
            tls: tls::examine(&self.values),
            trust: self.trust(),
            edition: self.edition(),
        }
    }

    /// The certificate authorities in it.
    pub fn trust(&self) -> TrustBundle {
        let value = self.value(CA_KEY);
        value.map_or(TrustBundle::Absent, |value| {
            tls::bundle(CA_KEY, value.expose_secret())
        })
    }

    /// Keyed at random in each process, so that no value can be guessed from it.
    fn edition(&self) -> u64 {
        static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let values = self.values.iter();
        let values: Vec<_> = values
            .map(|(key, value)| (key, value.expose_secret()))
            .collect();
        KEYED.hash_one(values)
    }

    /// The certificate with its key; the problem names the key of the Secret and quotes no value.
    pub fn certificate_pair(&self) -> Result<CertificatePair, String> {
        match tls::examine(&self.values) {
            TlsPair::Usable(facts) => tls::pair(&self.values, facts.fingerprint)
                .ok_or_else(|| "it is not text".to_owned()),
            TlsPair::Malformed(problem) => Err(problem),
            TlsPair::Absent => Err(format!("it needs {CERTIFICATE_KEY} and {PRIVATE_KEY_KEY}")),
        }
    }

    /// The Cloudflare credentials in it; the problem names Secret, key and remedy and quotes no value.
    pub fn credentials(&self) -> Result<CloudflareCredentials, String> {
        Ok(CloudflareCredentials {
            account: AccountId::new(self.text(ACCOUNT_ID_KEY)?.expose_secret()),
            token: self.text(API_TOKEN_KEY)?,
        })
    }

    /// The text under a key, without the line end that tools put behind it.
    fn text(&self, key: &str) -> Result<SecretString, String> {
        let problem = |problem: String| format!("Secret {}: {problem}", self.key);
        let bytes = self
            .value(key)
            .ok_or_else(|| problem(format!("it has no key {key}; add it under stringData")))?;
        let text = std::str::from_utf8(bytes.expose_secret())
            .map_err(|_| problem(format!("the value of key {key} is not text; write it anew")))?
            .trim();
        if text.is_empty() {
            return Err(problem(format!("key {key} is empty; write its value")));
        }
        Ok(SecretString::from(text))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
            && self.values.len() == other.values.len()
            && self.values.iter().all(|(key, value)| {
                other
                    .value(key)
                    .is_some_and(|other| value.expose_secret() == other.expose_secret())
            })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("key", &self.key)
            .field("keys", &self.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Reads `data` and, over it, `stringData`. Messages name keys, never values.
pub(crate) fn read(header: &Header, fields: &Fields) -> Result<Secret, ReadError> {
    let mut values = BTreeMap::new();
    for (key, text) in texts(fields, "data")? {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| {
            let message = "it is not base64; encode it, or write it plainly under stringData";
            fields.error(&format!("data.{key}"), message.to_owned())
        })?;
        values.insert(key.clone(), bytes.into());
    }
    for (key, text) in texts(fields, "stringData")? {
        values.insert(key.clone(), text.as_bytes().to_vec().into());
    }
    Ok(Secret {
        key: header.key(),
        values,
    })
}

fn texts<'f>(
    fields: &'f Fields,
    field: &'static str,
) -> Result<impl Iterator<Item = (&'f String, &'f str)>, ReadError> {
    static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let map = match fields.raw(field) {
        Value::Null => &*NOTHING,
        Value::Object(map) => map,
        _ => {
            let message = "it must be a map of keys to texts";
            return Err(fields.error(field, message.to_owned()));
        }
    };
    if let Some((key, _)) = map.iter().find(|(_, value)| !value.is_string()) {
        let message = "it must be a text; put it in quotes";
        return Err(fields.error(&format!("{field}.{key}"), message.to_owned()));
    }
    Ok(map
        .iter()
        .filter_map(|(key, value)| Some((key, value.as_str()?))))
}
