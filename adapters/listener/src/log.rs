//! What strangers cause must not fill the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one log line pass in a span of time, and counts the others.
#[derive(Debug)]
pub struct AtMostEvery {
    span: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    passed: Option<Instant>,
    withheld: u64,
}

impl AtMostEvery {
    /// One line in this span.
    pub const fn new(span: Duration) -> Self {
        Self {
            span,
            state: Mutex::new(State {
                passed: None,
                withheld: 0,
            }),
        }
    }

    /// Whether a line may be written now; then, how many were withheld since the last one.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let is_early = |passed: Instant| now.duration_since(passed) < self.span;
        if state.passed.is_some_and(is_early) {
            state.withheld += 1;
            return None;
        }
        state.passed = Some(now);
        Some(std::mem::take(&mut state.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_in_a_span_and_tells_of_the_others() {
        let lines = AtMostEvery::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |second| lines.pass(start + Duration::from_secs(second));
        let passed: Vec<_> = [0, 1, 9, 10, 11, 30].map(at).into();
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
