//! A folder, or a file, that is read once: for programs that ask and end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use domain::ObjectRef;
use domain::secret::{CertificatePair, CloudflareCredentials};
use domain::snapshot::ClusterSnapshot;

use crate::cluster::Cluster;
use crate::file::ManifestFile;
use crate::folder::unlisted;
use crate::news::News;
use crate::open_error::OpenError;
use crate::problem::Problem;
use crate::tree::Tree;

/// The objects of a folder or a file as they were when it was read. Nothing is written and nothing is watched.
#[derive(Debug)]
pub struct Manifests {
    cluster: Cluster,
}

impl Manifests {
    /// Reads a folder, or a single file.
    ///
    /// # Errors
    /// The folder cannot be listed, or the file is not there. What is wrong inside of it is a [`Problem`].
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let (folder, tree) = match (path.is_file(), path.parent(), path.file_name()) {
            (true, Some(folder), Some(name)) => {
                let files = [PathBuf::from(name)].into();
                let unlisted = Vec::new();
                (folder, Tree { files, unlisted })
            }
            _ => {
                if let Err(source) = std::fs::read_dir(path) {
                    let path = path.to_owned();
                    return Err(OpenError::Folder { path, source });
                }
                (path, Tree::walk(path))
            }
        };
        let mut files = BTreeMap::new();
        News::of(folder, &tree, &files).apply(&mut files);
        Ok(Self {
            cluster: Cluster::of(&files, unlisted(&tree)),
        })
    }

    /// Reads a text as if it stood in a file. Its problems name the file `-`.
    pub fn of_text(text: &str) -> Self {
        let path = PathBuf::from("-");
        let file = ManifestFile::read(&path, text, 0, None);
        Self {
            cluster: Cluster::of(&[(path, file)].into(), Vec::new()),
        }
    }

    /// What is wrong in the folder, by path and position.
    pub fn problems(&self) -> &[Problem] {
        &self.cluster.problems
    }

    /// The objects that are written, but for Namespaces that are only named.
    pub fn references(&self) -> BTreeSet<ObjectRef> {
        let references = self.cluster.references().into_iter();
        references.map(|reference| (*reference).clone()).collect()
    }

    /// The Cloudflare credentials in a Secret of these files; `None` where the Secret is not in them.
    pub fn credentials(&self, secret: &ObjectRef) -> Option<Result<CloudflareCredentials, String>> {
        Some(self.cluster.secret(secret)?.credentials())
    }

    /// The certificate in a Secret of these files; `None` where the Secret is not in them.
    pub fn pair(&self, secret: &ObjectRef) -> Option<Result<CertificatePair, String>> {
        Some(self.cluster.secret(secret)?.certificate_pair())
    }

    /// The view that the domain gets, with what may be known of these Secrets.
    pub fn snapshot(&self, secrets: &BTreeSet<ObjectRef>) -> ClusterSnapshot {
        self.cluster.snapshot(secrets)
    }
}
