//! What is wrong in the folder.

use std::fmt;
use std::path::PathBuf;

/// Something in the folder that is not in force, where it stands, and how to mend it. Never holds a
/// value of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// Path below the folder; empty for the folder itself.
    pub file: PathBuf,
    /// Position of the document in its file, from 1; 0 for the file as a whole.
    pub document: usize,
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// The object, where it is known, e.g. `HTTPRoute default/good`.
    pub object: Option<String>,
    /// What is wrong and how to mend it. One line.
    pub message: String,
}

impl Problem {
    pub(crate) fn of_file(
        file: impl Into<PathBuf>,
        line: Option<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            document: 0,
            line,
            object: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    /// One line: `routes.yaml:12 (document 2): HTTPRoute default/good: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.as_os_str().is_empty() {
            f.write_str(".")?;
        } else {
            write!(f, "{}", one_line(&self.file.to_string_lossy()))?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if self.document > 0 {
            write!(f, " (document {})", self.document)?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {}", one_line(object))?;
        }
        write!(f, ": {}", one_line(&self.message))
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
