//! A PostgreSQL of one's own, on a Unix socket in a temporary folder.

#![allow(dead_code, reason = "not every program that has it uses all of it")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Debian's package `postgresql` puts the programs there.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// A server that ends with this value.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    server: Mutex<Child>,
}

/// The user of every server here, who may do everything.
const USER: &str = "cfgw";

impl Postgres {
    /// `None`, told, where there is no PostgreSQL. With CI set there must be one.
    pub(crate) fn start() -> Option<Self> {
        Self::run(&["--auth=trust"], &[], |_| {})
    }

    /// One that asks for a password, over TLS on a port of this machine, and the file of its authority.
    pub(crate) fn with_password(password: &str) -> Option<(Self, PathBuf)> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let authority = |folder: &Path| folder.join("server.crt");
        let write = |folder: &Path| {
            std::fs::write(folder.join("password"), password).unwrap();
            std::fs::write(authority(folder), made.cert.pem()).unwrap();
            let key = folder.join("server.key");
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(key, owner_only).unwrap();
        };
        let with_tls = [
            "ssl=on",
            "ssl_cert_file=../server.crt",
            "ssl_key_file=../server.key",
            "listen_addresses=127.0.0.1",
        ];
        let asked = ["--auth=scram-sha-256", "--pwfile=password"];
        let server = Self::run(&asked, &with_tls, write)?;
        let authority = authority(server.folder.path());
        Some((server, authority))
    }

    fn run(made: &[&str], settings: &[&str], write: impl Fn(&Path)) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("NOT RUN: there is no PostgreSQL (apt-get install postgresql)");
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is missing");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        write(folder.path());
        give_to_postgres(folder.path());
        let made = as_postgres(&programs.join("initdb"))
            .args(["--no-sync", "--pgdata=data", "--username", USER])
            .args(made)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "initdb");
        let port = free_port();
        let mut all = vec!["listen_addresses=".to_owned(), "fsync=off".to_owned()];
        all.push("max_connections=300".to_owned());
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let server = Mutex::new(serve(folder.path(), port, &all));
        let this = Self {
            folder,
            port,
            settings: all,
            server,
        };
        this.wait();
        Some(this)
    }

    /// Ends it at once, whatever is under way, and starts it again on what is on the disk.
    pub(crate) fn crash(&self) {
        let mut server = self.server.lock().unwrap();
        // SIGQUIT is PostgreSQL's immediate shutdown: nothing is finished, and the next start recovers from the log.
        let id = server.id().to_string();
        let told = Command::new("kill").args(["-QUIT", &id]).status();
        assert!(told.unwrap().success(), "kill");
        server.wait().unwrap();
        *server = serve(self.folder.path(), self.port, &self.settings);
        drop(server);
        self.wait();
    }

    /// By its socket.
    pub(crate) fn address(&self) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{socket}:{}/postgres", self.port)
    }

    /// By its port.
    pub(crate) fn port_address(&self) -> String {
        format!("postgres://{USER}@localhost:{}/postgres", self.port)
    }

    fn wait(&self) {
        let programs = programs().expect("it was there");
        let began = Instant::now();
        loop {
            let ready = Command::new(programs.join("pg_isready"))
                .args(["--quiet", "--port", &self.port.to_string(), "--host"])
                .arg(self.folder.path())
                .status();
            if ready.unwrap().success() {
                return;
            }
            let said = std::fs::read_to_string(self.folder.path().join("log"));
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "PostgreSQL does not start: {}",
                said.unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Whether it is still there does not matter: the folder goes.
        let server = self.server.get_mut().unwrap();
        drop(server.kill());
        drop(server.wait());
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn serve(folder: &Path, port: u16, settings: &[String]) -> Child {
    let programs = programs().expect("it was there");
    as_postgres(&programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-p", &port.to_string()])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
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
