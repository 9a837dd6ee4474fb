//! Documents of the audit: what is signed of it, and the lines of exported files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use domain::broker::audit::checkpoint::{Checkpoint, KeyId, Mark, Statement};
use domain::broker::audit::{End, Entry, Event, Link};
use domain::broker::ports::SigningKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::people::{EntryDocument, moment};
use crate::openapi::texts::Number;

/// What stands before the 32 bytes of an Ed25519 key in its DER form (RFC 8410).
const OF_ED25519: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A place of the chain, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointDocument {
    #[schema(value_type = Number)]
    pub sequence: u64,
    /// The hash of that entry and all before.
    pub hash: String,
    /// `reached`: the chain had come so far; `cut`: what is up to here was taken out of the store.
    pub mark: String,
    pub at: String,
    /// The id of the key that it is signed with.
    pub key: String,
    /// In base64.
    pub signature: String,
}

impl CheckpointDocument {
    /// Of a checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let Statement { mark, end, at, key } = &checkpoint.statement;
        Self {
            sequence: end.sequence,
            hash: end.link.to_string(),
            mark: mark.as_str().to_owned(),
            at: moment(*at),
            key: key.to_string(),
            signature: STANDARD.encode(&checkpoint.signature),
        }
    }

    /// The checkpoint; `None` where it is none.
    pub fn read(&self) -> Option<Checkpoint> {
        Some(Checkpoint {
            statement: Statement {
                mark: Mark::parse(&self.mark)?,
                end: End {
                    sequence: self.sequence,
                    link: Link::parse(&self.hash)?,
                },
                at: read_moment(&self.at)?,
                key: KeyId::parse(&self.key)?,
            },
            signature: STANDARD.decode(&self.signature).ok()?,
        })
    }
}

/// A key that signs the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyDocument {
    pub id: String,
    /// An Ed25519 key in base64, in the DER form that `openssl pkey -pubin -inform DER` reads.
    pub public_key: String,
    pub since: String,
}

impl SigningKeyDocument {
    /// Of a key.
    pub fn of(key: &SigningKey) -> Self {
        Self {
            id: key.id.to_string(),
            public_key: STANDARD.encode([&OF_ED25519, &*key.public_key].concat()),
            since: moment(key.since),
        }
    }

    /// The 32 bytes of the key; `None` where it is none.
    pub fn read(&self) -> Option<Vec<u8>> {
        let der = STANDARD.decode(&self.public_key).ok()?;
        let key = der.strip_prefix(&OF_ED25519)?;
        (key.len() == 32).then(|| key.to_vec())
    }
}

/// Answer to `GET /admin/v1/audit/checkpoints`: what an auditor keeps elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointsDocument {
    pub keys: Vec<SigningKeyDocument>,
    pub items: Vec<CheckpointDocument>,
    /// Where the list goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A line of an exported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LineDocument {
    /// The first one: the cut before; none where there was none.
    Begins(Option<CheckpointDocument>),
    Entry(EntryDocument),
    /// The last one.
    Cut(CheckpointDocument),
}

impl EntryDocument {
    /// The entry; `None` where it is none.
    pub fn read(self) -> Option<Entry> {
        Some(Entry {
            sequence: self.sequence,
            event: Event {
                at: read_moment(&self.at)?,
                actor: self.actor,
                source: self.source,
                action: self.action,
                object: self.object,
                result: self.result,
                detail: self.detail,
                ray: self.ray,
            },
            link: Link::parse(&self.hash)?,
        })
    }
}

/// Reads what [`moment`] wrote.
fn read_moment(text: &str) -> Option<Timestamp> {
    let at = text.parse::<jiff::Timestamp>();
    let seconds = at.map(jiff::Timestamp::as_second).or_else(|_| text.parse());
    seconds.ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written_whatever_its_time_and_its_texts() {
        for at in [0, -1, 1_800_000_000, i64::MAX, i64::MIN] {
            let event = Event {
                at: Timestamp(at),
                actor: "person \"ada\" \u{2028}é".to_owned(),
                ..Event::default()
            };
            let entry = End::default().follow(event);
            let line = LineDocument::Entry(EntryDocument::of(entry.clone()));
            let text = serde_json::to_string(&line).unwrap();
            let read = serde_json::from_str(&text).unwrap();
            let LineDocument::Entry(read) = read else {
                panic!("{text}")
            };
            assert_eq!(read.read(), Some(entry), "{at}");
        }
    }
}
