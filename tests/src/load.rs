//! Constant load: one request after the other on a number of tasks, every failure kept.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Requests that go on until [`Load::stop`].
pub struct Load {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    done: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
}

/// What became of a [`Load`].
#[derive(Debug)]
pub struct LoadReport {
    /// Requests made.
    pub requests: u64,
    /// What went wrong, in the order it did.
    pub failures: Vec<String>,
}

impl Load {
    /// Runs `request` over and over on `tasks` tasks, `pause` apart. An `Err` is a failed request.
    pub fn start<F, Fut>(tasks: usize, pause: Duration, request: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send,
    {
        let load = Self {
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            done: Arc::default(),
            failures: Arc::default(),
        };
        let request = Arc::new(request);
        let mut load = load;
        for _ in 0..tasks {
            let (stop, done, failures) =
                (load.stop.clone(), load.done.clone(), load.failures.clone());
            let request = request.clone();
            load.tasks.spawn(async move {
                while !stop.is_cancelled() {
                    if let Err(failure) = request().await {
                        failures.lock().await.push(failure);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
            });
        }
        load
    }

    /// Requests made so far.
    pub fn requests(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits for the requests under way and returns the counts.
    pub async fn stop(mut self) -> LoadReport {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let failures = std::mem::take(&mut *self.failures.lock().await);
        LoadReport {
            requests: self.done.load(Ordering::Relaxed),
            failures,
        }
    }
}
