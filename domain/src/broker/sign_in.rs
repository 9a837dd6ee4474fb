//! What guessing a password or a one-time code costs.

use std::time::Duration;

use super::refusal::{Code, Refusal};
use crate::names::Timestamp;

/// How long somebody stays signed in, at most.
pub const LONGEST_SIGN_IN: Duration = Duration::from_secs(8 * 3600);

/// Failures in a row that cost nothing: people mistype.
pub const FREE_FAILURES: u32 = 4;

/// How long nobody can sign in as a person after many failures, at most. At one attempt in this time, a six-digit code of which
/// three are good at a time is found with a probability of 50 % after five years.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The newest attempts to sign in as one person. An attempt counts as a failure from its beginning, so that many
/// at a time cost as much as one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// Failures in a row.
    pub failures: u32,
    /// Nobody can sign in before.
    pub not_before: Timestamp,
    /// The time step of the newest one-time code that was taken (RFC 6238, section 5.2: none is good twice).
    pub last_step: u64,
}

impl Attempts {
    /// One more begins. Refused during a pause.
    pub fn begin(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if now < self.not_before {
            let wait = self.not_before.0 - now.0;
            let detail = format!(
                "nobody can sign in as this person for {wait} s, after {} failures; try again then",
                self.failures
            );
            return Err(Refusal::new(Code::TooManyAttempts, detail));
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Timestamp(
            now.0
                .saturating_add_unsigned(pause(self.failures).as_secs()),
        );
        Ok(())
    }

    /// The one that began last was good, with the code of this time step.
    pub fn succeed(&mut self, step: u64) -> Result<(), Refusal> {
        if step <= self.last_step {
            return Err(refused());
        }
        *self = Self {
            last_step: step,
            ..Self::default()
        };
        Ok(())
    }
}

/// After so many failures in a row: nothing, then 2 s, 4 s, 8 s … [`LONGEST_PAUSE`].
fn pause(failures: u32) -> Duration {
    match failures.saturating_sub(FREE_FAILURES) {
        0 => Duration::ZERO,
        more => Duration::from_secs(1 << more.min(10)).min(LONGEST_PAUSE),
    }
}

/// The refusal of every attempt that failed: it does not tell what was wrong, or whether there is such a person.
pub fn refused() -> Refusal {
    Refusal::new(
        Code::SignInRefused,
        "name, password and one-time code do not belong together, or the code was used; wait for the next code and try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_follows_more_than_four_failures_in_a_row_and_grows_to_a_quarter_of_an_hour() {
        let mut attempts = Attempts::default();
        let mut now = 1000;
        for pause in [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(attempts.begin(Timestamp(now)), Ok(()), "{attempts:?}");
            assert_eq!(attempts.not_before.0 - now, pause, "{attempts:?}");
            if pause > 0 {
                let early = attempts.begin(Timestamp(now + pause - 1));
                assert_eq!(early.unwrap_err().code, Code::TooManyAttempts);
            }
            now += pause;
        }
    }

    #[test]
    fn an_attempt_counts_from_its_beginning_and_success_ends_the_count() {
        let mut attempts = Attempts::default();
        let now = Timestamp(1000);
        let begun = (0..100).filter(|_| attempts.begin(now).is_ok()).count();
        assert_eq!(begun, 5);
        attempts.succeed(7).unwrap();
        assert_eq!(attempts.failures, 0);
        assert!(attempts.begin(now).is_ok());
    }

    #[test]
    fn a_code_is_good_once_and_no_earlier_one_after_it() {
        let mut attempts = Attempts::default();
        attempts.succeed(7).unwrap();
        for (step, code) in [
            (7, Some(Code::SignInRefused)),
            (6, Some(Code::SignInRefused)),
            (8, None),
        ] {
            let refused = attempts.succeed(step).err().map(|it| it.code);
            assert_eq!(refused, code, "step {step}");
        }
    }
}
