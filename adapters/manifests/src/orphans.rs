//! Of which Gateways all stays when they go: a file of the state folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::ObjectKey;
use domain::names::is_object_name;
use domain::ports::{Events, Orphans, PortError};
use domain::status::GatewayEvent;

use crate::store;

/// The file: a Gateway on each line, as `namespace/name`.
const FILE: &str = "orphans.txt";

/// [`Orphans`] in the state folder.
#[derive(Debug)]
pub struct KeptOrphans {
    path: PathBuf,
    turn: Mutex<()>,
}

impl KeptOrphans {
    /// In this state folder.
    pub fn new(state: &std::path::Path) -> Self {
        Self {
            path: state.join(FILE),
            turn: Mutex::default(),
        }
    }

    fn failed(&self, problem: &dyn std::fmt::Display) -> PortError {
        PortError::unavailable(format!("{}: {problem}", self.path.display()))
    }

    /// What cannot be read is not known to be empty.
    fn read(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            read => read.map_err(|error| self.failed(&error))?,
        };
        let gateway = |line: &str| {
            let (namespace, name) = line.trim().split_once('/')?;
            let is_one = is_object_name(namespace) && is_object_name(name);
            is_one.then(|| ObjectKey::new(namespace, name))
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let read = lines.map(|line| {
            gateway(line).ok_or_else(|| self.failed(&"a line is not namespace/name; correct it"))
        });
        read.collect()
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeSet<ObjectKey>) -> bool,
    ) -> Result<(), PortError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gateways = self.read()?;
        if !change(&mut gateways) {
            return Ok(());
        }
        let text: String = gateways
            .iter()
            .map(|gateway| format!("{gateway}\n"))
            .collect();
        let written = store::replace(&self.path, &text);
        let written = written.and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|error| self.failed(&error))
    }
}

#[async_trait]
impl Orphans for KeptOrphans {
    async fn all(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.read()
    }

    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.change(|gateways| gateways.insert(gateway.clone()))
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.change(|gateways| gateways.remove(gateway))
    }
}

/// Events as lines of the log: without Kubernetes there is nothing else that keeps them.
#[derive(Debug, Clone, Copy)]
pub struct LoggedEvents;

impl Events for LoggedEvents {
    fn tell(&self, gateway: &ObjectKey, event: &GatewayEvent) {
        tracing::warn!(%gateway, reason = event.reason.as_str(), "{}", event.message);
    }
}
