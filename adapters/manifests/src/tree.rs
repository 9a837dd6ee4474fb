//! Which files of the folder are manifests.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a walk through the folder found. Paths are relative to it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeSet<PathBuf>,
    /// Where there may be manifests that the walk could not see: what it says of absent files is true
    /// outside of these.
    pub(crate) unlisted: Vec<Unlisted>,
}

/// A place of which nothing is known.
#[derive(Debug)]
pub(crate) struct Unlisted {
    /// It and all below it.
    pub(crate) path: PathBuf,
    /// Why, and what would help.
    pub(crate) why: String,
}

/// What an entry of a folder is.
enum Entry {
    Folder,
    File,
    /// Nothing that holds manifests, or gone since the folder was listed.
    Nothing,
    Unknown(String),
}

impl Tree {
    /// Walks the folder. Links are followed (a mounted ConfigMap is made of them), each folder once.
    ///
    /// A folder without a single manifest looks the same whether its last one was removed or its volume is
    /// not mounted, so it counts as not seen.
    pub(crate) fn walk(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.descend(root, Path::new(""), &mut BTreeSet::new());
        if tree.files.is_empty() && tree.unlisted.is_empty() {
            let why = "there is no manifest in the folder, as where a volume is not mounted; if all of them \
                       are to go, leave an empty file, none.yaml, in it";
            tree.not_seen(Path::new(""), why.to_owned());
        }
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
            Err(error) => {
                let why =
                    format!("the folder cannot be listed: {error}; make it readable or remove it");
                return self.not_seen(below, why);
            }
        };
        for entry in entries {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if is_passed_over(&name) {
                continue;
            }
            let path = below.join(&name);
            match look_at(&entry) {
                Entry::Folder => self.descend(root, &path, visited),
                // Reading it gives the reason.
                Entry::File | Entry::Unknown(_) if is_manifest(&path) => {
                    self.files.insert(path);
                }
                Entry::File | Entry::Nothing => {}
                Entry::Unknown(why) => self.not_seen(&path, why),
            }
        }
    }

    fn not_seen(&mut self, path: &Path, why: String) {
        let path = path.to_owned();
        self.unlisted.push(Unlisted { path, why });
    }
}

/// Looks behind links. The folder's own list tells files and folders apart, as far as it goes: a folder that
/// can be listed and not searched tells nothing else.
fn look_at(entry: &fs::DirEntry) -> Entry {
    match entry.file_type() {
        Ok(kind) if kind.is_file() => return Entry::File,
        Ok(kind) if kind.is_dir() => return Entry::Folder,
        _ => {}
    }
    let path = entry.path();
    match fs::metadata(&path) {
        Ok(facts) if facts.is_dir() => Entry::Folder,
        Ok(facts) if facts.is_file() => Entry::File,
        Ok(_) => Entry::Nothing,
        Err(_) if is_gone(&path) => Entry::Nothing,
        Err(error) => Entry::Unknown(format!(
            "what is here, or where it leads, cannot be looked at: {error}; mend it, mount what it leads \
             to, or remove it"
        )),
    }
}

/// Whether nothing of this name is there. Any other failure to look proves nothing.
pub(crate) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
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

    #[test]
    fn a_folder_without_a_manifest_is_not_known_to_be_empty() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("apps")).unwrap();
        fs::write(root.path().join("notes.txt"), "").unwrap();
        let unseen = Tree::walk(root.path()).unlisted;
        assert_eq!(unseen.len(), 1);
        assert_eq!(unseen[0].path, Path::new(""));
        assert!(unseen[0].why.contains("none.yaml"), "{}", unseen[0].why);

        fs::write(root.path().join("none.yaml"), "").unwrap();
        assert!(Tree::walk(root.path()).unlisted.is_empty(), "told so");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_cannot_be_followed_may_lead_to_manifests() {
        for (name, target, is_file) in [
            ("apps", "/nonexistent/apps", false),
            ("apps", "apps", false),
            ("apps", "b.yaml/apps", false),
            ("apps.yaml", "/nonexistent/apps.yaml", true),
            ("apps.yaml", "apps.yaml", true),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("b.yaml"), "").unwrap();
            std::os::unix::fs::symlink(target, root.path().join(name)).unwrap();
            let tree = Tree::walk(root.path());
            let unseen: Vec<_> = tree.unlisted.iter().map(|place| &*place.path).collect();
            match is_file {
                true => assert!(tree.files.contains(Path::new(name)), "{name} -> {target}"),
                false => assert_eq!(unseen, [Path::new(name)], "{name} -> {target}"),
            }
        }
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
