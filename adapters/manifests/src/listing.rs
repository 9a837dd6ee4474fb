//! The files of the folder at one moment.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// Files by their paths below the folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) files: BTreeMap<PathBuf, FileText>,
    /// Folders that could not be listed, with the reason: what is in them is not known.
    pub(crate) closed: BTreeMap<PathBuf, String>,
}

/// What reading a file gave.
#[derive(Debug, Clone)]
pub(crate) struct FileText {
    /// Equal for equal texts.
    pub(crate) fingerprint: u64,
    /// The text, or why it cannot be read.
    pub(crate) text: Result<String, String>,
}

impl FileText {
    fn new(text: Result<String, String>) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self {
            fingerprint: hasher.finish(),
            text,
        }
    }
}

impl Listing {
    /// Reads the folder and those below it. Entries that vanish meanwhile are not there.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut listing = Self::default();
        listing.add_folder(folder, Path::new(""));
        listing
    }

    fn add_folder(&mut self, root: &Path, below: &Path) {
        let entries = match std::fs::read_dir(root.join(below)) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) && !below.as_os_str().is_empty() => return,
            Err(error) => {
                self.closed.insert(below.to_owned(), error.to_string());
                return;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.closed.insert(below.to_owned(), error.to_string());
                    continue;
                }
            };
            let path = below.join(entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_hidden(&path) {
                continue;
            } else if is_folder {
                self.add_folder(root, &path);
            } else if is_manifest(&path) {
                self.add_file(root, path);
            }
        }
    }

    /// Links to files are followed, as volumes of ConfigMaps consist of them; links to folders are not.
    fn add_file(&mut self, root: &Path, path: PathBuf) {
        let text = match std::fs::read(root.join(&path)) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()),
            Err(error) if is_gone(&error) => return,
            Err(error) => Err(error.to_string()),
        };
        self.files.insert(path, FileText::new(text));
    }

    /// Whether a file lies in a folder that could not be listed.
    pub(crate) fn is_closed(&self, path: &Path) -> bool {
        self.closed.keys().any(|folder| path.starts_with(folder))
    }

    fn fingerprint(&self, path: &Path) -> Option<u64> {
        self.files.get(path).map(|file| file.fingerprint)
    }

    /// Files that are not the same in both.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<PathBuf> {
        self.files
            .keys()
            .chain(other.files.keys())
            .filter(|path| self.fingerprint(path) != other.fingerprint(path))
            .cloned()
            .collect()
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}
