//! Files of the state folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Replaces a file as a whole: a reader sees the old text or the new one. Makes its folders.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    };
    fs::create_dir_all(folder)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    let beside: PathBuf = folder.join(hidden);
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}
