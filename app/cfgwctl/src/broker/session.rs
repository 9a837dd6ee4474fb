//! Who is signed in where, in a file that its owner alone can read.

use std::path::{Path, PathBuf};

use adapter_broker::people::client::PeopleClient;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    pub(super) url: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) token: String,
}

impl Session {
    /// The file, unless one is named.
    ///
    /// # Errors
    /// There is no home folder.
    pub(super) fn file(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let own = || {
            let settings = variable("XDG_CONFIG_HOME").or_else(|| variable("APPDATA"));
            let settings = settings.or_else(|| Some(variable("HOME")?.join(".config")))?;
            Some(settings.join("cfgw").join("broker.json"))
        };
        named
            .or_else(own)
            .ok_or_else(|| Failure::new("there is no home folder", "name a file with --session"))
    }

    /// Reads who is signed in.
    ///
    /// # Errors
    /// Nobody is.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let remedy = "sign in first: cfgwctl broker sign-in <url>, with --name <name> or --oidc";
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|_| Failure::new("nobody is signed in at a broker", remedy))?;
        // Its message could repeat the token.
        serde_json::from_str(&text).map_err(|_| {
            let file = file.display();
            Failure::new(format!("{file}: must be as sign-in writes it"), remedy)
        })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self).unwrap_or_default();
        let folder = file.parent().unwrap_or(Path::new("."));
        let written = std::fs::create_dir_all(folder).and_then(|()| write_own(file, &text));
        written.map_err(|error| {
            let file = file.display();
            Failure::new(
                format!("{file}: {error}"),
                "name another file with --session",
            )
        })
    }

    /// A client with it.
    ///
    /// # Errors
    /// The address or the authorities cannot be used.
    pub(super) fn client(&self) -> Result<PeopleClient, Failure> {
        client(&self.url, self.ca_file.as_deref(), Some(&self.token))
    }
}

/// A client of a broker.
///
/// # Errors
/// The address or the authorities cannot be used.
pub(super) fn client(
    url: &str,
    ca_file: Option<&Path>,
    token: Option<&str>,
) -> Result<PeopleClient, Failure> {
    let client = PeopleClient::new(url, &roots(ca_file)?, token.map(SecretString::from));
    client.map_err(|error| Failure::new(error, ""))
}

/// The authorities that a file has, if one is named.
///
/// # Errors
/// It cannot be read.
pub(super) fn roots(file: Option<&Path>) -> Result<Vec<Vec<u8>>, Failure> {
    let read = |file: &Path| {
        std::fs::read(file)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display()), ""))
    };
    Ok(file.map(read).transpose()?.into_iter().collect())
}

/// Writes a file that its owner alone can read, from its beginning on.
#[cfg(unix)]
fn write_own(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = file.with_extension("new");
    drop(std::fs::remove_file(&new));
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    std::fs::rename(new, file)
}

#[cfg(not(unix))]
fn write_own(file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(file, text)
}
