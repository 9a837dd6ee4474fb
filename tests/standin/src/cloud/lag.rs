//! Eventual consistency: lists that show a write only after a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long a list hides a write. Reads of one object by its id are never late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListLag {
    /// Not at all.
    #[default]
    None,
    /// For this many milliseconds.
    Milliseconds(u64),
    /// For this many reads of that list.
    Reads(u32),
}

#[derive(Debug, Clone)]
enum Until {
    Time(Instant),
    Reads(u32),
}

/// What lists still show, oldest first: the state before each write that is not visible yet.
#[derive(Debug, Clone)]
pub struct StaleViews<T> {
    before: VecDeque<(T, Until)>,
}

impl<T> Default for StaleViews<T> {
    fn default() -> Self {
        Self {
            before: VecDeque::new(),
        }
    }
}

impl<T: Clone> StaleViews<T> {
    /// To be called before a write, with what is there.
    pub(crate) fn keep(&mut self, present: &T, lag: ListLag) {
        let until = match lag {
            ListLag::None => return,
            ListLag::Milliseconds(ms) => Until::Time(Instant::now() + Duration::from_millis(ms)),
            ListLag::Reads(reads) => Until::Reads(reads),
        };
        self.before.push_back((present.clone(), until));
    }

    /// What a list shows now: the oldest state that is still shown, else what is there.
    pub(crate) fn list(&mut self, present: &T) -> T {
        let now = Instant::now();
        self.before.retain(|(_, until)| match until {
            Until::Time(end) => *end > now,
            Until::Reads(left) => *left > 0,
        });
        for (_, until) in &mut self.before {
            if let Until::Reads(left) = until {
                *left -= 1;
            }
        }
        let oldest = self.before.front().map(|(state, _)| state);
        oldest.unwrap_or(present).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_become_visible_one_after_the_other() {
        let mut views = StaleViews::default();
        views.keep(&0, ListLag::Reads(2));
        assert_eq!(views.list(&1), 0);
        views.keep(&1, ListLag::Reads(2));
        let seen: Vec<i32> = (0..3).map(|_| views.list(&2)).collect();
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn without_lag_a_write_shows_at_once() {
        let mut views = StaleViews::default();
        views.keep(&0, ListLag::None);
        assert_eq!(views.list(&1), 1);
    }
}
