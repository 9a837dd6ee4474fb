//! Requests that do not move because somebody takes nothing: a visitor does not read the answer, or an endpoint does not
//! take the body. What waits for them takes memory; of a body also the connection's flow control, which all requests
//! of the connection share, over QUIC with their heads.
//!
//! Twice a second it is looked who waits, for each connection:
//! - an answer that its visitor takes nothing of for longer than the handler has patience is given up;
//! - of bodies that their endpoints take nothing of for [`STALLED`], as many may wait as fill seven eighths of the
//!   connection's window. Where there are more, those that wait longest are given up.
//!
//! A request that is given up is reset.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often it is looked who waits.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long an endpoint may take nothing of a body before it counts as stalled.
const STALLED: Duration = Duration::from_secs(2);
/// How many bodies may be stalled on a connection. What is left of its window is for the others.
const ROOM: usize = (CONNECTION_WINDOW / STREAM_WINDOW / 8 * 7) as usize;

/// Bytes of a request's body that may have come before the handler takes them, over either transport. Each stream
/// promises so many to the edge.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all requests of a connection together, which carries a good part of all traffic.
pub(crate) const CONNECTION_WINDOW: u32 = 16 << 20;

pub(crate) struct Stalls {
    since: Instant,
    requests: Mutex<Vec<Weak<Progress>>>,
}

/// How far a request is.
pub(crate) struct Progress {
    since: Instant,
    answer: Waiting,
    body: Waiting,
    given_up: Notify,
}

/// Since when something waits to be taken: milliseconds, and 1 more; 0 where nothing does.
#[derive(Default)]
struct Waiting(AtomicU64);

tokio::task_local! {
    static PROGRESS: Arc<Progress>;
}

impl Stalls {
    /// A connection without requests. It is looked after until it is dropped; `patience` is asked each time.
    pub(crate) fn watched(patience: impl Fn() -> Duration + Send + 'static) -> Arc<Self> {
        let stalls = Arc::new(Self {
            since: Instant::now(),
            requests: Mutex::default(),
        });
        tokio::spawn(look_after(Arc::downgrade(&stalls), patience));
        stalls
    }

    /// Runs a request to its end, or until it is given up.
    pub(crate) fn run<F: Future>(
        &self,
        request: F,
    ) -> impl Future<Output = Option<F::Output>> + use<F> {
        let progress = Arc::new(Progress {
            since: self.since,
            answer: Waiting::default(),
            body: Waiting::default(),
            given_up: Notify::new(),
        });
        self.requests.lock().push(Arc::downgrade(&progress));
        PROGRESS.scope(Arc::clone(&progress), async move {
            tokio::select! {
                output = request => Some(output),
                () = progress.given_up.notified() => None,
            }
        })
    }

    /// Gives up what waits for too long.
    fn look(&self, patience: Duration) {
        let mut stalled = Vec::new();
        let mut unread = 0;
        self.requests.lock().retain(|request| {
            let Some(request) = request.upgrade() else {
                return false;
            };
            if request.waits(&request.answer) >= Some(patience) {
                unread += 1;
                request.given_up.notify_one();
            } else if let Some(waits) = request.waits(&request.body).filter(|w| *w >= STALLED) {
                stalled.push((waits, request));
            }
            true
        });
        stalled.sort_by_key(|(waits, _)| *waits);
        let untaken = stalled.len().saturating_sub(ROOM);
        for (_, request) in stalled.iter().rev().take(untaken) {
            request.given_up.notify_one();
        }
        if unread + untaken > 0 {
            tracing::info!(
                unread,
                untaken,
                "requests given up: visitors read nothing of their answers, endpoints took nothing of their bodies"
            );
        }
    }
}

async fn look_after(stalls: Weak<Stalls>, patience: impl Fn() -> Duration) {
    while let Some(stalls) = stalls.upgrade() {
        stalls.look(patience());
        drop(stalls);
        tokio::time::sleep(INTERVAL).await;
    }
}

impl Progress {
    /// That of the request that this task answers.
    pub(crate) fn of_this_task() -> Option<Arc<Self>> {
        PROGRESS.try_with(Arc::clone).ok()
    }

    /// Whether a part of the answer waits for the visitor.
    pub(crate) fn answer_waits(&self, waits: bool) {
        self.answer.set(waits, self.since);
    }

    /// Whether a part of the body waits for the endpoint.
    pub(crate) fn body_waits(&self, waits: bool) {
        self.body.set(waits, self.since);
    }

    fn waits(&self, waiting: &Waiting) -> Option<Duration> {
        let began = waiting.0.load(Relaxed).checked_sub(1)?;
        Some(
            self.since
                .elapsed()
                .saturating_sub(Duration::from_millis(began)),
        )
    }
}

impl Waiting {
    fn set(&self, waits: bool, since: Instant) {
        let now = || u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        self.0.store(if waits { now() } else { 0 }, Relaxed);
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinHandle;
    use tokio::time::advance;

    /// A connection that nobody looks after but the test.
    fn connection() -> Stalls {
        Stalls {
            since: Instant::now(),
            requests: Mutex::default(),
        }
    }

    /// A request that has noted where it is, and never ends by itself.
    async fn request(stalls: &Stalls, note: fn(&Progress)) -> JoinHandle<Option<()>> {
        let running = stalls.run(async move {
            note(&Progress::of_this_task().unwrap());
            std::future::pending::<()>().await;
        });
        let running = tokio::spawn(running);
        tokio::task::yield_now().await;
        running
    }

    async fn given_up(requests: Vec<JoinHandle<Option<()>>>) -> Vec<bool> {
        tokio::task::yield_now().await;
        requests.iter().map(JoinHandle::is_finished).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_given_up_when_patience_ends() {
        let stalls = connection();
        let requests = vec![
            request(&stalls, |progress| progress.answer_waits(true)).await,
            request(&stalls, |progress| {
                progress.answer_waits(true);
                progress.answer_waits(false);
            })
            .await,
            request(&stalls, |progress| progress.body_waits(true)).await,
        ];
        advance(Duration::from_secs(10)).await;
        stalls.look(Duration::from_secs(11));
        tokio::task::yield_now().await;
        assert!(requests.iter().all(|request| !request.is_finished()));
        stalls.look(Duration::from_secs(10));
        assert_eq!(given_up(requests).await, [true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bodies_that_waited_longest_are_given_up_when_there_is_no_more_room() {
        let stalls = connection();
        let mut requests = Vec::new();
        for _ in 0..ROOM + 2 {
            requests.push(request(&stalls, |progress| progress.body_waits(true)).await);
            advance(Duration::from_millis(10)).await;
        }
        stalls.look(Duration::MAX);
        tokio::task::yield_now().await;
        assert!(
            requests.iter().all(|request| !request.is_finished()),
            "not stalled yet"
        );
        advance(STALLED).await;
        stalls.look(Duration::MAX);
        let ends = given_up(requests).await;
        assert_eq!(ends[..3], [true, true, false]);
        assert_eq!(ends.iter().filter(|ended| **ended).count(), 2);
    }
}
