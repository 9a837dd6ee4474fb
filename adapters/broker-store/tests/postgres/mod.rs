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
        by_socket(self.folder.path(), self.port)
    }

    /// Makes another server of this one that has every transaction before it is answered, and goes on as a standby.
    pub(crate) fn standby(&self) -> Self {
        let programs = programs().expect("it was there");
        let folder = tempfile::tempdir().unwrap();
        give_to_postgres(folder.path());
        let copied = as_postgres(&programs.join("pg_basebackup"))
            .args(["--pgdata=data", "--write-recovery-conf", "--no-sync"])
            .args([
                "--checkpoint=fast",
                "--wal-method=stream",
                "--username",
                USER,
            ])
            .args(["--port", &self.port.to_string(), "--host"])
            .arg(self.folder.path())
            .current_dir(folder.path())
            .status();
        assert!(copied.unwrap().success(), "pg_basebackup");
        // The port names the socket, so that a link to it can have the same name whichever server it leads to.
        let server = Mutex::new(serve(folder.path(), self.port, &self.settings));
        let this = Self {
            folder,
            port: self.port,
            settings: self.settings.clone(),
            server,
        };
        this.wait();
        self.command("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.command("SELECT pg_reload_conf()");
        let began = Instant::now();
        while self.command("SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(began.elapsed() < Duration::from_secs(30), "no standby");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    /// Kills all of its processes at once.
    pub(crate) fn kill(&self) {
        let mut server = self.server.lock().unwrap();
        // The processes of its connections go on without it otherwise, until they see that it is gone.
        let children = format!("/proc/{0}/task/{0}/children", server.id());
        let children = std::fs::read_to_string(children).unwrap();
        server.kill().unwrap();
        let mut told = Command::new("kill");
        told.arg("-KILL").args(children.split_whitespace());
        // Some of them may be gone already.
        drop(told.output());
        server.wait().unwrap();
    }

    /// A standby becomes a server that takes writes.
    pub(crate) fn promote(&self) {
        self.command("ALTER SYSTEM SET synchronous_standby_names = ''");
        let promoted = self.command("SELECT pg_promote()");
        assert_eq!(promoted, "t");
    }

    fn command(&self, statement: &str) -> String {
        let programs = programs().expect("it was there");
        let output = Command::new(programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--username",
                USER,
            ])
            .args([
                "--port",
                &self.port.to_string(),
                "--dbname=postgres",
                "--host",
            ])
            .arg(self.folder.path())
            .args(["--command", statement])
            .output()
            .unwrap();
        assert!(output.status.success(), "{statement}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
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

/// A name that leads to one server, and later to another one of the same port.
pub(crate) struct Name {
    folder: tempfile::TempDir,
    port: u16,
}

impl Name {
    /// It leads to this one.
    pub(crate) fn of(server: &Postgres) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self {
            folder,
            port: server.port,
        };
        this.lead_to(server);
        this
    }

    /// From now on it leads there.
    pub(crate) fn lead_to(&self, server: &Postgres) {
        let name = format!(".s.PGSQL.{}", self.port);
        let new = self.folder.path().join("new");
        std::os::unix::fs::symlink(server.folder.path().join(&name), &new).unwrap();
        std::fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    pub(crate) fn address(&self) -> String {
        by_socket(self.folder.path(), self.port)
    }
}

fn by_socket(folder: &Path, port: u16) -> String {
    let socket = folder.display().to_string().replace('/', "%2F");
    format!("postgres://{USER}@{socket}:{port}/postgres")
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
