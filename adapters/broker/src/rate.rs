//! How often somebody may ask, and how often the same is told.

use std::collections::BTreeMap;

use domain::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

/// So many at once, and then so many in a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) at_once: f64,
    pub(crate) in_a_second: f64,
}

/// What is left of a [`Rate`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    more: f64,
    since: Instant,
}

impl Left {
    /// All of it.
    pub(crate) fn all(rate: Rate, now: Instant) -> Self {
        Self {
            more: rate.at_once,
            since: now,
        }
    }

    fn gain(&mut self, rate: Rate, now: Instant) {
        let gained = now.duration_since(self.since).as_secs_f64() * rate.in_a_second;
        self.more = (self.more + gained).min(rate.at_once);
        self.since = now;
    }

    /// Counts one more, if it is not too much.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.gain(rate, now);
        let may = self.more >= 1.0;
        if may {
            self.more -= 1.0;
        }
        may
    }

    /// Whether nothing of it is used, so that it need not be kept.
    pub(crate) fn is_all(mut self, rate: Rate, now: Instant) -> bool {
        self.gain(rate, now);
        self.more >= rate.at_once
    }
}

/// What was told lately, so that it is told once an hour.
#[derive(Debug)]
pub(crate) struct Told<K>(Mutex<BTreeMap<K, Timestamp>>);

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord> Told<K> {
    /// Whether something was not told within the hour before.
    pub(crate) fn is_news(&self, what: K, now: Timestamp) -> bool {
        const AGAIN: i64 = 3600;
        let mut told = self.0.lock();
        told.retain(|_, at| now.0 - at.0 < AGAIN);
        let is_news = !told.contains_key(&what);
        if is_news {
            told.insert(what, now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_may_be_asked_at_once_and_then_so_many_in_a_second() {
        let rate = Rate {
            at_once: 500.0,
            in_a_second: 20.0,
        };
        let began = Instant::now();
        let mut left = Left::all(rate, began);
        for (milliseconds, taken) in [(0, 500), (100, 2), (1100, 20), (100_000, 500)] {
            let at = began + Duration::from_millis(milliseconds);
            let found = (0..10_000).filter(|_| left.take(rate, at)).count();
            assert_eq!(found, taken, "after {milliseconds} ms");
        }
        for (milliseconds, is_all) in [(100_001, false), (200_000, true)] {
            let at = began + Duration::from_millis(milliseconds);
            assert_eq!(left.is_all(rate, at), is_all, "after {milliseconds} ms");
        }
    }

    #[test]
    fn the_same_is_told_once_an_hour_and_something_else_besides() {
        let told = Told::default();
        for (at, what, is_news) in [
            (0, 'a', true),
            (1, 'a', false),
            (3601, 'a', true),
            (7300, 'a', true),
            (7300, 'b', true),
        ] {
            assert_eq!(told.is_news(what, Timestamp(at)), is_news, "{at} {what}");
        }
    }
}
