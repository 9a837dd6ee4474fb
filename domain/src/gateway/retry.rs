//! When a request is sent to a backend once more (GEP-1731).

use std::time::Duration;

/// `rule.retry`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Retry {
    /// Statuses of answers after which the request is sent once more: 400 to 599, ascending, each once.
    pub codes: Vec<u16>,
    /// How often it is sent after the first time, at most. 0: never, whatever happened.
    pub attempts: u32,
    /// What the waits before are computed from; `None` for the data plane's own.
    pub backoff: Option<Duration>,
}

impl Retry {
    /// Most attempts that a rule may ask for.
    pub const MOST_ATTEMPTS: u32 = 100;

    /// The wait where a rule names none.
    pub const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);

    /// How much longer than the first wait a later one is, at most.
    const MOST_BACKOFF: u32 = 10;

    /// The wait before a retry, of which `made` came before. It doubles from one to the next, up to ten times the first; a
    /// random part of up to a half is added. `random` is evenly spread over all of `u64`.
    pub fn wait(&self, made: u32, random: u64) -> Duration {
        let base = self.backoff.unwrap_or(Self::DEFAULT_BACKOFF);
        let factor = 2u32.saturating_pow(made).min(Self::MOST_BACKOFF);
        let least = base.saturating_mul(factor);
        let share = u32::try_from(random >> 32).unwrap_or(u32::MAX);
        let added = (least.as_nanos() / 2 * u128::from(share)) >> 32;
        least.saturating_add(Duration::from_nanos(
            u64::try_from(added).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_times_the_first_and_at_most_a_half_is_added() {
        let millis = Duration::from_millis;
        for (backoff, made, least) in [
            (None, 0, millis(25)),
            (None, 1, millis(50)),
            (None, 3, millis(200)),
            (None, 4, millis(250)),
            (None, u32::MAX, millis(250)),
            (Some(millis(100)), 0, millis(100)),
            (Some(millis(100)), 2, millis(400)),
            (Some(Duration::ZERO), 5, Duration::ZERO),
        ] {
            let retry = Retry {
                codes: vec![503],
                attempts: 3,
                backoff,
            };
            assert_eq!(retry.wait(made, 0), least, "{backoff:?} {made}");
            let most = retry.wait(made, u64::MAX);
            assert!(most >= least && most <= least * 3 / 2, "{most:?}");
        }
        let endless = Retry {
            codes: vec![],
            attempts: 1,
            backoff: Some(Duration::MAX),
        };
        assert_eq!(endless.wait(9, u64::MAX), Duration::MAX);
    }
}
