//! The folder: what is read from it, and the ports that it stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ports::{ClusterSource, Finalizer, PortError, StatusSink};
use domain::snapshot::ClusterSnapshot;
use domain::status::StatusUpdate;
use domain::{ObjectKey, ObjectRef};
use parking_lot::Mutex;
use tokio::sync::watch::Sender;

use crate::cluster::Cluster;
use crate::file::ManifestFile;
use crate::journal::Journal;
use crate::news::News;
use crate::open_error::OpenError;
use crate::problem::Problem;
use crate::status::StatusFolder;
use crate::tree::{Tree, Unlisted};
use crate::watch::{self, Look, SETTLED};

/// Longest that a change waits for files that are still being written.
const PATIENCE: Duration = Duration::from_millis(400);

/// How many statuses are handed to the thread that writes them: their copies are not held all at once.
const WRITTEN_AT_ONCE: usize = 256;

/// A folder of manifests, watched. It is the cluster: objects come from the folder, statuses go to the
/// state folder.
///
/// A change counts once its files are settled (nothing written for 100 ms), so that a file that is only
/// half there, or a checkout that is half done, is not taken for the user's will. A file that cannot be
/// read keeps what it said before; see [`Problem`].
pub struct ManifestFolder {
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// The present view and its number, from 1.
    view: Sender<(u64, Arc<ClusterSnapshot>)>,
    /// Number of the view that was last given away.
    seen: AtomicU64,
    statuses: Arc<StatusFolder>,
}

struct Inner {
    files: BTreeMap<PathBuf, ManifestFile>,
    unlisted: Vec<Problem>,
    cluster: Cluster,
    followed: BTreeSet<ObjectRef>,
    journal: Journal,
    /// Since when a change waits for its files to settle.
    waiting: Option<Instant>,
}

impl fmt::Debug for ManifestFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestFolder")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl ManifestFolder {
    /// Reads the folder and watches it from then on, until the last reference is dropped. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// The folder cannot be listed, or the state folder cannot be written. What is wrong inside of the
    /// folder is no error but a [`Problem`].
    pub fn open(folder: PathBuf, state: PathBuf) -> Result<Arc<Self>, OpenError> {
        if let Err(source) = std::fs::read_dir(&folder) {
            return Err(OpenError::Folder {
                path: folder,
                source,
            });
        }
        if let Err(source) = std::fs::create_dir_all(&state) {
            return Err(OpenError::State {
                path: state,
                source,
            });
        }
        let inner = Inner {
            files: BTreeMap::new(),
            unlisted: Vec::new(),
            cluster: Cluster::default(),
            followed: BTreeSet::new(),
            journal: Journal::new(&state),
            waiting: None,
        };
        // Watched before it is read: no change falls in between.
        let events = watch::events(&folder);
        let opened = Arc::new(Self {
            folder,
            inner: Mutex::new(inner),
            view: Sender::new((0, Arc::default())),
            seen: AtomicU64::new(0),
            statuses: Arc::new(StatusFolder::new(state)),
        });
        opened.look(Look::First);
        let look = |folder: &Self| folder.look(Look::Again);
        tokio::spawn(watch::run(Arc::downgrade(&opened), events, look));
        Ok(opened)
    }

    /// What is wrong in the folder now, by path and position.
    pub fn problems(&self) -> Vec<Problem> {
        self.inner.lock().cluster.problems.clone()
    }

    /// The present view, without counting it as given away.
    pub(crate) fn present(&self) -> Arc<ClusterSnapshot> {
        self.view.borrow().1.clone()
    }

    pub(crate) fn with_cluster<T>(&self, ask: impl FnOnce(&Cluster) -> T) -> T {
        ask(&self.inner.lock().cluster)
    }

    /// Reads the folder. Returns when to look again, if a change waits for its files to settle.
    pub(crate) fn look(&self, look: Look) -> Option<Duration> {
        let mut inner = self.inner.lock();
        let tree = Tree::walk(&self.folder);
        let unlisted = unlisted(&tree);
        let news = News::of(&self.folder, &tree, &inner.files);
        let waited = inner
            .waiting
            .map_or(Duration::ZERO, |since| since.elapsed());
        if look == Look::Again && !news.is_settled(waited) && waited < PATIENCE {
            inner.waiting.get_or_insert_with(Instant::now);
            return Some(SETTLED);
        }
        inner.waiting = None;
        if look == Look::First || !news.is_empty() || unlisted != inner.unlisted {
            inner.unlisted = unlisted;
            news.apply(&mut inner.files);
            let cluster = Cluster::of(&inner.files, inner.unlisted.clone());
            self.publish(&mut inner, Some(cluster));
        }
        let Inner {
            journal, cluster, ..
        } = &mut *inner;
        journal.record(&cluster.problems);
        None
    }

    /// Makes a new view if it shows anything new, or if a Secret that it shows has other values.
    fn publish(&self, inner: &mut Inner, next: Option<Cluster>) {
        let snapshot = next
            .as_ref()
            .unwrap_or(&inner.cluster)
            .snapshot(&inner.followed);
        let same_secrets = next
            .as_ref()
            .is_none_or(|next| next.shows_same_secrets(&inner.cluster, &snapshot));
        if let Some(next) = next {
            inner.cluster = next;
        }
        self.view.send_if_modified(|(number, shown)| {
            let is_new = *number == 0 || !same_secrets || **shown != snapshot;
            if is_new {
                *number += 1;
                *shown = Arc::new(snapshot);
            }
            is_new
        });
    }
}

/// Places that could not be looked at, as problems.
pub(crate) fn unlisted(tree: &Tree) -> Vec<Problem> {
    let problem = |place: &Unlisted| {
        let message = format!("{}; what was read from it before stays in force", place.why);
        Problem::of_file(&place.path, None, message)
    };
    tree.unlisted.iter().map(problem).collect()
}

#[async_trait]
impl ClusterSource for ManifestFolder {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        let view = self.view.borrow();
        self.seen.fetch_max(view.0, Ordering::SeqCst);
        view.1.clone()
    }

    async fn changed(&self) {
        let mut views = self.view.subscribe();
        let newer = views.wait_for(|(number, _)| *number > self.seen.load(Ordering::SeqCst));
        // The sender lives as long as `self`.
        let _ = newer.await;
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        let mut inner = self.inner.lock();
        if inner.followed != refs {
            inner.followed = refs;
            self.publish(&mut inner, None);
        }
    }
}

#[async_trait]
impl StatusSink for ManifestFolder {
    /// Files of objects that are gone are removed.
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        let turn = self.statuses.turn().await;
        let present = self.with_cluster(Cluster::references);
        let mut round = self.statuses.begin(turn, updates, &present);
        for some in updates.chunks(WRITTEN_AT_ONCE) {
            let (statuses, some) = (self.statuses.clone(), some.to_vec());
            round = blocking(move || statuses.write(&some, round)).await?;
        }
        let statuses = self.statuses.clone();
        blocking(move || statuses.finish(round)).await?
    }
}

/// File work, off the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PortError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PortError::unavailable(format!("statuses: {error}")))
}

/// Nothing holds a file: a Gateway whose document is gone is found at the edge instead.
#[async_trait]
impl Finalizer for ManifestFolder {
    async fn add(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn remove(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}
