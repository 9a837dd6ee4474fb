//! Goes through an audit: files that were exported, then the store.

use std::path::PathBuf;

use domain::broker::audit::End;
use domain::broker::audit::checkpoint::{Checkpoint, Fault, Mark, Signed};
use domain::broker::ports::{Seal, Store, StoreError};

use super::KeeperError;
use super::files::{Exported, FileError};
use super::keeper::PAGE;
use super::key::{PublicKeys, keys_of};
use crate::wire::audit::CheckpointsDocument;

/// How often the store is read again where a broker cuts meanwhile.
const ATTEMPTS: usize = 5;

/// What is looked at besides the store.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The folder of exported files.
    pub files: Option<PathBuf>,
    /// What an auditor kept elsewhere: keys that are trusted, and checkpoints.
    pub kept: Option<CheckpointsDocument>,
}

/// An audit that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The first entry that was looked at. Those before it were cut.
    pub first: u64,
    pub end: End,
    /// The last place that is signed; what is after it follows from it, and can be written anew by whoever has the store.
    pub signed: Option<Checkpoint>,
    /// Exported files that were looked at.
    pub files: usize,
}

/// Why an audit cannot be verified, or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// `end` is how far it holds.
    #[error("the store: {fault}")]
    Store { end: End, fault: Fault },
    #[error("{name}: {fault}")]
    File { name: String, fault: Fault },
    #[error(transparent)]
    Unreadable(#[from] FileError),
    #[error(
        "entries {from} to {to} are in no file and not in the store; get the files that are missing into one folder"
    )]
    Missing { from: u64, to: u64 },
    #[error("what was kept elsewhere is not an answer to GET /admin/v1/audit/checkpoints")]
    Kept,
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Keeper(error.into())
    }
}

/// Verifies files and store together. Trusted are the keys of the store that can be opened, and those that were kept.
pub async fn verify(
    store: &dyn Store,
    seal: &dyn Seal,
    evidence: &Evidence,
) -> Result<Verified, VerifyError> {
    let mut attempt = 1;
    loop {
        let cut = store.last_checkpoint(Mark::Cut).await?;
        let found = Verifying::begin(store, seal, evidence).await;
        let found = match found {
            Ok(verifying) => verifying.run(store, evidence, cut.clone()).await,
            Err(error) => Err(error),
        };
        // What is not there may have been cut while it was looked for.
        let is_old = found.is_err() && store.last_checkpoint(Mark::Cut).await? != cut;
        if !is_old || attempt == ATTEMPTS {
            return found;
        }
        attempt += 1;
    }
}

struct Verifying {
    keys: PublicKeys,
    signed: Signed,
    has_key: bool,
    files: Vec<Exported>,
}

impl Verifying {
    async fn begin(
        store: &dyn Store,
        seal: &dyn Seal,
        evidence: &Evidence,
    ) -> Result<Self, VerifyError> {
        let (keys, newest) = keys_of(store, seal).await?;
        let files = evidence.files.as_deref().map(Exported::list).transpose()?;
        let mut this = Self {
            keys,
            signed: Signed::default(),
            has_key: newest.is_some(),
            files: files.unwrap_or_default(),
        };
        if let Some(kept) = &evidence.kept {
            this.trust(kept)?;
        }
        for file in this.files.clone() {
            for checkpoint in file.begins.iter().chain([&file.cut]) {
                let added = this.signed.add(checkpoint.clone(), &this.keys);
                added.map_err(|fault| VerifyError::File {
                    name: file.name(),
                    fault,
                })?;
            }
        }
        Ok(this)
    }

    fn trust(&mut self, kept: &CheckpointsDocument) -> Result<(), VerifyError> {
        for key in &kept.keys {
            self.keys.add(&key.read().ok_or(VerifyError::Kept)?);
        }
        for checkpoint in &kept.items {
            let checkpoint = checkpoint.read().ok_or(VerifyError::Kept)?;
            let added = self.signed.add(checkpoint, &self.keys);
            added.map_err(|_| VerifyError::Kept)?;
        }
        Ok(())
    }

    async fn run(
        mut self,
        store: &dyn Store,
        evidence: &Evidence,
        cut: Option<Checkpoint>,
    ) -> Result<Verified, VerifyError> {
        let start = cut.map_or(End::default(), |cut| cut.statement.end);
        self.read_checkpoints(store).await?;
        let first = self.first(start, evidence)?;
        let end = self.through_store(store, start).await?;
        Ok(Verified {
            first: first + 1,
            end,
            signed: self.signed.last().cloned(),
            files: self.files.len(),
        })
    }

    async fn read_checkpoints(&mut self, store: &dyn Store) -> Result<(), VerifyError> {
        let (mut after, mut is_one) = (0, false);
        loop {
            let page = store.checkpoints(after, PAGE).await?;
            for checkpoint in &page {
                let added = self.signed.add(checkpoint.clone(), &self.keys);
                let end = End::default();
                added.map_err(|fault| VerifyError::Store { end, fault })?;
            }
            is_one |= !page.is_empty();
            match page.last() {
                // Two may be at one place, and the second on another page.
                Some(last) if page.len() == PAGE => after = last.statement.end.sequence - 1,
                _ => break,
            }
        }
        if self.has_key && !is_one {
            let (end, fault) = (End::default(), Fault::NoCheckpoint);
            return Err(VerifyError::Store { end, fault });
        }
        Ok(())
    }

    /// Where the chain begins, with the files: they must lead to where the store begins.
    fn first(&self, start: End, evidence: &Evidence) -> Result<u64, VerifyError> {
        if evidence.files.is_none() {
            return Ok(start.sequence);
        }
        let first = self.files.first().map_or(start, Exported::start).sequence;
        let mut reached = first;
        for file in &self.files {
            let (from, to) = (file.start().sequence, file.cut.statement.end.sequence);
            if from > reached {
                return Err(VerifyError::Missing {
                    from: reached + 1,
                    to: from,
                });
            }
            self.through_file(file)?;
            reached = reached.max(to);
        }
        match reached < start.sequence {
            true => Err(VerifyError::Missing {
                from: reached + 1,
                to: start.sequence,
            }),
            false => Ok(first),
        }
    }

    fn through_file(&self, file: &Exported) -> Result<(), VerifyError> {
        let faulty = |fault| VerifyError::File {
            name: file.name(),
            fault,
        };
        let mut end = file.start();
        for entry in file.entries()? {
            end = self.signed.verify(end, &entry?).map_err(faulty)?;
        }
        let signed = file.cut.statement.end;
        match end == signed {
            true => Ok(()),
            false => Err(faulty(Fault::CutOff {
                signed: signed.sequence,
                last: end.sequence,
            })),
        }
    }

    async fn through_store(&self, store: &dyn Store, start: End) -> Result<End, VerifyError> {
        let mut end = start;
        loop {
            let page = store.after(end.sequence, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for entry in &page {
                let is_first = end == start && entry.sequence > end.sequence + 1;
                let next = match is_first {
                    true => Err(Fault::CutWithoutCheckpoint(entry.sequence)),
                    false => self.signed.verify(end, entry),
                };
                end = next.map_err(|fault| VerifyError::Store { end, fault })?;
            }
        }
        let reached = self.signed.is_reached_by(end);
        reached.map_err(|fault| VerifyError::Store { end, fault })?;
        Ok(end)
    }
}
