//! A folder that is read once: for programs that ask and end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::ObjectRef;
use domain::snapshot::ClusterSnapshot;

use crate::cluster::Cluster;
use crate::folder::unlisted;
use crate::news::News;
use crate::open_error::OpenError;
use crate::problem::Problem;
use crate::tree::Tree;

/// The objects of a folder as they were when it was read. Nothing is written and nothing is watched.
#[derive(Debug)]
pub struct Manifests {
    cluster: Cluster,
}

impl Manifests {
    /// Reads a folder.
    ///
    /// # Errors
    /// The folder cannot be listed. What is wrong inside of it is a [`Problem`].
    pub fn read(folder: &Path) -> Result<Self, OpenError> {
        if let Err(source) = std::fs::read_dir(folder) {
            let path = folder.to_owned();
            return Err(OpenError::Folder { path, source });
        }
        let tree = Tree::walk(folder);
        let mut files = BTreeMap::new();
        News::of(folder, &tree, &files).apply(&mut files);
        Ok(Self {
            cluster: Cluster::of(&files, unlisted(&tree)),
        })
    }

    /// What is wrong in the folder, by path and position.
    pub fn problems(&self) -> &[Problem] {
        &self.cluster.problems
    }

    /// The view that the domain gets, with what may be known of these Secrets.
    pub fn snapshot(&self, secrets: &BTreeSet<ObjectRef>) -> ClusterSnapshot {
        self.cluster.snapshot(secrets)
    }
}
