//! What the patterns of one route may take together.

use std::collections::HashMap;

use super::automaton::Automaton;
use super::{Pattern, UnusablePattern};

/// Judges the patterns of one route, one after another. What a pattern takes is known once it is compiled, so
/// the first one that is beyond a limit is the last one that costs anything.
#[derive(Debug, Default)]
pub struct PatternBudget {
    /// Bytes of those judged.
    known: HashMap<Box<str>, usize>,
    count: usize,
    room: PatternRoom,
    exhausted: bool,
}

/// Bytes that patterns take when they are compiled, each counted as often as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PatternRoom(pub usize);

impl std::ops::Add for PatternRoom {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl PatternBudget {
    /// Patterns of a route: one for each match that a route may have.
    pub(super) const MOST: usize = 128;

    /// Bytes that the patterns of a route may take.
    pub(super) const LARGEST: usize = 1024 * 1024;

    /// Bytes that a pattern counts for which was refused: to find out that one is too large takes longest.
    const REFUSED: usize = Self::LARGEST / 4;

    /// Bytes that the smallest pattern counts for, so that a limit on bytes is one on patterns too.
    const SMALLEST: usize = 4 * 1024;

    /// Judges the next pattern.
    ///
    /// # Errors
    /// It cannot be matched, or is beyond what a route may have.
    pub fn parse(&mut self, text: &str) -> Result<Pattern, UnusablePattern> {
        self.count += 1;
        if self.count > Self::MOST {
            self.exhausted = true;
            return Err(UnusablePattern::TooMany);
        }
        let judged = self.judge(text);
        let bytes = *judged.as_ref().unwrap_or(&Self::REFUSED);
        self.room = self.room + PatternRoom(bytes.max(Self::SMALLEST));
        self.exhausted = self.room.0 > Self::LARGEST;
        judged?;
        if self.exhausted {
            return Err(UnusablePattern::RouteTooLarge);
        }
        Ok(Pattern(text.into()))
    }

    fn judge(&mut self, text: &str) -> Result<usize, UnusablePattern> {
        if let Some(bytes) = self.known.get(text) {
            return Ok(*bytes);
        }
        let bytes = Automaton::compile(text)?.bytes();
        self.known.insert(text.into(), bytes);
        Ok(bytes)
    }

    /// Whether a limit of the route was reached. Nothing more needs to be judged: the route is refused.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// What the patterns judged so far take.
    pub fn room(&self) -> PatternRoom {
        self.room
    }
}
