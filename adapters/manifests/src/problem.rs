//! What is wrong in the folder.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Something in the folder that could not be used. Holds no value of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Path below the folder; empty for the folder itself.
    pub file: PathBuf,
    /// Line in the file, from 1; `None` where the whole file is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The object, e.g. `Gateway default/web`, where that much is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong, what it means for what is served, and how to mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_os_str().is_empty(), self.line) {
            (true, _) => f.write_str("the folder")?,
            (false, None) => write!(f, "{}", self.file.display())?,
            (false, Some(line)) => write!(f, "{}:{line}", self.file.display())?,
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Name of the file in the state directory.
const FILE: &str = "problems.json";

/// The problems of the folder whose state directory this is; none where nothing was written yet.
///
/// # Errors
/// The file cannot be read, or something else wrote it.
pub fn read_problems(state: &Path) -> io::Result<Vec<Problem>> {
    match std::fs::read(state.join(FILE)) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes the problems where [`read_problems`] finds them.
pub(crate) fn write_problems(state: &Path, problems: &[Problem]) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(problems).map_err(io::Error::other)?;
    replace_file(&state.join(FILE), &text)
}

/// Replaces a file as a whole: a reader sees the old text or the new one, never a part.
pub(crate) fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let new = folder.join(name);
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}
