//! How far the rotations of tokens are: a file of the state folder for each Gateway.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use domain::ObjectKey;
use domain::names::is_object_name;
use domain::ports::{PortError, RotationStore};
use domain::rotation::RotationState;

use crate::store;

/// Folder within the state folder.
const FOLDER: &str = "rotations";

/// [`RotationStore`] in the state folder.
#[derive(Debug, Clone)]
pub struct Rotations {
    state: PathBuf,
}

impl Rotations {
    /// In this state folder.
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    fn path(&self, gateway: &ObjectKey) -> Result<PathBuf, PortError> {
        let ObjectKey { namespace, name } = gateway;
        if !is_object_name(namespace) || !is_object_name(name) {
            let message = format!("Gateway {gateway:?} is not the name of a file");
            return Err(PortError::unavailable(message));
        }
        let folder = self.state.join(FOLDER).join(namespace.as_str());
        Ok(folder.join(format!("{name}.json")))
    }
}

fn failed(path: &std::path::Path, error: &io::Error) -> PortError {
    PortError::unavailable(format!("{}: {error}", path.display()))
}

#[async_trait]
impl RotationStore for Rotations {
    async fn load(&self, gateway: &ObjectKey) -> Result<Option<RotationState>, PortError> {
        let path = self.path(gateway)?;
        match fs::read_to_string(&path) {
            // A file that somebody broke is as good as lost.
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    async fn save(&self, gateway: &ObjectKey, state: &RotationState) -> Result<(), PortError> {
        let path = self.path(gateway)?;
        let text = serde_json::to_string(state).expect("a state has only texts and numbers");
        let written = store::replace(&path, &text).and_then(|()| File::open(&path)?.sync_all());
        written.map_err(|error| failed(&path, &error))
    }

    async fn forget(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let path = self.path(gateway)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, &error)),
            _ => Ok(()),
        }
    }
}
