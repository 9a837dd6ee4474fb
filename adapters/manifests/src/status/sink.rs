//! One file for each object that is reported on.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_gateway_api::Kind;
use adapter_gateway_api::status::{kind_of, status};
use domain::ObjectRef;
use domain::names::is_object_name;
use domain::ports::PortError;
use domain::status::StatusUpdate;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{folder, kinds};
use crate::store;

/// The state folder, as far as it holds statuses.
#[derive(Debug)]
pub(crate) struct StatusFolder {
    state: PathBuf,
    turn: Arc<Mutex<()>>,
}

/// Writing all statuses once, some after the other.
#[derive(Debug)]
pub(crate) struct StatusRound {
    /// One round at a time, also after its caller has gone.
    _turn: OwnedMutexGuard<()>,
    /// The time of every transition that is found.
    now: String,
    /// Files of the objects reported on so far, and of those that are left out.
    kept: BTreeSet<PathBuf>,
    /// What failed so far; one failure does not stop the others.
    failures: Vec<String>,
}

impl StatusFolder {
    pub(crate) fn new(state: PathBuf) -> Self {
        Self {
            state,
            turn: Arc::default(),
        }
    }

    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Begins to write these updates. Objects that are present and not among them keep their files.
    pub(crate) fn begin(
        &self,
        turn: OwnedMutexGuard<()>,
        updates: &[StatusUpdate],
        present: &BTreeSet<Arc<ObjectRef>>,
    ) -> StatusRound {
        let now = jiff::Timestamp::now();
        let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
        StatusRound {
            _turn: turn,
            now: now.to_string(),
            kept: self.left_out(updates, present),
            failures: Vec::new(),
        }
    }

    /// Writes what differs from what is there.
    pub(crate) fn write(&self, updates: &[StatusUpdate], mut round: StatusRound) -> StatusRound {
        for update in updates.iter().filter(|update| !update.parts.is_empty()) {
            let Some(path) = path(&self.state, &update.object) else {
                let ObjectRef { kind, key, .. } = &update.object;
                let failure = format!("{kind} {:?} is not the name of a file", key.to_string());
                round.failures.push(failure);
                continue;
            };
            if let Err(error) = write_one(&path, update, &round.now) {
                round.failures.push(format!("{}: {error}", path.display()));
            }
            round.kept.insert(path);
        }
        round
    }

    /// Removes the files of objects that were neither among the updates nor present, and returns what failed.
    pub(crate) fn finish(&self, mut round: StatusRound) -> Result<(), PortError> {
        for kind in kinds() {
            let folder = self.state.join(folder(kind));
            if let Err(error) = sweep(&folder, &round.kept) {
                round
                    .failures
                    .push(format!("{}: {error}", folder.display()));
            }
        }
        match round.failures.is_empty() {
            true => Ok(()),
            false => Err(PortError::unavailable(format!(
                "statuses: {}",
                round.failures.join("; ")
            ))),
        }
    }

    /// Where the statuses of present objects are that no update is about: nothing changes there.
    fn left_out(
        &self,
        updates: &[StatusUpdate],
        present: &BTreeSet<Arc<ObjectRef>>,
    ) -> BTreeSet<PathBuf> {
        let about: BTreeSet<&ObjectRef> = updates.iter().map(|update| &update.object).collect();
        let present = present.iter().map(|object| &**object);
        let left_out = present.filter(|object| !about.contains(object));
        let of_gateway = |object: &ObjectRef| {
            let is_gateway = Kind::Gateway.has(object);
            is_gateway.then(|| Kind::GatewayStatus.reference(object.key.clone()))
        };
        left_out
            .flat_map(|object| [Some(object.clone()), of_gateway(object)])
            .filter_map(|object| path(&self.state, &object?))
            .collect()
    }
}

fn write_one(path: &Path, update: &StatusUpdate, now: &str) -> io::Result<()> {
    let there = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A broken file is written anew.
    let earlier: Value = there
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let text = format!("{:#}\n", document(update, &earlier["status"], now));
    if there.as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    store::replace(path, &text)
}

fn document(update: &StatusUpdate, earlier: &Value, now: &str) -> Value {
    let ObjectRef { kind, key, .. } = &update.object;
    let metadata = match key.namespace.is_empty() {
        true => json!({ "name": key.name }),
        false => json!({ "namespace": key.namespace, "name": key.name }),
    };
    json!({
        "apiVersion": kind_of(update).api_version(),
        "kind": kind,
        "metadata": metadata,
        "status": status(update, earlier, now),
    })
}

/// Where a status goes; `None` for a kind without one, and for a name that is not one plain component of a path.
fn path(state: &Path, object: &ObjectRef) -> Option<PathBuf> {
    let kind = Kind::of_object(object).filter(|kind| kind.status().is_some())?;
    let key = &object.key;
    let mut path = state.join(folder(kind));
    if !key.namespace.is_empty() {
        path.push(Some(&key.namespace).filter(|name| is_object_name(name))?);
    }
    let name = Some(&key.name).filter(|name| is_object_name(name))?;
    Some(path.join(format!("{name}.json")))
}

/// Removes status files below a folder that are not reported, and folders that are empty then. What is
/// no status file is not ours.
fn sweep(folder: &Path, reported: &BTreeSet<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            sweep(&path, reported)?;
            // Fails where something is left in it.
            let _ = fs::remove_dir(&path);
        } else if is_status_file(&path) && !reported.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a file is a status, or one that was not finished.
fn is_status_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(".json") || name.ends_with(".json.new"))
}
