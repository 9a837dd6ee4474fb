//! A PostgreSQL of one's own, on a Unix socket in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Debian's package `postgresql` puts the programs there.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// A server that ends with this value.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    server: Child,
}

impl Postgres {
    /// `None`, told, where there is no PostgreSQL. With CI set there must be one.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("NOT RUN: there is no PostgreSQL (apt-get install postgresql)");
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is missing");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        give_to_postgres(folder.path());
        let made = as_postgres(&programs.join("initdb"))
            .args(["--auth=trust", "--username=cfgw", "--no-sync", "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "initdb");
        let server = as_postgres(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { folder, server };
        this.wait();
        Some(this)
    }

    pub(crate) fn address(&self) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://cfgw@{socket}/postgres")
    }

    fn wait(&self) {
        let socket = self.folder.path().join(".s.PGSQL.5432");
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "PostgreSQL does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Whether it is still there does not matter: the folder goes.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(PROGRAMS).ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("postgres").exists())
        .collect();
    found.sort();
    found.pop()
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

fn give_to_postgres(folder: &Path) {
    if is_root() {
        let given = Command::new("chown")
            .args(["-R", "postgres:postgres"])
            .arg(folder)
            .status();
        assert!(given.unwrap().success(), "chown");
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}
