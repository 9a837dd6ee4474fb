//! For how long something is waited for, and how often it is looked at.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A wait that ends.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// The longest.
    pub timeout: Duration,
    /// Between two looks.
    pub every: Duration,
}

impl Wait {
    /// A look each second, as one costs a call or two.
    pub fn of(timeout: Duration) -> Self {
        Self {
            timeout,
            every: Duration::from_secs(1),
        }
    }

    /// The wait, begun.
    pub fn begin(self) -> Waiting {
        Waiting {
            wait: self,
            since: Instant::now(),
        }
    }
}

/// A wait under way.
#[derive(Debug)]
pub struct Waiting {
    wait: Wait,
    since: Instant,
}

impl Waiting {
    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Pauses until the next look. `false` where the time is over.
    pub async fn goes_on(&self) -> bool {
        let left = self.wait.timeout.saturating_sub(self.elapsed());
        if left.is_zero() {
            return false;
        }
        sleep(self.wait.every.min(left)).await;
        true
    }
}

/// Reads a duration as Go and kubectl write it: `90s`, `5m`, `1h30m`. At most a day.
///
/// # Errors
/// It is none, in a sentence that says what is one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "must be a duration from 1s to {LONGEST_HOURS}h, such as 90s, 5m or 1h30m; correct it"
        )
    };
    let read: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let longest = Duration::from_secs(LONGEST_HOURS * 3600);
    let read = Duration::try_from(read).map_err(|_| wrong())?;
    match (Duration::from_secs(1)..=longest).contains(&read) {
        true => Ok(read),
        false => Err(wrong()),
    }
}

/// The longest wait.
const LONGEST_HOURS: u64 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_kubectl_reads_it() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("24h", Some(86_400)),
            ("25h", None),
            ("0s", None),
            ("-5m", None),
            ("5", None),
            ("soon", None),
            ("", None),
        ] {
            let read = duration(text).ok();
            assert_eq!(read, seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
