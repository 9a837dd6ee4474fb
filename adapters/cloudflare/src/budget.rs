//! How many requests a set of credentials may cost.
//!
//! Cloudflare allows 1,200 requests in five minutes for one user or token and then refuses all of them
//! for up to five minutes, those of the dashboard and of other programs too
//! (developers.cloudflare.com/fundamentals/api/reference/limits). So we stay at half of that, and a
//! refusal stops all requests with these credentials until the time that Cloudflare named.
//!
//! A token that is not accepted is not asked with again and again either: each refusal stops its requests for twice as
//! long as the one before.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// The time over which Cloudflare counts requests.
pub const WINDOW: Duration = Duration::from_secs(300);

/// Requests in a [`WINDOW`] by default: half of what Cloudflare allows.
pub const DEFAULT_ALLOWANCE: u32 = 600;

/// How long a request waits for its turn before it is refused, so that one busy account does not hold
/// up a pass over all.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// Used where a refusal names no time to come back, or none that can be read.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);

/// No answer, however wrong, stops an account for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How long requests stop after the first refusal of the token itself; doubles with each further one, up to
/// [`LONGEST_PAUSE_OF_TOKEN`].
const FIRST_PAUSE_OF_TOKEN: Duration = Duration::from_secs(5);
const LONGEST_PAUSE_OF_TOKEN: Duration = Duration::from_secs(600);

/// Timers fire up to a millisecond late, which would push the requests of a window together.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// A token bucket: half of the allowance at once, so that a set of edits is not held up, the rest evenly
/// over the window, so that no window sees more than the allowance wherever it begins. Requests are admitted in the
/// order in which they ask.
pub struct Budget {
    /// Time in which one request is earned.
    interval: Duration,
    /// How far ahead of the even pace requests may run.
    tolerance: Duration,
    state: Mutex<State>,
}

struct State {
    /// When the bucket is full again.
    full_at: Instant,
    /// Until when Cloudflare wants no request.
    paused_until: Instant,
    /// Set while the token is not accepted.
    refused: Option<RefusedToken>,
    /// Whether requests have had to wait since half of the burst was last there.
    slow: bool,
}

/// A token that Cloudflare does not accept.
#[derive(Clone, Copy)]
struct RefusedToken {
    pause: Duration,
    until: Instant,
}

/// How a request came to its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Without a wait, or with one that others had before it: not worth a word.
    Usual,
    /// After the first wait since half of the burst was last there: worth one.
    FirstWait,
}

/// Why a request is not to be sent: come back after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The budget is used up.
    Exhausted(Duration),
    /// The token was refused a short time ago.
    TokenRefused(Duration),
}

impl Budget {
    /// A full budget with this many requests in any [`WINDOW`]; at least one.
    pub fn new(allowance: u32) -> Self {
        let allowance = allowance.max(1);
        let burst = (allowance / 2).max(1);
        let interval =
            (WINDOW + TIMER_SLACK) / (allowance - burst).max(1) + Duration::from_nanos(1);
        let now = Instant::now();
        Self {
            interval,
            tolerance: interval * (burst - 1),
            state: Mutex::new(State {
                full_at: now,
                paused_until: now,
                refused: None,
                slow: false,
            }),
        }
    }

    /// Takes one request from the budget, waiting for it up to [`MAX_WAIT`].
    pub async fn admit(&self) -> Result<Admission, NotAdmitted> {
        let (at, turn) = self.reserve()?;
        sleep_until(at).await;
        // Cloudflare may have refused another request while this one waited.
        self.state.lock().may_send(Instant::now())?;
        Ok(turn)
    }

    /// Stops all requests for the time that a refusal named, and returns that time.
    pub fn pause(&self, retry_after: Option<Duration>) -> Duration {
        let pause = retry_after.unwrap_or(DEFAULT_PAUSE).min(LONGEST_PAUSE);
        let mut state = self.state.lock();
        state.paused_until = state.paused_until.max(Instant::now() + pause);
        pause
    }

    /// The token was not accepted. Returns how long it is not asked with again.
    ///
    /// Requests that were under way together count as one refusal.
    pub fn token_refused(&self) -> Duration {
        let now = Instant::now();
        let mut state = self.state.lock();
        let pause = match state.refused {
            Some(before) if before.until > now => return before.until - now,
            Some(before) => (before.pause * 2).min(LONGEST_PAUSE_OF_TOKEN),
            None => FIRST_PAUSE_OF_TOKEN,
        };
        let until = now + pause;
        state.refused = Some(RefusedToken { pause, until });
        pause
    }

    /// The token was accepted.
    pub fn token_accepted(&self) {
        self.state.lock().refused = None;
    }

    /// Whether nothing would be lost if it were forgotten and made anew.
    pub(crate) fn is_idle(&self) -> bool {
        let now = Instant::now();
        let state = self.state.lock();
        state.full_at <= now && state.may_send(now).is_ok()
    }

    fn reserve(&self) -> Result<(Instant, Admission), NotAdmitted> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.may_send(now)?;
        let full_at = state.full_at.max(now);
        let ahead = full_at.duration_since(now);
        let wait = ahead.saturating_sub(self.tolerance);
        if wait > MAX_WAIT {
            return Err(NotAdmitted::Exhausted(wait));
        }
        state.full_at = full_at + self.interval;
        Ok((now + wait, state.turn(ahead, self.tolerance)))
    }
}

impl State {
    /// Notes whether a request waits that finds the bucket this far from full.
    fn turn(&mut self, ahead: Duration, tolerance: Duration) -> Admission {
        let slow = ahead > tolerance || (self.slow && ahead > tolerance / 2);
        match std::mem::replace(&mut self.slow, slow) {
            false if slow => Admission::FirstWait,
            _ => Admission::Usual,
        }
    }

    fn may_send(&self, now: Instant) -> Result<(), NotAdmitted> {
        let left = |until: Instant| {
            let left = until.saturating_duration_since(now);
            (!left.is_zero()).then_some(left)
        };
        if let Some(left) = self.refused.and_then(|refused| left(refused.until)) {
            return Err(NotAdmitted::TokenRefused(left));
        }
        match left(self.paused_until) {
            Some(left) => Err(NotAdmitted::Exhausted(left)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    /// Admits as many requests as the budget gives in `time`, asking again whenever it refuses.
    async fn requests_within(budget: &Budget, time: Duration) -> Vec<Instant> {
        let end = Instant::now() + time;
        let mut admitted = Vec::new();
        loop {
            match budget.admit().await {
                _ if Instant::now() >= end => return admitted,
                Ok(_) => admitted.push(Instant::now()),
                Err(NotAdmitted::Exhausted(wait) | NotAdmitted::TokenRefused(wait)) => {
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn most_in_one_window(times: &[Instant]) -> usize {
        let in_window = |first: &Instant| {
            let inside = |time: &&Instant| **time >= *first && **time < *first + WINDOW;
            times.iter().filter(inside).count()
        };
        times.iter().map(in_window).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_evenly() {
        let budget = Budget::new(DEFAULT_ALLOWANCE);
        let start = Instant::now();
        for _ in 0..300 {
            budget.admit().await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.admit().await.unwrap();
        let pace = WINDOW / 300;
        assert!(start.elapsed() >= pace - Duration::from_millis(2));
        assert!(start.elapsed() <= pace + Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_sees_more_than_the_allowance() {
        for allowance in [1, 2, 7, 100, DEFAULT_ALLOWANCE] {
            let budget = Budget::new(allowance);
            let times = requests_within(&budget, WINDOW * 3).await;
            let most = most_in_one_window(&times);
            assert!(most <= allowance as usize, "{allowance}: {most}");
            assert!(most * 2 >= allowance as usize, "{allowance}: {most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_wait_of_a_busy_time_is_told_and_the_others_are_not() {
        let budget = Budget::new(DEFAULT_ALLOWANCE);
        let half = WINDOW / 4;
        for busy_time in 0..2 {
            let mut told = 0;
            for _ in 0..305 {
                told += usize::from(budget.admit().await == Ok(Admission::FirstWait));
            }
            assert_eq!(told, 1, "busy time {busy_time}");
            // A request earned now and then ends no busy time, half of the burst does.
            advance(half / 10).await;
            assert_eq!(budget.admit().await, Ok(Admission::Usual));
            advance(2 * half).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_queue_is_refused_with_the_time_to_come_back() {
        let budget = Budget::new(20);
        for _ in 0..10 {
            budget.admit().await.unwrap();
        }
        let Err(NotAdmitted::Exhausted(wait)) = budget.admit().await else {
            panic!("the next request has to wait for more than {MAX_WAIT:?}");
        };
        assert!(wait > MAX_WAIT && wait < WINDOW, "{wait:?}");
        advance(wait).await;
        budget.admit().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_refuses_everything_until_it_is_over() {
        let second = Duration::from_secs(1);
        for (named, expected) in [
            (Some(7 * second), 7 * second),
            (None, DEFAULT_PAUSE),
            (Some(u32::MAX * second), LONGEST_PAUSE),
        ] {
            let budget = Budget::new(DEFAULT_ALLOWANCE);
            assert_eq!(budget.pause(named), expected);
            budget.pause(Some(second));
            assert_eq!(budget.admit().await, Err(NotAdmitted::Exhausted(expected)));
            advance(expected).await;
            assert_eq!(budget.admit().await, Ok(Admission::Usual));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_for_its_turn_hears_of_a_pause() {
        let budget = std::sync::Arc::new(Budget::new(100));
        for _ in 0..50 {
            budget.admit().await.unwrap();
        }
        let waiting = tokio::spawn({
            let budget = std::sync::Arc::clone(&budget);
            async move { budget.admit().await }
        });
        tokio::task::yield_now().await;
        budget.pause(Some(Duration::from_secs(100)));
        assert!(
            matches!(waiting.await.unwrap(), Err(NotAdmitted::Exhausted(left)) if left > 90 * Duration::from_secs(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_refused_is_tried_less_and_less() {
        let budget = Budget::new(DEFAULT_ALLOWANCE);
        let mut calls = 0;
        let end = Instant::now() + Duration::from_secs(3600);
        while Instant::now() < end {
            match budget.admit().await {
                Ok(_) => {
                    calls += 1;
                    let pause = budget.token_refused();
                    assert_eq!(budget.admit().await, Err(NotAdmitted::TokenRefused(pause)));
                }
                Err(NotAdmitted::TokenRefused(left) | NotAdmitted::Exhausted(left)) => {
                    advance(left).await;
                }
            }
        }
        assert!((8..=14).contains(&calls), "{calls} in an hour");
        budget.token_accepted();
        assert_eq!(budget.admit().await, Ok(Admission::Usual));
        assert_eq!(
            budget.token_refused(),
            FIRST_PAUSE_OF_TOKEN,
            "from the start"
        );
        assert_eq!(
            budget.token_refused(),
            FIRST_PAUSE_OF_TOKEN,
            "under way together"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn the_allowance_holds_however_requests_come(
            allowance in 10u32..400,
            gaps in proptest::collection::vec(0u64..3_000, 1..400),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let times = runtime.block_on(async {
                let budget = Budget::new(allowance);
                let mut times = Vec::new();
                for gap in &gaps {
                    advance(Duration::from_millis(*gap)).await;
                    if budget.admit().await.is_ok() {
                        times.push(Instant::now());
                    }
                }
                times
            });
            prop_assert!(most_in_one_window(&times) <= allowance as usize);
        }
    }
}
