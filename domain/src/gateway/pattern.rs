//! Regular expressions that users write.

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// A regular expression for a whole text, with RE2's syntax. It was judged when it was parsed, so whoever
/// has one need not ask again: to judge is to compile, and a route may hold thousands.
///
/// It is the text alone; the compiled form is far larger, and only who matches needs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct Pattern(String);

/// Why a text is not a [`Pattern`]. The message names the problem and the remedy, not the field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnusablePattern {
    /// It breaks the syntax.
    #[error("{pattern} is not a regular expression ({cause}); RE2 syntax is expected")]
    Syntax {
        /// The beginning of the text, quoted.
        pattern: String,
        /// What is wrong.
        cause: String,
    },
    /// It needs too much room.
    #[error(
        "{pattern} takes more than {} KiB when it is compiled; repeat less, or repeat smaller classes: \
         [0-9A-Za-z_] and [0-9] instead of \\w and \\d, which hold the letters and digits of every script",
        LARGEST / 1024
    )]
    TooLarge {
        /// The beginning of the text, quoted.
        pattern: String,
    },
}

/// Room that a compiled pattern may take, in bytes, and what matching it may fill beside it. The library's own
/// bounds are 10 and 2 MiB; seven characters, `\w{200}`, fill the first, and one route may have thousands of
/// patterns. This is enough for ten `\w`, for `.{1,255}`, or for `[a-z]{1000}` seven times.
const LARGEST: usize = 512 * 1024;

/// Characters of a pattern that a message repeats. The field is named, so it can be found.
const SHOWN: usize = 80;

impl Pattern {
    /// Judges a text.
    ///
    /// # Errors
    /// It cannot be matched; the error says why.
    pub fn parse(text: &str) -> Result<Self, UnusablePattern> {
        match compiled(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(regex::Error::CompiledTooBig(_)) => Err(UnusablePattern::TooLarge {
                pattern: beginning(text),
            }),
            Err(error) => {
                let error = error.to_string();
                let cause = error.lines().last().unwrap_or_default().trim();
                Err(UnusablePattern::Syntax {
                    pattern: beginning(text),
                    cause: cause.strip_prefix("error: ").unwrap_or(cause).to_owned(),
                })
            }
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What holds for a whole text. `None` only where the pattern was judged elsewhere, by other rules.
    pub(crate) fn compiled(&self) -> Option<Regex> {
        compiled(&self.0).ok()
    }
}

/// Anchors a pattern at both ends. It must be a pattern by itself (`a)|(b` is none), and may end in a
/// comment (flag `x`), which only a new line ends.
fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    #[cfg(test)]
    COMPILATIONS.with(|count| count.set(count.get() + 1));
    check_syntax(pattern)?;
    let build = |anchored: String| {
        RegexBuilder::new(&anchored)
            .size_limit(LARGEST)
            .dfa_size_limit(LARGEST)
            .build()
    };
    match build(format!(r"\A(?:{pattern})\z")) {
        Err(regex::Error::Syntax(_)) => build(format!("\\A(?:{pattern}\n)\\z")),
        other => other,
    }
}

/// With no room at all the syntax is judged, and nothing is built.
fn check_syntax(pattern: &str) -> Result<(), regex::Error> {
    match RegexBuilder::new(pattern).size_limit(0).build() {
        Ok(_) | Err(regex::Error::CompiledTooBig(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
thread_local! {
    /// How often this thread compiled a pattern.
    pub(crate) static COMPILATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_refused_with_what_is_wrong_and_what_to_do() {
        type Words<'a> = Result<(), &'a [&'a str]>;
        let long = "a".repeat(1_000);
        let table: [(&str, &str, Words<'_>); 13] = [
            ("a good one", "/v[0-9]+/.*|/x", Ok(())),
            ("nothing", "", Ok(())),
            ("one that ends in a comment", "(?x) /x+ # x", Ok(())),
            ("a long text", &long, Ok(())),
            ("many of a small class", "[0-9A-Za-z_]{1,500}", Ok(())),
            ("as many of any character as a name has", ".{1,255}", Ok(())),
            (
                "an open class",
                "/v[0-9",
                Err(&["\"/v[0-9\"", "unclosed", "RE2"]),
            ),
            ("a quantifier of nothing", "*", Err(&["repetition"])),
            (
                "one that closes the anchors' group",
                "a)(b",
                Err(&["unopened group"]),
            ),
            (
                "one that is two with the anchors' group",
                "a)|(b",
                Err(&["unopened group"]),
            ),
            (
                "a look-ahead, which RE2 has not",
                "a(?=b)",
                Err(&["look-around"]),
            ),
            (
                "a class that is large, repeated",
                r"\w{200}",
                Err(&["512 KiB", "[0-9A-Za-z_]"]),
            ),
            (
                "repetitions in one another",
                "((a{99}){99}){99}",
                Err(&["512 KiB", "repeat less"]),
            ),
        ];
        for (given, pattern, expected) in table {
            let found = Pattern::parse(pattern).map_err(|error| error.to_string());
            match (&found, expected) {
                (Ok(found), Ok(())) => assert_eq!(found.as_str(), pattern, "{given}"),
                (Err(message), Err(words)) => {
                    for word in words {
                        assert!(message.contains(word), "{given}: {message}");
                    }
                }
                _ => panic!("{given}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_message_repeats_the_beginning_of_a_long_pattern_only() {
        let message = Pattern::parse(&"(é".repeat(2_000)).unwrap_err().to_string();
        assert!(
            message.contains("(é\"…") && message.len() < 250,
            "{message}"
        );
    }
}
