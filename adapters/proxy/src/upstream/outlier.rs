//! Outlier ejection: an endpoint that fails again and again is avoided for a while. At most half of an upstream's endpoints are,
//! and where no other is left they are asked all the same ([`Upstream::pick`]).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

use super::Upstream;
use super::endpoint::millis;

/// Failures in a row after which an endpoint is ejected.
const FAILURES: u32 = 5;

/// For how long the first time, and at most. Each time soon after the one before takes twice as long.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// How an endpoint has failed of late.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Failures since the last answer that was none.
    failures: AtomicU32,
    /// Ejections that followed soon on one another.
    ejections: AtomicU32,
    /// When the last one ended, in milliseconds of the endpoint's age.
    ejected_until: AtomicU64,
}

impl Record {
    /// How long an ejection that begins at this age lasts.
    fn ejection(&self, age: u64) -> Duration {
        let until = self.ejected_until.load(Relaxed);
        let is_soon = until != 0 && age < until.saturating_add(millis(LONGEST));
        let before = if is_soon {
            self.ejections.load(Relaxed)
        } else {
            0
        };
        self.ejections.store(before.saturating_add(1), Relaxed);
        let time = SHORTEST
            .saturating_mul(2u32.saturating_pow(before))
            .min(LONGEST);
        self.ejected_until
            .store(age.saturating_add(millis(time)), Relaxed);
        time
    }
}

impl Upstream {
    /// Notes the answer of an endpoint. Returns whether the endpoint is ejected for it: 502, 503 and 504 are failures.
    pub(crate) fn answered(&self, index: usize, status: StatusCode) -> bool {
        let failures = &self.endpoints[index].record.failures;
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => return self.failed(index),
            _ if failures.load(Relaxed) != 0 => failures.store(0, Relaxed),
            _ => {}
        }
        false
    }

    /// Notes that an endpoint took a request and did not answer. Returns whether it is ejected for it.
    pub(crate) fn failed(&self, index: usize) -> bool {
        let endpoint = &self.endpoints[index];
        if endpoint.record.failures.fetch_add(1, Relaxed) + 1 < FAILURES {
            return false;
        }
        endpoint.record.failures.store(0, Relaxed);
        let avoided = self.endpoints[..self.open].iter();
        let avoided = avoided.filter(|endpoint| endpoint.is_suspect()).count();
        if endpoint.is_suspect() || (avoided + 1) * 2 > self.open {
            return false;
        }
        endpoint.avoid_for(endpoint.record.ejection(endpoint.age()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejections_that_follow_soon_on_one_another_last_longer_each_time() {
        let record = Record::default();
        let mut age = 1_000;
        for (later, seconds) in [(0, 10), (0, 20), (1, 40), (299, 80), (300, 10), (0, 20)] {
            age += later * 1_000;
            assert_eq!(record.ejection(age), Duration::from_secs(seconds), "{age}");
            age += seconds * 1_000;
        }
        for _ in 0..40 {
            record.ejection(age);
        }
        assert_eq!(record.ejection(age), LONGEST);
    }
}
