//! Which files of the folder are manifests.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a walk through the folder found. Paths are relative to it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Manifests.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Folders that could not be listed, and why: nothing is known of what is in them.
    pub(crate) unlisted: Vec<(PathBuf, io::Error)>,
}

impl Tree {
    /// Walks the folder. Links are followed (a mounted ConfigMap is made of them), each folder once.
    pub(crate) fn walk(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.descend(root, Path::new(""), &mut BTreeSet::new());
        tree
    }

    fn descend(&mut self, root: &Path, below: &Path, visited: &mut BTreeSet<PathBuf>) {
        let folder = root.join(below);
        let listed = fs::canonicalize(&folder).and_then(|real| {
            if visited.insert(real) {
                fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()
            } else {
                Ok(Vec::new())
            }
        });
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => return self.unlisted.push((below.to_owned(), error)),
        };
        for entry in entries {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if is_passed_over(&name) {
                continue;
            }
            let path = below.join(&name);
            // A link that leads nowhere counts as a file: reading it tells why it cannot be read.
            match fs::metadata(root.join(&path)) {
                Ok(facts) if facts.is_dir() => self.descend(root, &path, visited),
                Ok(facts) if !facts.is_file() => {}
                _ if is_manifest(&path) => {
                    self.files.insert(path);
                }
                _ => {}
            }
        }
    }
}

/// Hidden entries and what editors leave beside a file.
fn is_passed_over(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with(['~', '#']) || name.contains("~.")
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_found_at_any_depth_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            "b.yaml",
            "a/z.yml",
            "a/b/c.yaml",
            ".hidden.yaml",
            ".git/x.yaml",
            "b.yaml~",
            "b.yaml.bak",
            ".b.yaml.swp",
            ".#b.yaml",
            "b~.yaml",
            "notes.txt",
        ];
        for name in names {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let tree = Tree::walk(root.path());
        let found: Vec<_> = tree
            .files
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect();
        assert_eq!(found, ["a/b/c.yaml", "a/z.yml", "b.yaml"]);
        assert!(tree.unlisted.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("..data")).unwrap();
        fs::write(root.path().join("..data/a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
        std::os::unix::fs::symlink(".", root.path().join("loop")).unwrap();
        let tree = Tree::walk(root.path());
        assert_eq!(
            tree.files.into_iter().collect::<Vec<_>>(),
            [PathBuf::from("a.yaml")]
        );
    }
}
