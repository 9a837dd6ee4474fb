//! What a broker signs of its audit. Whoever has the store can write a chain anew, but cannot sign it.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{Broken, End, Entry};
use crate::names::Timestamp;

/// Bytes of the hash that a [`KeyId`] is.
const ID: usize = 16;

/// By what a signing key is known: the first 16 bytes of the SHA-256 of its public key, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// That of a public key.
    pub fn of(public_key: &[u8]) -> Self {
        let hash = Sha256::digest(public_key);
        Self(hash[..ID].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_id = text.len() == 2 * ID && text.bytes().all(is_digit);
        is_id.then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a signature says of a place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The chain had come so far.
    Reached,
    /// What is up to here was taken out of the store.
    Cut,
}

impl Mark {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Cut => "cut",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reached, Self::Cut]
            .into_iter()
            .find(|mark| mark.as_str() == text)
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub mark: Mark,
    pub end: End,
    pub at: Timestamp,
    /// The key that it is signed with.
    pub key: KeyId,
}

impl Statement {
    /// The bytes that the signature is of: lines of the form's name, mark, number, hash, time in seconds since 1970, and key.
    pub fn text(&self) -> String {
        let (mark, End { sequence, link }) = (self.mark.as_str(), self.end);
        let (at, key) = (self.at.0, &self.key);
        format!("cfgw audit checkpoint 1\n{mark}\n{sequence}\n{link}\n{at}\n{key}\n")
    }
}

/// A statement with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub statement: Statement,
    pub signature: Vec<u8>,
}

/// The public keys that are trusted.
pub trait Signers: Send + Sync {
    /// Whether the signature is of one of them, the one that the statement names.
    fn have_signed(&self, checkpoint: &Checkpoint) -> bool;
}

/// Why an audit cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the checkpoint at entry {0} is not signed by a key of the broker's")]
    Signature(u64),
    #[error("entry {0} is another one than was signed: the entries up to it were replaced")]
    Replaced(u64),
    #[error(
        "entries were cut off at the end: a checkpoint says {signed} entries, and the last is {last}"
    )]
    CutOff { signed: u64, last: u64 },
    #[error("entries before {0} are not there, and no checkpoint says that the broker cut there")]
    CutWithoutCheckpoint(u64),
    #[error(
        "every checkpoint was removed: there is a key that has signed, and nothing signed by it"
    )]
    NoCheckpoint,
}

/// Places of a chain that are signed.
#[derive(Debug, Clone, Default)]
pub struct Signed(BTreeMap<u64, Checkpoint>);

impl Signed {
    /// Adds one whose signature holds and that no other one contradicts.
    pub fn add(&mut self, checkpoint: Checkpoint, signers: &dyn Signers) -> Result<(), Fault> {
        let End { sequence, link } = checkpoint.statement.end;
        if !signers.have_signed(&checkpoint) {
            return Err(Fault::Signature(sequence));
        }
        let known = self.0.entry(sequence).or_insert(checkpoint);
        match known.statement.end.link == link {
            true => Ok(()),
            false => Err(Fault::Replaced(sequence)),
        }
    }

    /// The last place that is signed.
    pub fn last(&self) -> Option<&Checkpoint> {
        self.0.values().next_back()
    }

    /// The end after one entry more, which is the one that was signed there, if one was.
    pub fn verify(&self, end: End, entry: &Entry) -> Result<End, Fault> {
        let end = end.verify(entry)?;
        match self.0.get(&end.sequence) {
            Some(signed) if signed.statement.end != end => Err(Fault::Replaced(end.sequence)),
            _ => Ok(end),
        }
    }

    /// Whether a chain that ends so has everything that was signed.
    pub fn is_reached_by(&self, end: End) -> Result<(), Fault> {
        let last = self.last().map_or(0, |last| last.statement.end.sequence);
        match last > end.sequence {
            true => Err(Fault::CutOff {
                signed: last,
                last: end.sequence,
            }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::chain;
    use super::*;
    use crate::broker::audit::Link;

    /// Signs by writing the key's name.
    pub(crate) struct Named(pub(crate) &'static str);

    impl Signers for Named {
        fn have_signed(&self, checkpoint: &Checkpoint) -> bool {
            checkpoint.signature == self.0.as_bytes()
        }
    }

    pub(crate) fn signed(mark: Mark, end: End, at: i64) -> Checkpoint {
        Checkpoint {
            statement: Statement {
                mark,
                end,
                at: Timestamp(at),
                key: KeyId::of(b"ours"),
            },
            signature: b"ours".to_vec(),
        }
    }

    fn end_of(entry: &Entry) -> End {
        End {
            sequence: entry.sequence,
            link: entry.link,
        }
    }

    fn verify(entries: &[Entry], checkpoints: Vec<Checkpoint>) -> Result<End, Fault> {
        let mut signed = Signed::default();
        for checkpoint in checkpoints {
            signed.add(checkpoint, &Named("ours"))?;
        }
        let mut entries = entries.iter();
        let end = entries.try_fold(End::default(), |end, entry| signed.verify(end, entry))?;
        signed.is_reached_by(end)?;
        Ok(end)
    }

    #[test]
    fn a_chain_that_was_written_anew_or_cut_off_is_not_the_one_that_was_signed() {
        let entries = chain();
        let of = |index: usize| signed(Mark::Reached, end_of(&entries[index]), 0);
        assert!(verify(&entries, vec![of(1), of(3)]).is_ok());
        let mut other = entries[0].clone();
        other.event.object = "other".to_owned();
        let mut anew = Vec::new();
        let mut end = End::default();
        for event in [other.event.clone(), other.event] {
            let entry = end.follow(event);
            end = end.verify(&entry).unwrap();
            anew.push(entry);
        }
        let stranger = Checkpoint {
            signature: b"other".to_vec(),
            ..of(1)
        };
        let contradicted = signed(
            Mark::Cut,
            End {
                sequence: 2,
                link: Link::default(),
            },
            0,
        );
        for (entries, checkpoints, fault) in [
            (&anew[..], vec![of(1)], Fault::Replaced(2)),
            (&entries[..], vec![stranger], Fault::Signature(2)),
            (&entries[..], vec![of(1), contradicted], Fault::Replaced(2)),
            (
                &entries[..2],
                vec![of(1), of(3)],
                Fault::CutOff { signed: 4, last: 2 },
            ),
        ] {
            assert_eq!(verify(entries, checkpoints), Err(fault));
        }
    }

    #[test]
    fn what_is_signed_tells_apart_all_that_it_says() {
        let end = End {
            sequence: 7,
            link: Link([0xab; 32]),
        };
        let one = signed(Mark::Reached, end, 5).statement;
        let hash = "ab".repeat(32);
        let key = KeyId::of(b"ours");
        let expected = format!("cfgw audit checkpoint 1\nreached\n7\n{hash}\n5\n{key}\n");
        assert_eq!(one.text(), expected);
        assert_ne!(one.text(), signed(Mark::Cut, end, 5).statement.text());
        assert_eq!(KeyId::parse(key.as_str()), Some(key));
        assert_eq!(KeyId::parse("AB"), None);
    }
}
