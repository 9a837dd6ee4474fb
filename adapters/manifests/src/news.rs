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
use crate::tree::{Tree, is_gone};
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
    text: SecretString,
    /// How long nothing was written to it.
    age: Duration,
}

impl News {
    /// Compares the files that are there with those in force. Files below what could not be looked at are
    /// neither gone nor new.
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
                Err(_) if is_gone(&full) => {
                    if files.contains_key(path) {
                        news.gone.push(path.clone());
                    }
                }
                Err(error) => news.unreadable.push((path.clone(), error)),
            }
        }
        // What cannot be read may have been a folder before, whatever its name.
        let unreadable = news.unreadable.iter().map(|(path, _)| path);
        let unlisted = tree.unlisted.iter().map(|place| &place.path);
        let unseen: Vec<&PathBuf> = unlisted.chain(unreadable).collect();
        let gone: Vec<PathBuf> = files
            .keys()
            .filter(|path| !tree.files.contains(*path))
            .filter(|path| !unseen.iter().any(|place| path.starts_with(place)))
            .cloned()
            .collect();
        news.gone.extend(gone);
        news
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.unreadable.is_empty() && self.gone.is_empty()
    }

    /// Whether writing seems to be over. `waited`: since these or other changes
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

/// Distinguishes texts within this process only: it is keyed at random.
fn fingerprint(text: &str) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_surely_not_there_is_gone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        for (given, path, gone) in [
            ("no such name", "apps/a.yaml", true),
            ("its folder cannot be searched", "file/a.yaml", false),
        ] {
            let path = PathBuf::from(path);
            let tree = Tree {
                files: [path.clone()].into(),
                ..Tree::default()
            };
            let known = BTreeMap::from([(path.clone(), ManifestFile::default())]);
            let news = News::of(root.path(), &tree, &known);
            let unreadable: Vec<_> = news.unreadable.iter().map(|(path, _)| path).collect();
            match gone {
                true => assert_eq!(news.gone, [path], "{given}"),
                false => {
                    assert_eq!(unreadable, [&path], "{given}");
                    assert!(news.gone.is_empty(), "{given}");
                }
            }
        }
    }
}
