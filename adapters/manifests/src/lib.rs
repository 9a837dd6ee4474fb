//! A folder of manifests as the cluster: [`ManifestFolder`] implements the domain's ports for objects
//! ([`ClusterSource`](domain::ports::ClusterSource)), credentials and statuses.
//!
//! - Every `*.yaml` and `*.yml` file below the folder is read, several documents each; what is hidden
//!   (`.git`, swap files of editors) is not.
//! - Nothing is lost on a guess: a document that cannot be read leaves in force what was last read in its
//!   place, a change counts once a file has come to rest, and a file emptied in place is a save under way.
//! - What is wrong is a [`Problem`] that names file, line, object and remedy. It stops nothing else.
//! - Statuses are files in a state directory ([`read_statuses`], [`render`]).

mod documents;
mod folder;
mod inventory;
mod listing;
mod problem;
mod secrets;
mod snapshot;
mod status;
mod watch;

pub use folder::{ManifestFolder, OpenError};
pub use problem::{Problem, read_problems};
pub use status::{StatusError, StatusRow, read_statuses, render};
