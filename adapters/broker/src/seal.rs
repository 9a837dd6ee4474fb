//! Secrets as they are stored: AES-256-GCM with a data key for each, which is wrapped by a key that is elsewhere.
//!
//! What a secret is for (tenant, account and version of a token) is authenticated with it, so a row of the store that is put in
//! another one's place cannot be opened. To replace the wrapping key costs no secret: data keys alone are wrapped again.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use domain::broker::ports::{KeyWrap, Purpose, Seal, Sealed, SecretId, Secrets, StoreError};
use domain::ports::{Entropy, PortError, PortErrorKind};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Bytes of a nonce, which stands before what is enciphered with it.
const NONCE: usize = 12;

/// [`Seal`] with any [`KeyWrap`].
pub struct Envelopes {
    keys: Arc<dyn KeyWrap>,
    entropy: Arc<dyn Entropy>,
}

impl Envelopes {
    /// Sealing with data keys of this entropy, which these keys wrap.
    pub fn new(keys: Arc<dyn KeyWrap>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy }
    }

    /// Wraps the data keys of all secrets by the present key that are wrapped by another one. It can be interrupted and begun
    /// again; several brokers may do it at once. How many it wrapped.
    pub async fn wrap_again(&self, secrets: &dyn Secrets) -> Result<usize, StoreError> {
        const PAGE: usize = 100;
        let mut wrapped = 0;
        loop {
            let page = secrets.wrapped_otherwise(self.keys.current(), PAGE).await?;
            if page.is_empty() {
                return Ok(wrapped);
            }
            for (secret, before) in &page {
                let after = self.wrapped_again(secret, before).await?;
                secrets.wrap_again(secret, before, &after).await?;
                wrapped += 1;
            }
        }
    }

    async fn wrapped_again(
        &self,
        secret: &SecretId,
        before: &Sealed,
    ) -> Result<Sealed, StoreError> {
        let failed =
            |error: PortError| StoreError::Failed(format!("a secret of {}: {error}", secret.owner));
        let opened = self.keys.unwrap(&before.key, &before.wrapped).await;
        let wrapped = self.keys.wrap(&opened.map_err(failed)?).await;
        Ok(Sealed {
            key: self.keys.current().to_owned(),
            wrapped: wrapped.map_err(failed)?,
            ciphertext: before.ciphertext.clone(),
        })
    }
}

/// What is authenticated with a secret.
fn in_words(purpose: Purpose<'_>) -> String {
    match purpose {
        Purpose::Token(account, version) => {
            let (tenant, name, id) = (&account.tenant, &account.name, &account.cloudflare);
            format!("cfgw token {tenant} {name} {id} {}", version.0)
        }
        Purpose::OneTimeCodes(person) => format!("cfgw one-time codes {person}"),
    }
}

#[async_trait]
impl Seal for Envelopes {
    async fn seal(&self, purpose: Purpose<'_>, secret: &SecretString) -> Result<Sealed, PortError> {
        let data_key = SecretSlice::from(self.entropy.secret().to_vec());
        let plain = secret.expose_secret().as_bytes();
        let ciphertext = encipher(&data_key, &in_words(purpose), plain)?;
        Ok(Sealed {
            key: self.keys.current().to_owned(),
            wrapped: self.keys.wrap(&data_key).await?,
            ciphertext,
        })
    }

    async fn open(&self, purpose: Purpose<'_>, sealed: &Sealed) -> Result<SecretString, PortError> {
        let data_key = self.keys.unwrap(&sealed.key, &sealed.wrapped).await?;
        let opened = decipher(&data_key, &in_words(purpose), &sealed.ciphertext)?;
        let text = std::str::from_utf8(opened.expose_secret());
        text.map(SecretString::from).map_err(|_| not_ours())
    }
}

/// Keys in a file: one a line, `<id> <32 bytes in base64>`. The first wraps; the others only unwrap what they wrapped.
pub struct FileKeys(Vec<(String, SecretSlice<u8>)>);

/// Why a file has no keys. No message repeats one.
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

impl FileKeys {
    /// Reads the lines of a file.
    pub fn parse(text: &SecretString) -> Result<Self, KeysError> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let mut keys: Vec<(String, SecretSlice<u8>)> = Vec::new();
        let lines = text.expose_secret().lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = || KeysError::Line(index + 1);
            let (id, key) = line.trim().split_once(' ').ok_or_else(malformed)?;
            let key = STANDARD.decode(key.trim()).map_err(|_| malformed())?;
            if key.len() != 32 || !domain::names::is_dns_label(id) {
                return Err(malformed());
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(KeysError::Twice(index + 1));
            }
            keys.push((id.to_owned(), SecretSlice::from(key)));
        }
        match keys.is_empty() {
            true => Err(KeysError::Empty),
            false => Ok(Self(keys)),
        }
    }
}

#[async_trait]
impl KeyWrap for FileKeys {
    fn current(&self) -> &str {
        &self.0[0].0
    }

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Vec<u8>, PortError> {
        let (id, key) = &self.0[0];
        encipher(key, &wrapping(id), data_key.expose_secret())
    }

    async fn unwrap(&self, key: &str, wrapped: &[u8]) -> Result<SecretSlice<u8>, PortError> {
        let known = self.0.iter().find(|(id, _)| id == key);
        let (id, known) = known.ok_or_else(|| {
            let message = format!(
                "the key {key} is not there, which a token is sealed by; put its line back into the file of keys"
            );
            PortError::new(PortErrorKind::Credentials, message)
        })?;
        decipher(known, &wrapping(id), wrapped)
    }
}

fn wrapping(id: &str) -> String {
    format!("cfgw data key {id}")
}

fn cipher(key: &SecretSlice<u8>) -> Result<RandomizedNonceKey, PortError> {
    RandomizedNonceKey::new(&AES_256_GCM, key.expose_secret()).map_err(|_| not_ours())
}

fn encipher(key: &SecretSlice<u8>, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, PortError> {
    let mut text = plain.to_vec();
    let nonce = cipher(key)?
        .seal_in_place_append_tag(Aad::from(purpose), &mut text)
        .map_err(|_| not_ours())?;
    let mut whole = nonce.as_ref().to_vec();
    whole.append(&mut text);
    Ok(whole)
}

fn decipher(
    key: &SecretSlice<u8>,
    purpose: &str,
    whole: &[u8],
) -> Result<SecretSlice<u8>, PortError> {
    let (nonce, text) = whole.split_at_checked(NONCE).ok_or_else(not_ours)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_ours())?;
    let mut text = text.to_vec();
    let cipher = cipher(key)?;
    let plain = cipher.open_in_place(nonce, Aad::from(purpose), &mut text);
    let length = plain.map_err(|_| not_ours())?.len();
    text.truncate(length);
    Ok(SecretSlice::from(text))
}

fn not_ours() -> PortError {
    let message = "a sealed token cannot be opened: it was changed, is of another account, or the key is another one";
    PortError::new(PortErrorKind::Credentials, message)
}

#[cfg(test)]
mod tests {
    use domain::AccountId;
    use domain::broker::credential::Version;
    use domain::broker::grant::Account;
    use domain::broker::{AccountName, PersonName, TenantName};

    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Entropy for Counting {
        fn secret(&self) -> [u8; 32] {
            [self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 32]
        }
    }

    fn line(id: &str, byte: u8) -> String {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        format!("{id} {key}\n")
    }

    fn envelopes(lines: &str) -> Envelopes {
        let keys = FileKeys::parse(&SecretString::from(lines)).unwrap();
        Envelopes::new(Arc::new(keys), Arc::new(Counting(0.into())))
    }

    fn account(name: &str, tenant: &str) -> Account {
        Account {
            name: AccountName::parse(name).unwrap(),
            tenant: TenantName::parse(tenant).unwrap(),
            cloudflare: AccountId::new("id"),
            shared: false,
            zones: None,
        }
    }

    #[tokio::test]
    async fn a_token_is_opened_as_what_it_was_sealed_as_and_as_nothing_else() {
        let seal = envelopes(&line("one", 1));
        let (own, token) = (account("main", "acme"), SecretString::from("canary"));
        let sealed = seal
            .seal(Purpose::Token(&own, Version(1)), &token)
            .await
            .unwrap();
        assert!(!sealed.ciphertext.windows(6).any(|six| six == b"canary"));
        let opened = seal
            .open(Purpose::Token(&own, Version(1)), &sealed)
            .await
            .unwrap();
        assert_eq!(opened.expose_secret(), "canary");

        let again = seal
            .seal(Purpose::Token(&own, Version(1)), &token)
            .await
            .unwrap();
        assert_ne!(again, sealed);
        let mut changed = sealed.clone();
        *changed.ciphertext.last_mut().unwrap() ^= 1;
        let swapped = Sealed {
            wrapped: again.wrapped,
            ..sealed.clone()
        };
        let cut = Sealed {
            ciphertext: vec![0; 3],
            ..sealed.clone()
        };
        for (purpose, sealed) in [
            (
                Purpose::Token(&account("main", "other"), Version(1)),
                &sealed,
            ),
            (
                Purpose::Token(&account("second", "acme"), Version(1)),
                &sealed,
            ),
            (Purpose::Token(&own, Version(2)), &sealed),
            (
                Purpose::OneTimeCodes(&PersonName::parse("main").unwrap()),
                &sealed,
            ),
            (Purpose::Token(&own, Version(1)), &changed),
            (Purpose::Token(&own, Version(1)), &swapped),
            (Purpose::Token(&own, Version(1)), &cut),
        ] {
            let refused = seal.open(purpose, sealed).await;
            assert_eq!(refused.unwrap_err(), not_ours(), "{purpose:?}");
        }
    }

    #[tokio::test]
    async fn a_new_key_wraps_and_the_one_before_still_opens() {
        let (own, token) = (account("main", "acme"), SecretString::from("canary"));
        let before = envelopes(&line("one", 1));
        let sealed = before
            .seal(Purpose::Token(&own, Version(1)), &token)
            .await
            .unwrap();
        let both = envelopes(&(line("two", 2) + &line("one", 1)));
        let again = both
            .wrapped_again(&SecretId::token(&own.name, Version(1)), &sealed)
            .await
            .unwrap();
        assert_eq!(again.key, "two");
        let after = envelopes(&line("two", 2));
        let opened = after
            .open(Purpose::Token(&own, Version(1)), &again)
            .await
            .unwrap();
        assert_eq!(opened.expose_secret(), "canary");
        let lost = after
            .open(Purpose::Token(&own, Version(1)), &sealed)
            .await
            .unwrap_err();
        assert!(lost.message.contains("the key one is not there"), "{lost}");
        let other = envelopes(&line("two", 3));
        assert!(
            other
                .open(Purpose::Token(&own, Version(1)), &again)
                .await
                .is_err()
        );
    }

    #[test]
    fn a_file_of_keys_has_one_a_line_each_with_an_id_of_its_own() {
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
            let found = FileKeys::parse(&SecretString::from(text.as_str())).err();
            assert_eq!(found, expected, "{text}");
        }
    }
}
