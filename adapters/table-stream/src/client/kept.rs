//! The last table in a file, for a process that starts while the controller is away.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::names::ObjectKey;
use domain::route_table::RouteTable;
use serde::{Deserialize, Serialize};

use crate::wire::{FORMAT, Version};

/// What is served now; without a table after a withdrawal.
#[derive(Debug, Clone)]
pub(super) struct HeldTable {
    pub(super) version: Version,
    pub(super) table: Option<Arc<RouteTable>>,
}

const FILE: &str = "route-table.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    format: u32,
    pub(super) gateway: ObjectKey,
    pub(super) version: Version,
    /// None after a withdrawal: the version counts all the same.
    pub(super) table: Option<Arc<RouteTable>>,
}

impl Kept {
    pub(super) fn new(gateway: ObjectKey, held: HeldTable) -> Self {
        Self {
            format: FORMAT,
            gateway,
            version: held.version,
            table: held.table,
        }
    }
}

/// Why a kept table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    #[error("{file}: {source}")]
    File { file: PathBuf, source: io::Error },
    #[error("{0} is of another format, probably that of another release")]
    Format(PathBuf),
    #[error("{0} cannot be read as a route table: {1}")]
    Malformed(PathBuf, serde_json::Error),
}

/// What was kept in this folder; `None` where nothing was.
pub(super) async fn read(folder: &Path) -> Result<Option<Kept>, KeptError> {
    let file = folder.join(FILE);
    in_background(move || read_file(file)).await
}

fn read_file(file: PathBuf) -> Result<Option<Kept>, KeptError> {
    #[derive(Deserialize)]
    struct Stamp {
        format: u32,
    }
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeptError::File { file, source }),
    };
    match serde_json::from_slice::<Stamp>(&bytes) {
        Ok(Stamp { format: FORMAT }) => {}
        Ok(_) => return Err(KeptError::Format(file)),
        Err(error) => return Err(KeptError::Malformed(file, error)),
    }
    let kept = serde_json::from_slice(&bytes);
    kept.map(Some)
        .map_err(|error| KeptError::Malformed(file, error))
}

/// Replaces what was kept, or fails and leaves it.
pub(super) async fn write(folder: &Path, kept: Kept) -> Result<(), KeptError> {
    let folder = folder.to_owned();
    in_background(move || {
        let file = folder.join(FILE);
        replace(&folder, &file, &kept).map_err(|source| KeptError::File { file, source })
    })
    .await
}

/// Writes beside it, then renames: the file is never half of anything.
fn replace(folder: &Path, file: &Path, kept: &Kept) -> io::Result<()> {
    let beside = file.with_extension("new");
    let mut writer = BufWriter::new(File::create(&beside)?);
    serde_json::to_writer(&mut writer, kept)?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    fs::rename(&beside, file)?;
    File::open(folder)?.sync_all()
}

async fn in_background<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, KeptError> + Send + 'static,
) -> Result<T, KeptError> {
    tokio::task::spawn_blocking(act)
        .await
        .expect("reading and writing files does not panic")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kept(counter: u64) -> Kept {
        let gateway = ObjectKey::new("infra", "web");
        let table = RouteTable {
            client_validation: Vec::new(),
            gateway: gateway.clone(),
            listeners: Vec::new(),
            upstreams: BTreeMap::new(),
        };
        let version = Version { term: 1, counter };
        let table = Some(Arc::new(table));
        Kept::new(gateway, HeldTable { version, table })
    }

    #[tokio::test]
    async fn what_was_kept_last_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).await.unwrap(), None);
        for counter in [1, 2] {
            write(folder.path(), kept(counter)).await.unwrap();
        }
        assert_eq!(read(folder.path()).await.unwrap(), Some(kept(2)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_write_that_stopped_halfway_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), kept(1)).await.unwrap();
        fs::write(folder.path().join("route-table.new"), "{\"for").unwrap();
        assert_eq!(read(folder.path()).await.unwrap(), Some(kept(1)));
    }

    #[tokio::test]
    async fn a_file_of_another_format_or_none_at_all_is_told_from_a_table() {
        let folder = tempfile::tempdir().unwrap();
        for (given, then) in [
            (r#"{"format":9,"routes":[]}"#, "another format"),
            (
                &format!(r#"{{"format":{FORMAT},"routes":[]}}"#),
                "cannot be read",
            ),
            ("", "cannot be read"),
        ] {
            fs::write(folder.path().join(FILE), given).unwrap();
            let error = read(folder.path()).await.unwrap_err().to_string();
            assert!(error.contains(then), "{given}: {error}");
        }
    }
}
