//! What is signed of the audit, and what is cut out of it.

use async_trait::async_trait;

use super::{Sealed, StoreError};
use crate::broker::audit::Event;
use crate::broker::audit::checkpoint::{Checkpoint, KeyId, Mark};
use crate::names::Timestamp;

/// The key that an audit is signed with. The newest signs; those before it verify what they signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub id: KeyId,
    /// An Ed25519 key, its 32 bytes.
    pub public_key: Vec<u8>,
    pub since: Timestamp,
    /// Its private half.
    pub sealed: Sealed,
}

/// What is signed of the audit.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// In the order in which they were made.
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Adds a key if `newest` is still the last one. Whether it was added; else another broker was first.
    async fn add_signing_key(
        &self,
        newest: Option<&KeyId>,
        key: SigningKey,
        event: Event,
    ) -> Result<bool, StoreError>;

    /// Those after a sequence, at most `limit` of them, in order.
    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, StoreError>;

    /// The last one with this mark.
    async fn last_checkpoint(&self, mark: Mark) -> Result<Option<Checkpoint>, StoreError>;

    /// One that is at the same place already stays as it is.
    async fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// Takes out the entries and checkpoints up to a cut, if the last cut is still the one at `start`. Whether it was done;
    /// else another broker was first.
    async fn cut(&self, start: u64, cut: &Checkpoint, event: Event) -> Result<bool, StoreError>;
}
