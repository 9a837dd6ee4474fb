//! The addresses of a broker, and which of them is asked first.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Url;

/// For how long an address that did not answer is asked after all others: so long at first, twice as long each time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The base URLs of brokers with one store. There is at least one.
#[derive(Debug)]
pub(super) struct Addresses {
    urls: Vec<Url>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Which of them answered last.
    last: usize,
    pauses: Vec<Option<Pause>>,
}

/// One that did not answer.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Addresses {
    /// None has been asked yet.
    pub(super) fn new(urls: Vec<Url>) -> Self {
        let known = Known {
            last: 0,
            pauses: vec![None; urls.len()],
        };
        Self {
            urls,
            known: Mutex::new(known),
        }
    }

    pub(super) fn url(&self, at: usize) -> &Url {
        &self.urls[at]
    }

    /// The one that answered last.
    pub(super) fn last(&self) -> &Url {
        &self.urls[self.known.lock().last]
    }

    /// The one, where there are no others.
    pub(super) fn only(&self) -> Option<&Url> {
        self.urls.first().filter(|_| self.urls.len() == 1)
    }

    /// In which order they are asked: first the one that answered last, then those after it as they are written. Those that
    /// failed lately come last, the one first whose pause ends first.
    pub(super) fn order(&self, now: Instant) -> Vec<usize> {
        let known = self.known.lock();
        let count = self.urls.len();
        let mut order: Vec<usize> = (0..count).map(|turn| (known.last + turn) % count).collect();
        // None comes before every time, and the order of those without a pause stays.
        order.sort_by_key(|at| {
            let pause = known.pauses[*at].map(|pause| pause.until);
            pause.filter(|until| now < *until)
        });
        order
    }

    pub(super) fn answered(&self, at: usize) {
        let mut known = self.known.lock();
        known.last = at;
        known.pauses[at] = None;
    }

    /// It did not answer. Several requests that were under way to it at once are one failure.
    pub(super) fn failed(&self, at: usize, now: Instant) {
        let pause = &mut self.known.lock().pauses[at];
        let length = match pause {
            Some(before) if now < before.until => return,
            Some(before) => (before.length * 2).min(PAUSES.1),
            None => PAUSES.0,
        };
        *pause = Some(Pause {
            until: now + length,
            length,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Addresses {
        let urls = ["https://a", "https://b", "https://c"];
        Addresses::new(urls.map(|url| Url::parse(url).unwrap()).into())
    }

    #[test]
    fn the_address_that_answered_last_is_asked_first() {
        let (addresses, now) = (three(), Instant::now());
        assert_eq!(addresses.order(now), [0, 1, 2]);
        addresses.failed(0, now);
        addresses.answered(1);
        assert_eq!(addresses.order(now), [1, 2, 0]);
        let later = now + Duration::from_secs(3600);
        assert_eq!(addresses.order(later), [1, 2, 0], "it stays with that one");
        assert_eq!(addresses.last().as_str(), "https://b/");
    }

    #[test]
    fn an_address_that_fails_is_asked_last_for_longer_each_time() {
        let (addresses, mut now) = (three(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            addresses.failed(0, now);
            let last = now + Duration::from_secs(seconds) - Duration::from_millis(1);
            assert_eq!(addresses.order(last), [1, 2, 0], "{seconds}");
            addresses.failed(0, last);
            now += Duration::from_secs(seconds);
            assert_eq!(addresses.order(now), [0, 1, 2], "{seconds}");
        }
        addresses.answered(0);
        addresses.failed(0, now);
        assert_eq!(addresses.order(now + PAUSES.0), [0, 1, 2], "it began anew");
    }

    #[test]
    fn where_all_failed_all_are_asked_all_the_same() {
        let (addresses, now) = (three(), Instant::now());
        let later = now + Duration::from_millis(10);
        addresses.failed(1, now);
        addresses.failed(0, later);
        addresses.failed(2, later + Duration::from_millis(10));
        assert_eq!(addresses.order(later), [1, 0, 2]);
    }
}
