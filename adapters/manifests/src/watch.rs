//! When to look at the folder: soon after an event, and every so often in case one was lost (network file
//! systems and targets of links send none).

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A file that did not change for so long is taken for whole.
pub(crate) const SETTLED: Duration = Duration::from_millis(100);

/// Longest time between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Which look at the folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The first: takes what is there.
    First,
    /// Any later one: waits for files to settle.
    Again,
}

/// Notifies of events until it is dropped.
pub(crate) struct Events {
    happened: Arc<Notify>,
    /// Stops watching when dropped; `None` where the system cannot watch.
    _watcher: Option<notify::RecommendedWatcher>,
}

/// Starts to watch. Where that fails, only the interval is left.
pub(crate) fn events(folder: &Path) -> Events {
    let happened = Arc::new(Notify::new());
    let teller = happened.clone();
    let tell = move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            teller.notify_one();
        }
    };
    let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    if let Err(error) = &watcher {
        let folder = folder.display();
        tracing::warn!(%folder, %error, "the folder is not watched but read every 2 seconds");
    }
    Events {
        happened,
        _watcher: watcher.ok(),
    }
}

/// Looks at the folder whenever something may have changed, for as long as it is held elsewhere. A look says how long
/// to wait for the next one.
pub(crate) async fn run<F: Send + Sync + 'static>(
    folder: Weak<F>,
    events: Events,
    look: fn(&F) -> Option<Duration>,
) {
    let mut pause = INTERVAL;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = events.happened.notified() => tokio::time::sleep(SETTLED).await,
        }
        let Some(folder) = folder.upgrade() else {
            return;
        };
        let looked = tokio::task::spawn_blocking(move || look(&folder));
        pause = looked.await.ok().flatten().unwrap_or(INTERVAL);
    }
}
