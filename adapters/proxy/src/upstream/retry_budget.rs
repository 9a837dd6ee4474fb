//! How many retries an upstream gets, so that retries do not multiply an overload (GEP-3388).

use std::time::Duration;

use domain::gateway::RetryConstraint;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Where no policy says otherwise: a fifth of the requests of ten seconds, and a hundred for upstreams with few requests.
const DEFAULT: RetryConstraint = RetryConstraint {
    percent: 20,
    interval: Duration::from_secs(10),
    min_count: 100,
    min_interval: Duration::from_secs(10),
};

/// Parts of an interval that are counted by themselves and forgotten together.
const PARTS: usize = 10;

/// Counts the requests of rules with retries, and grants their retries, of one upstream.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    born: Instant,
    constraint: RetryConstraint,
    /// Whether a policy asks for it: then a request that gets no retry is answered with 503.
    is_asked_for: bool,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    requests: Window,
    retries: Window,
    /// Retries within the time in which some are always granted.
    recent: Window,
}

/// Counts of the last while, in parts in a ring: the present one at `now % PARTS`.
#[derive(Debug)]
struct Window {
    /// Milliseconds.
    part: u64,
    now: u64,
    parts: [u64; PARTS],
}

impl RetryBudget {
    /// A budget as a policy asks for it; the default where none does.
    pub(crate) fn new(asked: Option<RetryConstraint>, now: Instant) -> Self {
        let constraint = asked.unwrap_or(DEFAULT);
        Self {
            born: now,
            constraint,
            is_asked_for: asked.is_some(),
            counts: Mutex::new(Counts {
                requests: Window::of(constraint.interval),
                retries: Window::of(constraint.interval),
                recent: Window::of(constraint.min_interval),
            }),
        }
    }

    /// Whether it is what a policy asks for, or the default.
    pub(crate) fn is(&self, asked: Option<&RetryConstraint>) -> bool {
        match asked {
            Some(asked) => self.is_asked_for && self.constraint == *asked,
            None => !self.is_asked_for,
        }
    }

    /// Whether a policy asks for it.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.is_asked_for
    }

    /// Counts a request, whose first attempt begins.
    pub(crate) fn count_request(&self, now: Instant) {
        let now = self.millis(now);
        *self.counts.lock().requests.present(now) += 1;
    }

    /// Grants a retry, or does not.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let now = self.millis(now);
        let mut counts = self.counts.lock();
        let has_floor = counts.recent.sum(now) < u64::from(self.constraint.min_count);
        let (requests, retries) = (counts.requests.sum(now), counts.retries.sum(now));
        let has_share = (retries + 1) * 100 <= requests * u64::from(self.constraint.percent);
        let is_granted = has_floor || has_share;
        if is_granted {
            *counts.retries.present(now) += 1;
            *counts.recent.present(now) += 1;
        }
        is_granted
    }

    fn millis(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.born).as_millis();
        u64::try_from(age).unwrap_or(u64::MAX)
    }
}

impl Window {
    fn of(interval: Duration) -> Self {
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        Self {
            part: (millis / PARTS as u64).max(1),
            now: 0,
            parts: [0; PARTS],
        }
    }

    /// The present part, those since the last call emptied. Time does not go back.
    fn present(&mut self, millis: u64) -> &mut u64 {
        let now = millis / self.part;
        let passed = now.saturating_sub(self.now).min(PARTS as u64);
        self.now = self.now.max(now);
        for back in 0..passed {
            *self.at(self.now - back) = 0;
        }
        self.at(self.now)
    }

    fn sum(&mut self, millis: u64) -> u64 {
        self.present(millis);
        self.parts.iter().sum()
    }

    fn at(&mut self, part: u64) -> &mut u64 {
        &mut self.parts[(part % PARTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_of_ten_seconds_and_a_hundred_are_granted() {
        for (requests, at_once, a_second_later, after_all) in [
            (0, 100, 0, 100),
            (400, 100, 0, 100),
            (1_000, 200, 0, 100),
            (10_000, 2_000, 0, 100),
        ] {
            let start = Instant::now();
            let budget = RetryBudget::new(None, start);
            for _ in 0..requests {
                budget.count_request(start);
            }
            let granted = |after: u64| {
                let now = start + Duration::from_secs(after);
                (0..5_000).filter(|_| budget.take(now)).count()
            };
            assert_eq!(granted(0), at_once, "{requests}");
            assert_eq!(granted(1), a_second_later, "{requests}");
            assert_eq!(granted(100), after_all, "{requests}");
        }
    }

    #[test]
    fn a_policy_grants_its_part_of_the_requests_and_its_rate() {
        let millis = Duration::from_millis;
        let constraint = |percent, interval, min_count, min_interval| RetryConstraint {
            percent,
            interval: millis(interval),
            min_count,
            min_interval: millis(min_interval),
        };
        for (given, constraint, at_once, later) in [
            (
                "a half of a hundred",
                constraint(50, 10_000, 1, 1_000),
                50,
                [(500, 0), (1_000, 1)],
            ),
            (
                "nothing but one a second",
                constraint(0, 1_000, 1, 1_000),
                1,
                [(500, 0), (1_000, 1)],
            ),
            (
                "five a minute",
                constraint(0, 1_000, 5, 60_000),
                5,
                [(30_000, 0), (60_000, 5)],
            ),
            (
                "all, forgotten after an hour",
                constraint(100, 3_600_000, 1, 1),
                100,
                [(5, 0), (3_600_000, 1)],
            ),
            (
                "one in each millisecond",
                constraint(0, 1_000, 1, 1),
                1,
                [(5, 0), (10, 1)],
            ),
        ] {
            let start = Instant::now();
            let budget = RetryBudget::new(Some(constraint), start);
            assert!(budget.is(Some(&constraint)) && !budget.is(None), "{given}");
            for _ in 0..100 {
                budget.count_request(start);
            }
            let granted = |after: u64| {
                let now = start + millis(after);
                (0..1_000).filter(|_| budget.take(now)).count()
            };
            assert_eq!(granted(0), at_once, "{given}");
            for (after, count) in later {
                assert_eq!(granted(after), count, "{given} after {after} ms");
            }
        }
    }

    #[test]
    fn retries_of_a_steady_flow_stay_at_a_fifth_whatever_is_asked_for() {
        let start = Instant::now();
        let budget = RetryBudget::new(None, start);
        let mut granted = 0;
        for millis in 0..60_000 {
            let now = start + Duration::from_millis(millis);
            budget.count_request(now);
            granted += (0..5).filter(|_| budget.take(now)).count();
        }
        assert!((11_000..13_000).contains(&granted), "{granted} of 60,000");
    }
}
