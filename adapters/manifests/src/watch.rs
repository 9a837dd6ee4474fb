//! Noticing changes.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::folder::ManifestFolder;
use crate::listing::Listing;

/// How long a file must look the same before it counts.
const REST: Duration = Duration::from_millis(100);

/// How often a file may look different before it counts all the same.
const PATIENCE: usize = 5;

/// How often the folder is read without any event: file systems may lose some, and have none at all for
/// a folder that is swapped for another behind a link.
const RESCAN: Duration = Duration::from_secs(2);

/// Watches a folder; each event rings the bell. `None` where the system has no watcher left to give:
/// then the folder is only read every [`RESCAN`].
pub(crate) fn watcher(folder: &Path, bell: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let bell = Arc::clone(bell);
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the folder makes events of its own.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            bell.notify_one();
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            tracing::warn!(
                folder = %folder.display(),
                %error,
                "the folder cannot be watched; it is read every {} s instead",
                RESCAN.as_secs(),
            );
        })
        .ok()
}

/// Takes changes over for as long as the folder is in use.
pub(crate) async fn run(
    folder: Weak<ManifestFolder>,
    bell: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
) {
    loop {
        // Either way the folder is read.
        let _ = tokio::time::timeout(RESCAN, bell.notified()).await;
        let Some(folder) = folder.upgrade() else {
            return;
        };
        settle(&folder).await;
    }
}

/// Takes over what has changed, each file once two looks at it agree: what an editor or a copy writes in
/// several steps is never seen half done, and a file that is replaced is never seen missing.
async fn settle(folder: &Arc<ManifestFolder>) {
    let mut earlier = list(folder).await;
    for attempt in 1..=PATIENCE {
        if folder.is_current(&earlier) {
            return;
        }
        tokio::time::sleep(REST).await;
        let present = list(folder).await;
        let mut unsettled = present.differences(&earlier);
        if attempt == PATIENCE {
            unsettled.clear();
        }
        let taking = Arc::clone(folder);
        earlier = blocking(move || {
            taking.take(&present, &unsettled);
            present
        })
        .await;
    }
}

async fn list(folder: &Arc<ManifestFolder>) -> Listing {
    let path = folder.path().to_owned();
    blocking(move || Listing::of(&path)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
