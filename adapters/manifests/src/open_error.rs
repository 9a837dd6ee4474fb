//! Why a folder cannot be used.

use std::path::PathBuf;

/// Why the folder cannot be the cluster, or its state cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("manifests folder {}: {source}; name a folder that can be read", path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The state folder, or a file of it, cannot be read or written.
    #[error("state {}: {source}; name a folder that this user can read and write", path.display())]
    State {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("status {}: {problem}; remove the file, it is written anew", path.display())]
    Status {
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}
