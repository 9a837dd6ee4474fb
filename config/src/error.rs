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
    #[error("unknown setting `{key}` (from {origin}); {}", known_keys(known))]
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

fn known_keys(known: &[String]) -> String {
    format!("remove it, or use one of: {}", known.join(", "))
}

impl SettingsError {
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
