//! What changed in the folder since it was last read.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use crate::file::ManifestFile;
use crate::tree::Tree;
use crate::watch::SETTLED;

/// Changes that are read and not yet in force.
#[derive(Default)]
pub(crate) struct News {
    /// Files whose text is new.
    texts: Vec<Text>,
    /// Files that are there and cannot be read.
    unreadable: Vec<(PathBuf, io::Error)>,
    /// Files that are gone.
    gone: Vec<PathBuf>,
}

struct Text {
    path: PathBuf,
    fingerprint: u64,
    /// May hold Secrets.
    text: SecretString,
    /// How long nothing was written to it.
    age: Duration,
}

impl News {
    /// Compares the files that are there with those in force. Files below a folder that could not be
    /// listed are neither gone nor new.
    pub(crate) fn of(root: &Path, tree: &Tree, files: &BTreeMap<PathBuf, ManifestFile>) -> Self {
        let mut news = Self::default();
        for path in &tree.files {
            let full = root.join(path);
            match read(&full) {
                Ok((text, age)) => {
                    let fingerprint = fingerprint(text.expose_secret());
                    let known = files.get(path).and_then(|file| file.fingerprint);
                    if known != Some(fingerprint) {
                        news.texts.push(Text {
                            path: path.clone(),
                            fingerprint,
                            text,
                            age,
                        });
                    }
                }
                // Gone since the folder was listed; a link to nothing is still there.
                Err(_) if fs::symlink_metadata(&full).is_err() => {
                    if files.contains_key(path) {
                        news.gone.push(path.clone());
                    }
                }
                Err(error) => news.unreadable.push((path.clone(), error)),
            }
        }
        let is_unlisted = |path: &Path| {
            let mut folders = tree.unlisted.iter();
            folders.any(|(folder, _)| path.starts_with(folder))
        };
        let gone = files
            .keys()
            .filter(|path| !tree.files.contains(*path) && !is_unlisted(path));
        news.gone.extend(gone.cloned());
        news
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.unreadable.is_empty() && self.gone.is_empty()
    }

    /// Whether nobody is still writing, as far as can be told. `waited`: since these or other changes
    /// were first seen. A file that is gone may be about to be replaced.
    pub(crate) fn is_settled(&self, waited: Duration) -> bool {
        self.texts.iter().all(|text| text.age >= SETTLED)
            && (self.gone.is_empty() || waited >= SETTLED)
    }

    /// Puts them in force.
    pub(crate) fn apply(self, files: &mut BTreeMap<PathBuf, ManifestFile>) {
        for path in self.gone {
            files.remove(&path);
        }
        for (path, error) in self.unreadable {
            let file = ManifestFile::unreadable(&path, &error, files.get(&path));
            files.insert(path, file);
        }
        for news in self.texts {
            let last = files.get(&news.path);
            let text = news.text.expose_secret();
            let file = ManifestFile::read(&news.path, text, news.fingerprint, last);
            files.insert(news.path, file);
        }
    }
}

/// The text of a file and how long nothing was written to it. A time in the future says nothing, so it
/// counts as long ago.
fn read(path: &Path) -> io::Result<(SecretString, Duration)> {
    let text = SecretString::from(fs::read_to_string(path)?);
    let written = fs::metadata(path)?.modified()?;
    let age = SystemTime::now().duration_since(written);
    Ok((text, age.unwrap_or(Duration::MAX)))
}

/// Tells texts apart within this process; says nothing about them outside of it.
fn fingerprint(text: &str) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(text)
}
