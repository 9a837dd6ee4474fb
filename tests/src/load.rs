//! Constant load: one request after the other on a number of tasks, or so many a second, every failure kept.

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

    /// Begins so many requests a second, whatever becomes of those before. `request` gets the number of the request.
    pub fn at_rate<F, Fut>(per_second: u32, request: F) -> Self
    where
        F: Fn(u64) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut load = Self {
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            done: Arc::default(),
            failures: Arc::default(),
        };
        let (stop, done, failures) = (load.stop.clone(), load.done.clone(), load.failures.clone());
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        load.tasks.spawn(async move {
            let mut under_way = JoinSet::new();
            for number in 0.. {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = stop.cancelled() => break,
                }
                let (request, done, failures) = (request(number), done.clone(), failures.clone());
                under_way.spawn(async move {
                    if let Err(failure) = request.await {
                        failures.lock().await.push(failure);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
                while let Some(ended) = under_way.try_join_next() {
                    ended.expect("no panic");
                }
            }
            while let Some(ended) = under_way.join_next().await {
                ended.expect("no panic");
            }
        });
        load
    }

    /// Requests made so far.
    pub fn requests(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits for the requests under way and returns the counts.
    pub async fn stop(mut self) -> LoadReport {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
        let failures = std::mem::take(&mut *self.failures.lock().await);
        LoadReport {
            requests: self.done.load(Ordering::Relaxed),
            failures,
        }
    }
}
