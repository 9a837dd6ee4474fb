//! The files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use domain::ObjectRef;
use domain::ports::PortError;
use domain::status::StatusUpdate;

use super::document::{StatusDocument, reference};
use crate::problem::replace_file;

/// Kinds that have a status.
const KINDS: [&str; 4] = ["GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute"];

/// The state directory, as far as statuses are in it.
#[derive(Debug, Clone)]
pub(crate) struct StatusDirectory(PathBuf);

impl StatusDirectory {
    pub(crate) fn new(state: PathBuf) -> Self {
        Self(state)
    }

    /// Writes each status that differs from what is there. Objects that are not present are passed over.
    pub(crate) fn write(
        &self,
        updates: &[StatusUpdate],
        present: &BTreeSet<ObjectRef>,
    ) -> Result<(), PortError> {
        let now = format!("{:.0}", jiff::Timestamp::now());
        let mut failed = Vec::new();
        for update in updates {
            let reference = reference(update);
            if !present.contains(&reference) {
                continue;
            }
            let path = self.path(&reference);
            let written = match StatusDocument::new(update, &now) {
                Some(document) => write_changed(&path, document),
                None => remove(&path),
            };
            if let Err(error) = written {
                failed.push(format!("{}: {error}", path.display()));
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(PortError(format!(
                "statuses were not written: {}",
                failed.join(", ")
            )))
        }
    }

    /// Removes the statuses of all other objects.
    pub(crate) fn keep_only<'o>(&self, present: impl Iterator<Item = &'o ObjectRef>) {
        let kept: BTreeSet<PathBuf> = present.map(|reference| self.path(reference)).collect();
        for path in self.files() {
            if !kept.contains(&path)
                && let Err(error) = remove(&path)
            {
                tracing::warn!(path = %path.display(), %error, "an old status stays");
            }
        }
    }

    /// Every status file.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for kind in KINDS {
            add_files(&self.0.join(kind.to_ascii_lowercase()), &mut files);
        }
        files.sort();
        files
    }

    fn path(&self, reference: &ObjectRef) -> PathBuf {
        let mut path = self.0.join(reference.kind.to_ascii_lowercase());
        if !reference.key.namespace.is_empty() {
            path.push(file_name(&reference.key.namespace));
        }
        path.push(format!("{}.json", file_name(&reference.key.name)));
        path
    }
}

/// A name that leads nowhere else: what Kubernetes allows in names stays, all other bytes are written
/// as `%` and two digits, a leading dot too.
fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_')
            || (byte == b'.' && index > 0);
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            add_files(&path, files);
        } else if path.extension() == Some(OsStr::new("json")) {
            files.push(path);
        }
    }
}

/// A file that something else wrote is replaced.
fn write_changed(path: &Path, mut document: StatusDocument) -> io::Result<()> {
    let before = fs::read(path).ok();
    let before = before.and_then(|text| serde_json::from_slice::<StatusDocument>(&text).ok());
    if let Some(before) = &before {
        document.keep_times(before);
    }
    if before.as_ref() == Some(&document) {
        return Ok(());
    }
    let mut text = serde_json::to_vec_pretty(&document).map_err(io::Error::other)?;
    text.push(b'\n');
    replace_file(path, &text)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for (name, expected) in [
            ("web", "web"),
            ("a.b-c_1", "a.b-c_1"),
            ("../../etc", "%2E.%2F..%2Fetc"),
            ("..", "%2E."),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }
}
