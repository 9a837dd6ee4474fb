//! A folder of files in, snapshots, problems, credentials and statuses out.

mod credentials;
mod problems;
mod statuses;
mod views;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapter_manifests::ManifestFolder;
use domain::ports::ClusterSource;
use domain::snapshot::ClusterSnapshot;
use tempfile::TempDir;

/// A folder under test; the files go when it does.
pub(crate) struct Folder {
    files: TempDir,
    state: TempDir,
}

impl Folder {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self {
            files: TempDir::new().expect("a folder of the test"),
            state: TempDir::new().expect("a folder of the test"),
        };
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub(crate) fn open(&self) -> Arc<ManifestFolder> {
        ManifestFolder::open(self.path().to_owned(), self.state().to_owned())
            .expect("the folder opens")
    }

    pub(crate) fn path(&self) -> &Path {
        self.files.path()
    }

    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        let parent = path.parent().expect("every file is in a folder");
        fs::create_dir_all(parent).expect("folders of the test");
        fs::write(path, text).expect("a file of the test");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).expect("a file of the test");
    }
}

/// Waits until a view fulfils a condition; a busy machine has 20 seconds.
pub(crate) async fn until(
    source: &ManifestFolder,
    what: &str,
    mut holds: impl FnMut(&ClusterSnapshot) -> bool,
) -> Arc<ClusterSnapshot> {
    let waiting = async {
        loop {
            let snapshot = source.snapshot().await;
            if holds(&snapshot) {
                return snapshot;
            }
            // Problems change without a new view, hence the limit.
            let _ = tokio::time::timeout(Duration::from_millis(50), source.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"))
}

/// Names of the routes, sorted.
pub(crate) fn routes(snapshot: &ClusterSnapshot) -> Vec<&str> {
    let routes = snapshot.routes.items().iter();
    let mut names: Vec<&str> = routes.map(|route| route.key.name.as_str()).collect();
    names.sort_unstable();
    names
}

pub(crate) fn route(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\nspec:\n  \
         parentRefs:\n  - name: web\n  hostnames:\n  - {name}.example.com\n"
    )
}

pub(crate) fn documents(texts: &[String]) -> String {
    texts.join("---\n")
}
