//! How long a sender may be silent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures how long the next bytes are waited for. It costs nothing while they come at once: its timer is made when it
/// is first waited for, and set anew only when it has run down.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    /// Since when there is nothing, while it is waited for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Nothing is waited for yet.
    pub(crate) fn of(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    /// The bytes came.
    pub(crate) fn is_broken(&mut self) {
        self.since = None;
    }

    /// There is nothing. Ready when that lasts for too long, and nothing else has moved since then either.
    pub(crate) fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        moved: impl Fn() -> Option<Instant>,
    ) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(since + limit)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let end = moved().map_or(since, |moved| moved.max(since)) + limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::{advance, timeout};

    const LIMIT: Duration = Duration::from_secs(10);

    /// Whether it is over within this time, and how long it took.
    async fn over(silence: &mut Silence, within: u64, moved: Option<Instant>) -> Option<u64> {
        let start = Instant::now();
        let waited = poll_fn(|cx| silence.poll_over(cx, || moved));
        timeout(Duration::from_secs(within), waited).await.ok()?;
        Some(start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_after_the_limit_and_starts_anew_with_each_byte() {
        let mut silence = Silence::of(LIMIT);
        assert_eq!(over(&mut silence, 9, None).await, None);
        silence.is_broken();
        assert_eq!(over(&mut silence, 60, None).await, Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waited_does_not_count() {
        let mut silence = Silence::of(LIMIT);
        assert_eq!(over(&mut silence, 1, None).await, None);
        silence.is_broken();
        advance(Duration::from_secs(100)).await;
        assert_eq!(over(&mut silence, 60, None).await, Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_elsewhere_counts_too() {
        let mut silence = Silence::of(LIMIT);
        let moved = Instant::now() + Duration::from_secs(7);
        assert_eq!(over(&mut silence, 60, Some(moved)).await, Some(17));
    }
}
