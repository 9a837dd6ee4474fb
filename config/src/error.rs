//! What is wrong with the settings, at which key, from which source, and what would help.

use std::path::PathBuf;

use figment::error::Kind;

/// Why settings cannot be used; each names the setting and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read the settings file {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the settings file {} is not a map of settings in YAML: {reason}", path.display())]
    Malformed {
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// The flags are no map; a mistake of the program, not of its user.
    #[error("the flags cannot be read as settings: {0}")]
    Flags(String),
    #[error(
        "unknown setting `{key}` (from {origin}); {}{}",
        meant(key, known),
        known_keys(known)
    )]
    UnknownKey {
        key: String,
        /// Where it was set.
        origin: String,
        /// Keys of that section.
        known: Vec<String>,
    },
    #[error("setting `{key}` is not set: {why}; {remedy}")]
    Missing {
        key: String,
        why: String,
        remedy: String,
    },
    #[error("setting `{key}` (from {origin}): {problem}")]
    WrongValue {
        key: String,
        /// Where it was set.
        origin: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

/// What was probably meant: the known key that differs the least, in a third of its letters at most.
fn meant(key: &str, known: &[String]) -> String {
    let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
    let close = known.iter().map(|name| (distance(last, name), name));
    let close = close.filter(|(far, name)| *far <= name.len().div_ceil(3));
    match close.min() {
        None => String::new(),
        Some((_, name)) if section.is_empty() => format!("did you mean `{name}`? "),
        Some((_, name)) => format!("did you mean `{section}.{name}`? "),
    }
}

/// Longest text that is compared letter by letter.
const LONGEST_COMPARED: usize = 64;

/// Letters that are to be added, removed or replaced, so that one text becomes the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.chars().take(LONGEST_COMPARED).collect() };
    let (one, other) = (letters(one), letters(other));
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, compared) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != compared);
            next.push(replaced.min(last[column + 1] + 1).min(next[column] + 1));
        }
        last = next;
    }
    last[other.len()]
}

fn known_keys(known: &[String]) -> String {
    format!("remove it, or use one of: {}", known.join(", "))
}

impl SettingsError {
    /// The setting that is wrong, where it is one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unreadable { .. } | Self::Malformed { .. } | Self::Flags(_) => None,
            Self::UnknownKey { key, .. }
            | Self::Missing { key, .. }
            | Self::WrongValue { key, .. } => Some(key),
        }
    }

    /// Names key and source of what figment found.
    pub(crate) fn from_figment(
        error: figment::Error,
        origin_of: impl FnOnce(&str) -> String,
    ) -> Self {
        // The path of an unknown key ends with that key.
        let key = error.path.join(".");
        let origin = origin_of(&key);
        if let Kind::UnknownField(_, known) = &error.kind {
            let known = known.iter().map(|name| (*name).to_owned()).collect();
            return Self::UnknownKey { key, origin, known };
        }
        Self::WrongValue {
            key,
            origin,
            problem: problem(error),
        }
    }
}

fn problem(error: figment::Error) -> String {
    match error.kind {
        Kind::InvalidType(found, expected) if expected.starts_with("struct ") => {
            format!("found {found} where a section with settings belongs")
        }
        Kind::InvalidType(found, expected) => format!("found {found}; use {expected}"),
        Kind::Message(message) => message,
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_answered_with_what_was_meant() {
        let known = ["listen", "filter", "format"].map(str::to_owned);
        for (key, expected) in [
            ("log.fliter", "did you mean `log.filter`? "),
            ("log.formats", "did you mean `log.format`? "),
            ("listn", "did you mean `listen`? "),
            ("log.colour", ""),
            ("x", ""),
            (&"x".repeat(100_000), ""),
        ] {
            assert_eq!(meant(key, &known), expected, "{key:.20}");
        }
    }
}
