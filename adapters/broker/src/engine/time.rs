//! The time that all brokers of a store go by: that of the store. Their own clocks may differ by minutes, and what one of them writes
//! down (until when a piece of work is its own, when something is due, how long a session lasts) is read by the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Timestamp;
use domain::broker::ports::{StoreError, WorkQueue};
use domain::ports::Clock;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How often the store is asked for its time.
const LOOKS: Duration = Duration::from_secs(5);

/// An answer that took longer says too little.
const LONGEST: Duration = Duration::from_secs(1);

/// So many milliseconds that a clock differs are told.
const TOLD: i64 = 5_000;

/// What has passed since a moment that stays the same; it is never set.
pub type Passed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The store's time, as it was asked for last and with what has passed since. Without an answer, and where one broker alone can use
/// the store, the machine's.
pub struct StoreTime {
    own: Arc<dyn Clock>,
    passed: Passed,
    /// Whether the store is asked.
    asks: bool,
    asked: Mutex<Option<Asked>>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    /// In milliseconds since 1970.
    time: i64,
    passed: Duration,
}

impl StoreTime {
    /// The machine's time, until the store was asked.
    pub fn new(own: Arc<dyn Clock>) -> Self {
        let began = Instant::now();
        Self::with(own, Arc::new(move || began.elapsed()))
    }

    /// The same with another measure of what passes.
    pub fn with(own: Arc<dyn Clock>, passed: Passed) -> Self {
        Self {
            own,
            passed,
            asks: true,
            asked: Mutex::new(None),
        }
    }

    /// A clock that the store has nothing to do with.
    pub fn alone(own: Arc<dyn Clock>) -> Self {
        Self {
            asks: false,
            ..Self::new(own)
        }
    }

    /// The machine's own clock.
    pub fn own(&self) -> Arc<dyn Clock> {
        self.own.clone()
    }

    /// Asks the store once.
    pub async fn ask(&self, store: &(impl WorkQueue + ?Sized)) -> Result<(), StoreError> {
        if !self.asks {
            return Ok(());
        }
        let before = (self.passed)();
        let answer = store.time().await?;
        let took = (self.passed)().saturating_sub(before);
        let Some(time) = answer.filter(|_| took <= LONGEST) else {
            return Ok(());
        };
        let asked = Asked {
            time,
            passed: before,
        };
        let known = self.asked.lock().replace(asked);
        let expected = match known {
            Some(known) => self.since(known, before),
            None => self.own.now().0.saturating_mul(1000),
        };
        let differs = time.saturating_sub(expected).saturating_abs();
        if differs > TOLD {
            let seconds = differs / 1000;
            tracing::warn!("the store's clock differs by {seconds} s; the store's is gone by");
        }
        Ok(())
    }

    /// Asks the store again and again, until `stop`.
    pub async fn follow(&self, store: &(impl WorkQueue + ?Sized), stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOKS) => {}
            }
            if let Err(error) = self.ask(store).await {
                tracing::debug!(%error, "the store's time is asked for later");
            }
        }
    }

    fn since(&self, asked: Asked, passed: Duration) -> i64 {
        let since = passed.saturating_sub(asked.passed).as_millis();
        asked
            .time
            .saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

impl Clock for StoreTime {
    fn now(&self) -> Timestamp {
        let asked = *self.asked.lock();
        match asked {
            Some(asked) => Timestamp(self.since(asked, (self.passed)()).div_euclid(1000)),
            None => self.own.now(),
        }
    }
}
