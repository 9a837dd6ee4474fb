//! Regular expressions that users write.

mod automaton;
mod budget;

use thiserror::Error;

pub(crate) use automaton::Automaton;
#[cfg(test)]
pub(crate) use automaton::COMPILATIONS;
pub use budget::{PatternBudget, PatternRoom};

/// A regular expression for a whole text. It was checked when it was parsed, so its users need not check
/// again: to judge is to compile.
///
/// It is the text alone; the compiled form is larger, and only who matches needs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Judges a single text. The patterns of a route are judged together, by a [`PatternBudget`].
    ///
    /// # Errors
    /// It cannot be matched; the error says why.
    pub fn parse(text: &str) -> Result<Self, UnusablePattern> {
        PatternBudget::default().parse(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What holds for a whole text. `None` only where the pattern was judged elsewhere, by other rules.
    pub(crate) fn compiled(&self) -> Option<Automaton> {
        Automaton::compile(&self.0).ok()
    }
}

/// Why a text is not a [`Pattern`]. The message names the problem and the remedy, not the field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnusablePattern {
    #[error("Invalid value: {pattern}: {cause}; RE2 syntax is expected")]
    Syntax {
        /// The beginning of the text, quoted.
        pattern: String,
        cause: String,
    },
    #[error(
        "Invalid value: {pattern}: Unicode classes are not served; \\w, \\d, \\s and \\b are ASCII, and \
         other letters are written out, like (à|é)"
    )]
    Unicode {
        /// The beginning of the text, quoted.
        pattern: String,
    },
    #[error(
        "Invalid value: {pattern}: it takes more than {} KiB when it is compiled; repeat less, \
         above all behind a `.*`, or divide it into several matches",
        Automaton::LARGEST / 1024
    )]
    TooLarge {
        /// The beginning of the text, quoted.
        pattern: String,
    },
    #[error(
        "Too long: a regular expression may have {} bytes; divide it into several matches",
        Automaton::LONGEST
    )]
    TooLong,
    #[error(
        "Too many: a route may hold {} regular expressions; join some of them with `|`, or divide the route",
        PatternBudget::MOST
    )]
    TooMany,
    /// All of the route together need too much room.
    #[error(
        "Too many: the regular expressions of a route may take {} KiB when they are compiled; use fewer or \
         smaller ones, or divide the route",
        PatternBudget::LARGEST / 1024
    )]
    RouteTooLarge,
}

#[cfg(test)]
mod tests;
