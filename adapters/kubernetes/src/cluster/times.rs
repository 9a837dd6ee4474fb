//! The times of watches.

use std::time::Duration;

/// How patient the watches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchTimes {
    /// Changes within this time make one view.
    pub debounce: Duration,
    /// A kind is unknown once reading it has failed for so long; until then its last view stands.
    pub unknown_after: Duration,
    /// Pause after the first failure; each further one doubles it.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// How often to look for a kind that does not exist here.
    pub look_again: Duration,
    /// A watch that has gone on for so long, or has brought something, works.
    pub works_after: Duration,
}

impl Default for WatchTimes {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(50),
            unknown_after: Duration::from_secs(10),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            look_again: Duration::from_secs(10),
            works_after: Duration::from_secs(1),
        }
    }
}
