//! What was done, by whom and with what result: a chain in which each entry holds the hash of the one before, so that none
//! can be changed, left out or put in later without being seen.
//!
//! - [`checkpoint`]: what is signed of it. - [`retention`]: how much of it stays in the store.

pub mod checkpoint;
pub mod retention;

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::names::Timestamp;

/// Bytes of one text of an event, at most; what is longer is cut.
pub const LONGEST_TEXT: usize = 1024;

/// Something that was done or refused. No text of it holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    pub at: Timestamp,
    /// `person ada`, `cluster east`, `broker`.
    pub actor: String,
    /// The address that it was asked from; empty for what the broker does by itself.
    pub source: String,
    /// A verb and what it is done to: `grant.put`.
    pub action: String,
    /// The name of that.
    pub object: String,
    /// `done`, or the code of the refusal.
    pub result: String,
    pub detail: String,
    /// Cloudflare's ray id of the call that it took, where there was one.
    pub ray: String,
}

impl Event {
    /// In the order in which they are hashed. The number of texts is part of the form.
    fn texts(&self) -> [&str; 7] {
        [
            &self.actor,
            &self.source,
            &self.action,
            &self.object,
            &self.result,
            &self.detail,
            &self.ray,
        ]
    }

    /// With texts that are not longer than [`LONGEST_TEXT`] and have no control characters.
    pub fn bounded(mut self) -> Self {
        for text in [
            &mut self.actor,
            &mut self.source,
            &mut self.action,
            &mut self.object,
            &mut self.result,
            &mut self.detail,
            &mut self.ray,
        ] {
            text.retain(|letter| !letter.is_control());
            text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        }
        self
    }
}

/// The hash of an entry, which the next one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// That of an entry after this one.
    pub fn next(self, sequence: u64, event: &Event) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(sequence.to_be_bytes());
        hash.update(event.at.0.to_be_bytes());
        for text in event.texts() {
            // With its length, so that no two events are the same bytes.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        crate::secret::TokenHash::parse(text).map(|hash| Self(hash.bytes()))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An event in its place of the chain. Sequences count up from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub event: Event,
    pub link: Link,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the audit is broken at entry {sequence}: it was changed, or one before it was left out or put in"
)]
pub struct Broken {
    pub sequence: u64,
}

/// The end of a chain: what was verified so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    pub sequence: u64,
    pub link: Link,
}

impl End {
    /// The end after one entry more.
    pub fn verify(self, entry: &Entry) -> Result<Self, Broken> {
        let sequence = self.sequence + 1;
        let link = self.link.next(sequence, &entry.event);
        if entry.sequence != sequence || entry.link != link {
            return Err(Broken { sequence });
        }
        Ok(Self { sequence, link })
    }

    /// The entry that follows.
    pub fn follow(self, event: Event) -> Entry {
        let (sequence, event) = (self.sequence + 1, event.bounded());
        let link = self.link.next(sequence, &event);
        Entry {
            sequence,
            event,
            link,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(actor: &str, object: &str) -> Event {
        Event {
            actor: actor.to_owned(),
            object: object.to_owned(),
            ..Event::default()
        }
    }

    pub(in crate::broker::audit) fn chain() -> Vec<Entry> {
        let mut end = End::default();
        let mut entries = Vec::new();
        for object in ["one", "two", "three", "four"] {
            let entry = end.follow(event("person ada", object));
            end = end.verify(&entry).unwrap();
            entries.push(entry);
        }
        entries
    }

    fn verify(entries: &[Entry]) -> Result<End, Broken> {
        let mut entries = entries.iter();
        entries.try_fold(End::default(), End::verify)
    }

    type Change = fn(&mut Vec<Entry>);

    #[test]
    fn whatever_is_done_to_a_chain_is_seen() {
        assert!(verify(&chain()).is_ok());
        let changes: [(Change, u64); 6] = [
            (|it| it[1].event.object = "other".to_owned(), 2),
            (|it| it[1].event.at = Timestamp(1), 2),
            (
                |it| {
                    it.remove(1);
                },
                2,
            ),
            (|it| it.swap(1, 2), 2),
            (|it| it[2].link = it[1].link, 3),
            (
                |it| {
                    let end = End {
                        sequence: 1,
                        link: it[0].link,
                    };
                    it[1] = end.follow(event("person eve", "two"));
                },
                3,
            ),
        ];
        for (change, sequence) in changes {
            let mut entries = chain();
            change(&mut entries);
            assert_eq!(verify(&entries), Err(Broken { sequence }));
        }
    }

    #[test]
    fn two_events_with_the_same_letters_in_other_fields_differ() {
        let link = Link::default();
        let (one, other) = (event("ab", "c"), event("a", "bc"));
        assert_ne!(link.next(1, &one), link.next(1, &other));
    }

    #[test]
    fn a_text_is_cut_and_has_no_control_characters() {
        let long = "é".repeat(LONGEST_TEXT);
        let entry = End::default().follow(event("a\nb\u{0}", &long));
        assert_eq!(entry.event.actor, "ab");
        assert_eq!(entry.event.object.len(), LONGEST_TEXT);
        assert!(verify(&[entry]).is_ok());
    }

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let link = chain()[3].link;
        assert_eq!(Link::parse(&link.to_string()), Some(link));
        assert_eq!(Link::parse("00"), None);
    }
}
