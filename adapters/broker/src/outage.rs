//! How long the broker has not answered.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Since when the broker has not answered, by the monotonic clock of this process.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// The broker answered.
    pub(crate) fn over(&self) {
        *self.0.lock() = None;
    }

    /// It did not, at this moment; for how long it has not. The first time counts from when it was asked.
    pub(crate) fn goes_on(&self, asked: Instant, now: Instant) -> Duration {
        let mut since = self.0.lock();
        now.saturating_duration_since(*since.get_or_insert(asked))
    }
}

/// A length of time in words, so coarse that a status which holds it is not rewritten all the time: below a
/// minute in steps of ten seconds, below an hour in minutes, then in hours and minutes.
pub(crate) fn in_words(age: Duration) -> String {
    let seconds = age.as_secs();
    let minutes = seconds / 60;
    match seconds {
        0..10 => "less than 10 s".to_owned(),
        10..60 => format!("{} s", seconds / 10 * 10),
        60..3600 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_as_old_as_the_first_question_that_got_no_answer() {
        let (outage, start) = (Outage::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.goes_on(start, after(5)), Duration::from_secs(5));
        assert_eq!(
            outage.goes_on(after(60), after(70)),
            Duration::from_secs(70)
        );
        outage.over();
        let again = outage.goes_on(after(100), after(103));
        assert_eq!(again, Duration::from_secs(3));
    }

    #[test]
    fn an_age_is_told_in_steps() {
        for (seconds, words) in [
            (0, "less than 10 s"),
            (9, "less than 10 s"),
            (10, "10 s"),
            (59, "50 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h 0 min"),
            (90_060, "25 h 1 min"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
