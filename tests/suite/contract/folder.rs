//! A folder of manifests with its state folder, for the ports that the folder stands for.

use std::path::PathBuf;
use std::sync::Arc;

use adapter_manifests::ManifestFolder;
use tempfile::TempDir;

/// An open folder.
pub(crate) struct Folder {
    dir: TempDir,
    /// The adapter.
    pub(crate) adapter: Arc<ManifestFolder>,
}

impl Folder {
    /// Opens a folder that has these files from the start.
    pub(crate) fn with(files: &[(&str, String)]) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let manifests = dir.path().join("manifests");
        std::fs::create_dir(&manifests).expect("a new folder");
        for (name, text) in files {
            std::fs::write(manifests.join(name), text).expect("a new file");
        }
        let adapter = ManifestFolder::open(manifests, dir.path().join("state"));
        Self {
            dir,
            adapter: adapter.expect("the folder opens"),
        }
    }

    /// Where statuses go.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Writes a file as editors do: a new one, renamed over the old one.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.dir.path().join(name);
        std::fs::write(&beside, text).expect("the file is written");
        std::fs::rename(beside, self.dir.path().join("manifests").join(name))
            .expect("the file is renamed");
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join("manifests").join(name))
            .expect("the file was there");
    }
}
