//! A folder of manifests as the cluster: no Kubernetes, the same objects.
//!
//! [`ManifestFolder`] reads every `*.yaml` and `*.yml` below a folder, watches it, and implements the
//! ports that a cluster implements. What a file said last stays in force while it cannot be read, and
//! every [`Problem`] names file, line and remedy. Statuses go to a state folder, one JSON file for each
//! object; [`read_statuses`] and [`render`] show them to people. [`Manifests`] is a folder that is read once.

mod certificates;
mod cluster;
mod credentials;
mod file;
mod folder;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod instance;
mod journal;
mod list;
mod manifests;
mod news;
mod open_error;
mod orphans;
mod problem;
mod rotations;
mod session_key;
mod status;
mod store;
mod tree;
mod watch;
mod yaml;

pub use folder::ManifestFolder;
pub use instance::{InstanceError, instance_id, known_instance_id};
pub use manifests::Manifests;
pub use open_error::OpenError;
pub use orphans::{KeptOrphans, LoggedEvents};
pub use problem::Problem;
pub use rotations::Rotations;
pub use session_key::{SessionKeyError, kept_secret, session_key};
pub use status::{ObjectStatus, ShownCondition, read_statuses, render};
