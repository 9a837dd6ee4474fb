//! The Ed25519 key that an audit is signed with. Its private half is sealed in the store as tokens are.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use domain::broker::audit::End;
use domain::broker::audit::checkpoint::{Checkpoint, KeyId, Mark, Signers, Statement};
use domain::broker::ports::{Checkpoints, Purpose, Seal, Sealed, SigningKey};
use domain::ports::{PortError, PortErrorKind};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret, SecretString};

use super::KeeperError;

/// A key that signs.
pub struct Pair {
    id: KeyId,
    pair: Ed25519KeyPair,
}

impl Pair {
    /// The key of 32 unpredictable bytes, with the text that it is sealed as.
    pub(crate) fn new(mut seed: [u8; 32]) -> Option<(Self, SecretString)> {
        let pair = Self::of_seed(&seed);
        let text = SecretString::from(STANDARD.encode(seed));
        seed.zeroize();
        Some((pair?, text))
    }

    fn of_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(Self {
            id: KeyId::of(pair.public_key().as_ref()),
            pair,
        })
    }

    fn read(text: &SecretString) -> Option<Self> {
        let mut seed = STANDARD.decode(text.expose_secret()).ok()?;
        let pair = Self::of_seed(&seed);
        seed.zeroize();
        pair
    }

    /// By what it is known.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Its public half, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs that this is so.
    pub fn sign(&self, mark: Mark, end: End, at: Timestamp) -> Checkpoint {
        let statement = Statement {
            mark,
            end,
            at,
            key: self.id.clone(),
        };
        let signature = self.pair.sign(statement.text().as_bytes());
        Checkpoint {
            statement,
            signature: signature.as_ref().to_vec(),
        }
    }

    pub(crate) fn stored(&self, since: Timestamp, sealed: Sealed) -> SigningKey {
        SigningKey {
            id: self.id.clone(),
            public_key: self.public_key().to_vec(),
            since,
            sealed,
        }
    }
}

/// Public keys that are trusted.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys(BTreeMap<KeyId, Vec<u8>>);

impl PublicKeys {
    /// Trusts a key.
    pub fn add(&mut self, public_key: &[u8]) {
        self.0.insert(KeyId::of(public_key), public_key.to_vec());
    }

    /// Trusts all of these.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

impl Signers for PublicKeys {
    fn have_signed(&self, checkpoint: &Checkpoint) -> bool {
        let statement = &checkpoint.statement;
        let Some(key) = self.0.get(&statement.key) else {
            return false;
        };
        let key = UnparsedPublicKey::new(&ED25519, key);
        let text = statement.text();
        key.verify(text.as_bytes(), &checkpoint.signature).is_ok()
    }
}

/// The keys of a store, those that it can open: whoever puts a key into the store without the key that seals cannot have it
/// trusted. The last one signs; there is none before one was made.
pub(crate) async fn keys_of(
    store: &dyn Checkpoints,
    seal: &dyn Seal,
) -> Result<(PublicKeys, Option<Pair>), KeeperError> {
    let (mut trusted, mut newest) = (PublicKeys::default(), None);
    let stored = store.signing_keys().await?;
    let count = stored.len();
    for (index, key) in stored.into_iter().enumerate() {
        match open(seal, &key).await {
            Ok(pair) => {
                trusted.add(pair.public_key());
                newest = Some(pair);
            }
            // It is of before the keys that seal were lost. What it signed is not trusted.
            Err(error) if error.kind == PortErrorKind::Credentials && index + 1 < count => {
                newest = None;
            }
            Err(error) => return Err(KeeperError::Key(error)),
        }
    }
    Ok((trusted, newest))
}

async fn open(seal: &dyn Seal, key: &SigningKey) -> Result<Pair, PortError> {
    let text = seal.open(Purpose::SigningKey(&key.id), &key.sealed).await?;
    let pair =
        Pair::read(&text).filter(|pair| pair.id == key.id && pair.public_key() == key.public_key);
    pair.ok_or_else(|| {
        let message = format!("the signing key {} in the store was changed", key.id);
        PortError::new(PortErrorKind::Credentials, message)
    })
}

#[cfg(test)]
mod tests {
    use domain::broker::audit::Link;

    use super::*;

    #[test]
    fn what_a_key_signed_is_that_and_nothing_else() {
        let (pair, text) = Pair::new([7; 32]).unwrap();
        let again = Pair::read(&text).unwrap();
        assert_eq!(again.id(), pair.id());
        let end = End {
            sequence: 3,
            link: Link([1; 32]),
        };
        let signed = pair.sign(Mark::Reached, end, Timestamp(9));
        let mut keys = PublicKeys::default();
        assert!(!keys.have_signed(&signed), "nobody is trusted");
        keys.add(pair.public_key());
        assert!(keys.have_signed(&signed));
        let other = Pair::new([8; 32]).unwrap().0;
        for change in [
            |it: &mut Checkpoint| it.statement.mark = Mark::Cut,
            |it: &mut Checkpoint| it.statement.end.sequence = 4,
            |it: &mut Checkpoint| it.statement.end.link = Link([2; 32]),
            |it: &mut Checkpoint| it.statement.at = Timestamp(8),
            |it: &mut Checkpoint| it.signature[0] ^= 1,
            |it: &mut Checkpoint| it.signature.truncate(5),
        ] {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!keys.have_signed(&changed), "{changed:?}");
        }
        let mut borrowed = other.sign(Mark::Reached, end, Timestamp(9));
        borrowed.statement.key = pair.id().clone();
        assert!(!keys.have_signed(&borrowed));
    }
}
