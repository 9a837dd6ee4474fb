//! The folder and its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapter_gateway_api::{Object, Secret};
use async_trait::async_trait;
use domain::attachment::credentials_reference;
use domain::edge::EdgeError;
use domain::ports::{ClusterSource, Credentials, Hold, PortError, StatusSink};
use domain::secret::CloudflareCredentials;
use domain::snapshot::ClusterSnapshot;
use domain::status::StatusUpdate;
use domain::{ObjectKey, ObjectRef};
use tokio::sync::{Notify, watch as channel};
use tokio::task::AbortHandle;

use crate::inventory::{InForce, Inventory};
use crate::listing::Listing;
use crate::problem::{Problem, write_problems};
use crate::secrets::{credentials, credentials_error, has_credentials};
use crate::snapshot::snapshot;
use crate::status::StatusDirectory;
use crate::watch;

/// Why a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not there or cannot be listed.
    #[error("{folder}: {reason}; name a readable folder of manifests")]
    Folder {
        /// As given.
        folder: PathBuf,
        /// In the system's words.
        reason: String,
    },
    /// The state directory cannot be made or written.
    #[error("{state}: {source}; name a directory that can be written")]
    State {
        /// As given.
        state: PathBuf,
        /// In the system's words.
        source: std::io::Error,
    },
}

/// A folder of manifests as the cluster.
#[derive(Debug)]
pub struct ManifestFolder {
    folder: PathBuf,
    state: PathBuf,
    statuses: StatusDirectory,
    contents: Mutex<Contents>,
    /// Version of the present view.
    version: channel::Sender<u64>,
    /// Version of the view last handed out.
    handed_out: AtomicU64,
    /// The task that watches; ends with the folder.
    watching: Mutex<Option<AbortHandle>>,
}

#[derive(Debug)]
struct Contents {
    inventory: Inventory,
    in_force: InForce,
    followed: BTreeSet<ObjectRef>,
    snapshot: Arc<ClusterSnapshot>,
}

impl Drop for ManifestFolder {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.watching).take() {
            task.abort();
        }
    }
}

impl ManifestFolder {
    /// Reads the folder once and watches it from then on, on the current tokio runtime, until the last
    /// reference is dropped. Statuses and problems are written to the state directory, which is made
    /// where it is missing.
    ///
    /// # Errors
    /// The folder cannot be listed, or the state directory cannot be written. Files that cannot be read
    /// are [`problems`](Self::problems), not errors.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(folder: PathBuf, state: PathBuf) -> Result<Arc<Self>, OpenError> {
        // Watched before it is read, so that no change falls between the two.
        let bell = Arc::new(Notify::new());
        let watcher = watch::watcher(&folder, &bell);
        let listing = Listing::of(&folder);
        if let Some(reason) = listing.closed.get(Path::new("")) {
            let reason = reason.clone();
            return Err(OpenError::Folder { folder, reason });
        }
        if let Err(source) = write_problems(&state, &[]) {
            return Err(OpenError::State { state, source });
        }
        let inventory = Inventory::default();
        let opened = Arc::new(Self {
            folder,
            statuses: StatusDirectory::new(state.clone()),
            state,
            contents: Mutex::new(Contents {
                in_force: inventory.in_force(),
                inventory,
                followed: BTreeSet::new(),
                snapshot: Arc::default(),
            }),
            version: channel::Sender::new(0),
            handed_out: AtomicU64::new(0),
            watching: Mutex::new(None),
        });
        opened.take(&listing, &BTreeSet::new());
        let task = tokio::spawn(watch::run(Arc::downgrade(&opened), bell, watcher));
        *lock(&opened.watching) = Some(task.abort_handle());
        Ok(opened)
    }

    /// What is wrong in the folder at present, sorted by file and line.
    pub fn problems(&self) -> Vec<Problem> {
        lock(&self.contents).in_force.problems.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_current(&self, listing: &Listing) -> bool {
        lock(&self.contents).inventory.is_current(listing)
    }

    /// Takes a listing over and, where it changes anything, publishes a new view. Blocks on files.
    pub(crate) fn take(&self, listing: &Listing, unsettled: &BTreeSet<PathBuf>) {
        let mut contents = lock(&self.contents);
        contents.inventory.take(listing, unsettled);
        let in_force = contents.inventory.in_force();
        let before = std::mem::replace(&mut contents.in_force, in_force);
        let has_new_secrets = !same_secrets(&before, &contents.in_force);
        self.report_problems(&before.problems, &contents.in_force.problems);
        self.remove_old_statuses(&contents.in_force);
        self.publish(&mut contents, has_new_secrets);
    }

    /// A new version where the snapshot differs, or a Secret has new values, which no snapshot shows.
    fn publish(&self, contents: &mut Contents, has_new_secrets: bool) {
        let next = snapshot(&contents.in_force, &contents.followed);
        let is_first = *self.version.borrow() == 0;
        if is_first || has_new_secrets || *contents.snapshot != next {
            contents.snapshot = Arc::new(next);
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Logs what is new and what is mended, and writes the list where it changed.
    fn report_problems(&self, before: &[Problem], now: &[Problem]) {
        if before == now {
            return;
        }
        for problem in now.iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!("{problem}");
        }
        for problem in before.iter().filter(|problem| !now.contains(problem)) {
            tracing::info!("no longer so: {problem}");
        }
        if let Err(error) = write_problems(&self.state, now) {
            tracing::warn!(%error, "the list of problems could not be written");
        }
    }

    fn remove_old_statuses(&self, in_force: &InForce) {
        if in_force.incomplete.is_none() {
            self.statuses.keep_only(in_force.objects.keys());
        }
    }

    fn with_secret<T>(
        &self,
        reference: &ObjectRef,
        use_it: impl FnOnce(&Secret) -> Result<T, EdgeError>,
    ) -> Result<T, EdgeError> {
        let object = lock(&self.contents)
            .in_force
            .objects
            .get(reference)
            .cloned();
        match object.as_deref() {
            Some(Object::Secret(secret)) => use_it(secret),
            _ => Err(credentials_error(format!(
                "Secret {} is not in the folder; add it with keys CLOUDFLARE_API_TOKEN and \
                 CLOUDFLARE_ACCOUNT_ID",
                reference.key
            ))),
        }
    }
}

/// What a panicking thread left behind is whole: every change under the lock is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn secrets(in_force: &InForce) -> BTreeMap<&ObjectRef, &Secret> {
    in_force
        .objects
        .iter()
        .filter_map(|(reference, object)| match &**object {
            Object::Secret(secret) => Some((reference, secret)),
            _ => None,
        })
        .collect()
}

fn same_secrets(before: &InForce, now: &InForce) -> bool {
    let (before, now) = (secrets(before), secrets(now));
    before.len() == now.len()
        && before
            .iter()
            .zip(&now)
            .all(|((_, before), (_, now))| before.is_same(now))
}

#[async_trait]
impl ClusterSource for ManifestFolder {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        let contents = lock(&self.contents);
        self.handed_out
            .store(*self.version.borrow(), Ordering::SeqCst);
        Arc::clone(&contents.snapshot)
    }

    async fn changed(&self) {
        let mut version = self.version.subscribe();
        let is_newer = |version: &u64| *version > self.handed_out.load(Ordering::SeqCst);
        // Fails only when the sender is gone, which lives as long as `self`.
        let _ = version.wait_for(is_newer).await;
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        let mut contents = lock(&self.contents);
        if contents.followed != refs {
            contents.followed = refs;
            self.publish(&mut contents, false);
        }
    }
}

#[async_trait]
impl StatusSink for ManifestFolder {
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        let version = *self.version.borrow();
        let present = lock(&self.contents).in_force.references();
        let statuses = self.statuses.clone();
        let updates = updates.to_vec();
        let written = tokio::task::spawn_blocking(move || statuses.write(&updates, &present))
            .await
            .map_err(|error| PortError(format!("statuses were not written: {error}")))?;
        if *self.version.borrow() != version {
            // An object may have gone meanwhile, and its status come back.
            self.remove_old_statuses(&lock(&self.contents).in_force);
        }
        written
    }
}

/// A folder keeps nothing from vanishing: what is left at the edge is found through what is owned there.
#[async_trait]
impl Hold for ManifestFolder {
    async fn hold(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn release(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Credentials for ManifestFolder {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, EdgeError> {
        let snapshot = Arc::clone(&lock(&self.contents).snapshot);
        let reference = credentials_reference(&snapshot, gateway)
            .map_err(|defect| credentials_error(defect.to_string()))?;
        self.with_secret(&reference, credentials)
    }

    /// Every Secret with the keys of credentials counts, whoever names it: a Gateway and its class may be
    /// gone while their Secret is still there.
    async fn all(&self) -> Result<Vec<CloudflareCredentials>, EdgeError> {
        let contents = lock(&self.contents);
        secrets(&contents.in_force)
            .into_values()
            .filter(|secret| has_credentials(secret))
            .map(credentials)
            .collect()
    }
}
