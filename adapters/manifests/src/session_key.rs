//! What the keys of sessions are derived from, kept in the state folder, so that sessions outlast the program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::gateway::SessionKey;
use secrecy::{ExposeSecret, SecretString};

/// Name of the file in the state folder.
const FILE: &str = "session-key";

/// The longest file that is read. A key has 64 bytes and a line end.
const LONGEST: u64 = 80;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("state {}: {source}; name a folder that this user can read and write", path.display())]
pub struct SessionKeyError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// The key that the state folder holds. Where it holds none, one is made of these random bytes: sessions begin anew.
///
/// # Errors
/// The file cannot be read or made.
pub fn session_key(state: &Path, random: [u8; 32]) -> Result<SessionKey, SessionKeyError> {
    let path = state.join(FILE);
    let kept = read(&path);
    let made = kept.and_then(|kept| match kept {
        Some(key) => Ok(key),
        None => write(state, SessionKey::new(random)),
    });
    made.map_err(|source| SessionKeyError { path, source })
}

fn read(path: &Path) -> io::Result<Option<SessionKey>> {
    let mut digits = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut digits));
    match read {
        Ok(_) => Ok(SessionKey::from_hex(digits.trim())),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => Ok(None),
            _ => Err(error),
        },
    }
}

fn write(state: &Path, key: SessionKey) -> io::Result<SessionKey> {
    write_whole(state, FILE, key.to_hex().as_bytes())?;
    Ok(key)
}

/// Writes a file that only this user can read, whole or not at all: a program that ends meanwhile leaves no half of it.
fn write_whole(state: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(state)?;
    let beside = state.join(format!(".{name}"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, state.join(name))
}

/// A secret text of the state folder; where there is none, what `make` gives is kept.
///
/// # Errors
/// The file cannot be read or made.
pub fn kept_secret(
    state: &Path,
    name: &str,
    make: impl FnOnce() -> SecretString,
) -> io::Result<SecretString> {
    match fs::read_to_string(state.join(name)) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = make();
            write_whole(state, name, made.expose_secret().as_bytes())?;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_anew_where_the_file_holds_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let key = |random| session_key(&state, [random; 32]).unwrap();
        assert_eq!(key(1), SessionKey::new([1; 32]));
        assert_eq!(key(2), SessionKey::new([1; 32]));
        for wrong in [&b""[..], b"0f", b"\xff", &[b'x'; 1000]] {
            fs::write(state.join(FILE), wrong).unwrap();
            assert_eq!(key(3), SessionKey::new([3; 32]));
        }
        let file = fs::metadata(state.join(FILE)).unwrap();
        assert!(file.is_file());
        let unusable = folder.path().join("state/session-key");
        assert!(session_key(&unusable, [4; 32]).is_err());
    }
}
