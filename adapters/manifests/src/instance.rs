//! Which of the installations of one name this is: an id that is made once and kept in the state folder.
//!
//! Beside the id stands the inode of the file that holds it. A file with another inode is a copy, in a folder that was
//! copied, and a program that runs there is another installation: two with one id would remove each other's records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use domain::InstanceId;

/// Name of the file in the state folder.
const FILE: &str = "instance-id";

/// The longest file that is read. An id has 36 bytes, an inode 20 at most.
const LONGEST: u64 = 64;

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("state {}: {source}; name a folder that this user can read and write", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file holds something else.
    #[error(
        "instance id {}: Invalid value: must be a UUID in lower case and the number of the inode; restore the file from a copy, or remove it: then this becomes another installation, which takes over what this one left once its tunnels have no connection", path.display()
    )]
    Malformed { path: PathBuf },
}

/// The id that the state folder holds. Where it holds none, or a copy of another folder's, one is made of these random
/// bytes. Programs that start at the same time on one folder that is no copy get the same.
///
/// # Errors
/// The file cannot be read or made, or holds no id.
pub fn instance_id(state: &Path, random: [u8; 32]) -> Result<InstanceId, InstanceError> {
    let path = state.join(FILE);
    let failed = |source| InstanceError::File {
        path: path.clone(),
        source,
    };
    match File::open(&path) {
        Ok(file) => match read(file, &path)? {
            FoundId::Own(id) => return Ok(id),
            FoundId::Copy(of) => {
                tracing::warn!(file = %path.display(), %of, "this state folder is a copy: it gets an instance id of its own");
                fs::remove_file(&path).map_err(failed)?;
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let id = made_of(random);
    let beside = state.join(format!(".{FILE}.{id}"));
    fs::create_dir_all(state).map_err(failed)?;
    write(&beside, id).map_err(failed)?;
    // Unlike a rename it replaces nothing.
    let linked = fs::hard_link(&beside, &path);
    fs::remove_file(&beside).map_err(failed)?;
    match linked {
        Ok(()) => {
            let folder = File::open(state).and_then(|folder| folder.sync_all());
            folder.map_err(failed)?;
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (FoundId::Own(id) | FoundId::Copy(id)) =
                read(File::open(&path).map_err(failed)?, &path)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The id that a state folder holds; `None` where a program that starts there makes one. Nothing is written.
///
/// # Errors
/// The file cannot be read, or holds no id.
pub fn known_instance_id(state: &Path) -> Result<Option<InstanceId>, InstanceError> {
    let path = state.join(FILE);
    match File::open(&path) {
        Ok(file) => match read(file, &path)? {
            FoundId::Own(id) => Ok(Some(id)),
            FoundId::Copy(_) => Ok(None),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InstanceError::File { path, source }),
    }
}

/// The id in a file, and whose it is.
enum FoundId {
    /// That of the folder which it is in.
    Own(InstanceId),
    /// That of the folder which it was copied from.
    Copy(InstanceId),
}

fn read(file: File, path: &Path) -> Result<FoundId, InstanceError> {
    let path = path.to_owned();
    let inode = match file.metadata() {
        Ok(metadata) => metadata.ino(),
        Err(source) => return Err(InstanceError::File { path, source }),
    };
    let mut text = String::new();
    match file.take(LONGEST).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(InstanceError::Malformed { path });
        }
        Err(source) => return Err(InstanceError::File { path, source }),
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let (id, written) = text.split_once(' ').unwrap_or((text, ""));
    match (InstanceId::parse(id), written.parse::<u64>()) {
        (Ok(id), Ok(written)) if written == inode => Ok(FoundId::Own(id)),
        (Ok(id), Ok(_)) => Ok(FoundId::Copy(id)),
        _ => Err(InstanceError::Malformed { path }),
    }
}

fn write(path: &Path, id: InstanceId) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let inode = file.metadata()?.ino();
    file.write_all(format!("{id} {inode}\n").as_bytes())?;
    file.sync_all()
}

/// A random UUID (RFC 9562, version 4).
fn made_of(random: [u8; 32]) -> InstanceId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&random[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    InstanceId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_id_is_made_once_and_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = instance_id(&state, [1; 32]).unwrap();
        assert_eq!(first.to_string(), "01010101-0101-4101-8101-010101010101");
        assert_eq!(instance_id(&state, [2; 32]).unwrap(), first);
        let files: Vec<_> = fs::read_dir(&state).unwrap().flatten().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let mode = files[0].metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn programs_that_start_together_on_one_folder_get_one_id() {
        let folder = tempfile::tempdir().unwrap();
        let ids: Vec<InstanceId> = std::thread::scope(|scope| {
            let state = folder.path();
            let started: Vec<_> = (0..8)
                .map(|n| scope.spawn(move || instance_id(state, [n; 32]).unwrap()))
                .collect();
            started.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_copied_folder_gets_an_id_of_its_own_and_a_moved_one_keeps_its() {
        let folder = tempfile::tempdir().unwrap();
        let [state, copy, moved] = ["state", "copy", "moved"].map(|name| folder.path().join(name));
        let first = instance_id(&state, [1; 32]).unwrap();
        fs::create_dir(&copy).unwrap();
        fs::copy(state.join(FILE), copy.join(FILE)).unwrap();
        let second = instance_id(&copy, [2; 32]).unwrap();
        assert_ne!(second, first);
        assert_eq!(instance_id(&copy, [3; 32]).unwrap(), second);
        fs::rename(&state, &moved).unwrap();
        assert_eq!(instance_id(&moved, [4; 32]).unwrap(), first);
    }

    #[test]
    fn a_file_that_holds_no_id_is_an_error_that_names_it_and_the_remedy() {
        let id = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
        for text in [
            "",
            "\n",
            "id",
            &id[1..],
            &id.to_uppercase(),
            &format!("{id}\n\n"),
            id,
            &format!("{id} -1"),
            &format!("{id} 1 "),
            &format!("{id} and more {id}"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(FILE);
            fs::write(&file, text).unwrap();
            let error = instance_id(folder.path(), [1; 32]).unwrap_err().to_string();
            for word in [&*file.display().to_string(), "must be a UUID", "remove it"] {
                assert!(error.contains(word), "{text:?}: {error}");
            }
            assert_eq!(fs::read_to_string(&file).unwrap(), text, "it stays");
        }
    }
}
