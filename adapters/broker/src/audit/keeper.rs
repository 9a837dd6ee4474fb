//! Signs an audit in time, and cuts what need not be kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::broker::audit::checkpoint::{Checkpoint, Fault, Mark, Signed, Signers};
use domain::broker::audit::retention::Retention;
use domain::broker::audit::{End, Event};
use domain::broker::ports::{Purpose, Seal, Store, StoreError};
use domain::ports::{Clock, Entropy, PortError, PortErrorKind};
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use super::files::{FileError, Writing};
use super::key::{Pair, PublicKeys, keys_of};
use crate::identity;

/// Entries or checkpoints that are read at a time.
pub(super) const PAGE: usize = 500;

/// When is signed, and what is kept.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// A checkpoint is made after so many entries…
    pub entries: u64,
    /// …or after so long, where there are any.
    pub every: Duration,
    pub retention: Retention,
    /// Where what is cut is written to.
    pub folder: Option<PathBuf>,
}

/// Why an audit was not signed or cut.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit is not what it was. Nothing is signed or cut from then on.
    #[error(
        "{0}; it is neither signed nor cut until somebody has looked at it: cfgw broker verify-audit"
    )]
    Fault(#[from] Fault),
    #[error("the key that signs the audit cannot be had: {0}")]
    Key(PortError),
    #[error("nothing is cut: {0}")]
    File(#[from] FileError),
}

/// Looks after an audit. Several brokers may do it for the same one.
pub struct Keeper {
    store: Arc<dyn Store>,
    seal: Arc<dyn Seal>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    keeping: Keeping,
    /// The last place that was found signed: a store that has less was set back.
    seen: Mutex<u64>,
}

impl Keeper {
    /// Nothing is done yet.
    pub fn new(
        store: Arc<dyn Store>,
        seal: Arc<dyn Seal>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
        keeping: Keeping,
    ) -> Self {
        Self {
            store,
            seal,
            entropy,
            clock,
            keeping,
            seen: Mutex::new(0),
        }
    }

    /// Signs and cuts where it is time.
    pub async fn look(&self) -> Result<(), KeeperError> {
        let last = self.last().await?;
        let end = self.store.end().await?;
        let signed = last.as_ref().map_or(0, |last| last.statement.end.sequence);
        let age = last
            .as_ref()
            .map(|last| self.clock.now().0.saturating_sub(last.statement.at.0));
        let every = i64::try_from(self.keeping.every.as_secs()).unwrap_or(i64::MAX);
        let is_due = end.sequence.saturating_sub(signed) >= self.keeping.entries
            || age.is_none_or(|age| age >= every);
        if end.sequence != signed && is_due || end.sequence < signed {
            self.sign().await?;
        }
        self.cut().await
    }

    /// The last place that is signed.
    async fn last(&self) -> Result<Option<Checkpoint>, KeeperError> {
        let reached = self.store.last_checkpoint(Mark::Reached).await?;
        let cut = self.store.last_checkpoint(Mark::Cut).await?;
        let sequence = |it: &Checkpoint| it.statement.end.sequence;
        Ok([reached, cut].into_iter().flatten().max_by_key(sequence))
    }

    /// Signs the end of the audit, if all follows from what was signed before. The first time a key is made for it.
    pub async fn sign(&self) -> Result<Checkpoint, KeeperError> {
        let (trusted, pair) = match keys_of(&*self.store, &*self.seal).await? {
            (trusted, Some(pair)) => (trusted, pair),
            (_, None) => self.make_key().await?,
        };
        let last = self.last().await?;
        let end = self.walk(last, &trusted, None, None).await?;
        let checkpoint = pair.sign(Mark::Reached, end, self.clock.now());
        self.store.put_checkpoint(&checkpoint).await?;
        *self.seen.lock() = end.sequence;
        Ok(checkpoint)
    }

    /// Goes from a signed place to another one that is signed, or to the end. `written` gets the entries.
    async fn walk(
        &self,
        from: Option<Checkpoint>,
        trusted: &dyn Signers,
        to: Option<u64>,
        mut written: Option<&mut Writing>,
    ) -> Result<End, KeeperError> {
        let mut signed = Signed::default();
        let mut end = from
            .as_ref()
            .map_or(End::default(), |from| from.statement.end);
        let after = self.store.checkpoints(end.sequence, PAGE).await?;
        for checkpoint in from.into_iter().chain(after) {
            signed.add(checkpoint, trusted)?;
        }
        loop {
            let mut page = self.store.after(end.sequence, PAGE).await?;
            page.retain(|entry| to.is_none_or(|to| entry.sequence <= to));
            if page.is_empty() {
                break;
            }
            for entry in &page {
                end = signed.verify(end, entry)?;
            }
            if let Some(file) = &mut written {
                file.add(&page).await?;
            }
        }
        let reached = end.sequence;
        match to {
            Some(to) if reached < to => Err(Fault::CutOff {
                signed: to,
                last: reached,
            }
            .into()),
            Some(_) => Ok(end),
            None => {
                signed.is_reached_by(end)?;
                let seen = *self.seen.lock();
                match reached < seen {
                    true => Err(Fault::CutOff {
                        signed: seen,
                        last: reached,
                    }
                    .into()),
                    false => Ok(end),
                }
            }
        }
    }

    /// Makes another key, and signs with it. What is there is signed by the one before first, if that one can be had.
    pub async fn replace_key(&self) -> Result<Checkpoint, KeeperError> {
        match self.sign().await {
            Ok(_) | Err(KeeperError::Key(_)) => {}
            Err(error) => return Err(error),
        }
        let (_, pair) = self.make_key().await?;
        let end = self.store.end().await?;
        let checkpoint = pair.sign(Mark::Reached, end, self.clock.now());
        self.store.put_checkpoint(&checkpoint).await?;
        Ok(checkpoint)
    }

    /// Makes the first key, or one in the place of the newest.
    async fn make_key(&self) -> Result<(PublicKeys, Pair), KeeperError> {
        let stored = self.store.signing_keys().await?;
        let newest = stored.last().map(|key| &key.id);
        let made = Pair::new(self.entropy.secret());
        let failed = || PortError::new(PortErrorKind::Invalid, "no key can be made");
        let (pair, text) = made.ok_or_else(|| KeeperError::Key(failed()))?;
        let sealed = self.seal.seal(Purpose::SigningKey(pair.id()), &text);
        let sealed = sealed.await.map_err(KeeperError::Key)?;
        let event = self.event("signing-key.make", pair.id().as_str(), String::new());
        let key = pair.stored(event.at, sealed);
        // Where another broker was first, that one's key is the key.
        self.store.add_signing_key(newest, key, event).await?;
        match keys_of(&*self.store, &*self.seal).await? {
            (trusted, Some(pair)) => Ok((trusted, pair)),
            (_, None) => Err(KeeperError::Key(failed())),
        }
    }

    async fn cut(&self) -> Result<(), KeeperError> {
        let start = self.store.last_checkpoint(Mark::Cut).await?;
        let sequence = start
            .as_ref()
            .map_or(0, |start| start.statement.end.sequence);
        let checkpoints = self.store.checkpoints(sequence, PAGE).await?;
        let (end, now) = (self.store.end().await?, self.clock.now());
        let retention = &self.keeping.retention;
        let Some(to) = retention.cut(sequence, end, &checkpoints, now) else {
            return Ok(());
        };
        let (trusted, Some(pair)) = keys_of(&*self.store, &*self.seal).await? else {
            return Err(Fault::Signature(to.statement.end.sequence).into());
        };
        let cut = pair.sign(Mark::Cut, to.statement.end, now);
        let told = match self.export(start, &cut, &trusted).await {
            Ok(told) => told,
            // What is not there was cut by another broker meanwhile.
            Err(_) if self.is_cut_after(sequence).await? => return Ok(()),
            Err(error) => return Err(error),
        };
        let entries = format!("{} to {}", sequence + 1, cut.statement.end.sequence);
        let event = self.event("audit.cut", &entries, told.clone());
        if self.store.cut(sequence, &cut, event).await? {
            tracing::info!(entries, file = told, "the audit was cut");
        }
        Ok(())
    }

    async fn is_cut_after(&self, start: u64) -> Result<bool, StoreError> {
        let last = self.store.last_checkpoint(Mark::Cut).await?;
        Ok(last.is_some_and(|last| last.statement.end.sequence > start))
    }

    /// Writes what is cut to the folder, if there is one; it is verified in any case. The name of the file.
    async fn export(
        &self,
        start: Option<Checkpoint>,
        cut: &Checkpoint,
        trusted: &PublicKeys,
    ) -> Result<String, KeeperError> {
        let to = Some(cut.statement.end.sequence);
        let Some(folder) = &self.keeping.folder else {
            self.walk(start, trusted, to, None).await?;
            return Ok("kept nowhere".to_owned());
        };
        let first = start
            .as_ref()
            .map_or(0, |start| start.statement.end.sequence);
        let unique = identity::unpredictable(&*self.entropy);
        let mut file = Writing::begin(folder, start.as_ref(), unique.expose_secret()).await?;
        match self.walk(start, trusted, to, Some(&mut file)).await {
            Ok(_) => Ok(file.finish(first, cut).await?),
            Err(error) => {
                file.give_up().await;
                Err(error)
            }
        }
    }

    fn event(&self, action: &str, object: &str, detail: String) -> Event {
        Event {
            at: self.clock.now(),
            actor: "broker".to_owned(),
            action: action.to_owned(),
            object: object.to_owned(),
            result: "done".to_owned(),
            detail,
            ..Event::default()
        }
    }
}
