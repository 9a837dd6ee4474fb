//! Keys that are written down: in a file, in an environment variable.

use async_trait::async_trait;
use domain::broker::ports::{KeyWrap, Wrapped};
use domain::ports::{PortError, PortErrorKind};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{decipher, encipher};

/// Keys in a text: one a line, `<id> <32 bytes in base64>`. The first wraps; the others only unwrap what they wrapped.
pub struct WrittenKeys(Vec<(String, SecretSlice<u8>)>);

/// Why a text has no keys. No message repeats one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error(
        "line {0}: must be `<id> <key>`, the key 32 bytes in base64 (`openssl rand -base64 32`)"
    )]
    Line(usize),
    #[error("line {0}: its id is there twice; an id is never given to another key")]
    Twice(usize),
    #[error("there is no key; put in a line `<id> <key>`")]
    Empty,
}

impl WrittenKeys {
    /// Reads the lines.
    pub fn parse(text: &SecretString) -> Result<Self, KeysError> {
        let mut keys: Vec<(String, SecretSlice<u8>)> = Vec::new();
        let lines = text.expose_secret().lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = || KeysError::Line(index + 1);
            let (id, key) = line.trim().split_once(' ').ok_or_else(malformed)?;
            let key = read_key(key.trim()).ok_or_else(malformed)?;
            if !domain::names::is_dns_label(id) {
                return Err(malformed());
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(KeysError::Twice(index + 1));
            }
            keys.push((id.to_owned(), key));
        }
        match keys.is_empty() {
            true => Err(KeysError::Empty),
            false => Ok(Self(keys)),
        }
    }

    fn key(&self, id: &str) -> Option<&SecretSlice<u8>> {
        let known = self.0.iter().find(|(known, _)| known == id);
        known.map(|(_, key)| key)
    }
}

fn read_key(text: &str) -> Option<SecretSlice<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut decoded = STANDARD.decode(text).ok()?;
    // Of its very size, so that no copy is left behind.
    let key = SecretSlice::from(decoded.to_vec());
    decoded.zeroize();
    (key.expose_secret().len() == 32).then_some(key)
}

#[async_trait]
impl KeyWrap for WrittenKeys {
    async fn current(&self) -> Result<String, PortError> {
        Ok(self.0[0].0.clone())
    }

    fn has(&self, key: &str) -> bool {
        self.key(key).is_some()
    }

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Wrapped, PortError> {
        let (id, key) = &self.0[0];
        Ok(Wrapped {
            key: id.clone(),
            bytes: encipher(key, &wrapping(id), data_key.expose_secret())?,
        })
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<SecretSlice<u8>, PortError> {
        let id = &wrapped.key;
        let key = self.key(id).ok_or_else(|| not_there(id))?;
        decipher(key, &wrapping(id), &wrapped.bytes)
    }
}

/// The error for a key that is gone.
pub(super) fn not_there(key: &str) -> PortError {
    let message = format!(
        "the key {key} is not there, which a secret is sealed by; put it back into the settings"
    );
    PortError::new(PortErrorKind::Credentials, message)
}

fn wrapping(id: &str) -> String {
    format!("cfgw data key {id}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::line;
    use super::*;

    #[test]
    fn keys_are_written_one_a_line_each_with_an_id_of_its_own() {
        let (one, two) = (line("one", 1), line("two", 2));
        for (text, expected) in [
            (one.clone(), None),
            (format!("\n{two}{one}"), None),
            (String::new(), Some(KeysError::Empty)),
            ("canary".to_owned(), Some(KeysError::Line(1))),
            (format!("{one}two canary"), Some(KeysError::Line(2))),
            (format!("{one}two Y2FuYXJ5"), Some(KeysError::Line(2))),
            (line("One", 1), Some(KeysError::Line(1))),
            (format!("{one}{one}"), Some(KeysError::Twice(2))),
        ] {
            let found = WrittenKeys::parse(&SecretString::from(text.as_str())).err();
            assert_eq!(found, expected, "{text}");
        }
    }
}
