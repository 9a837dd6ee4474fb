//! `cfgw` as a process of its own: what is killed, drained or weighed must not share the test's process.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::memory_group::MemoryGroup;

/// The built `cfgw`; built on first use, with the features of the whole workspace, so that it is linked and no more.
/// `CFGW_PROFILE` names another profile than `dev`.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let metadata = cargo_metadata::MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .no_deps()
            .exec()
            .expect("cargo metadata of this workspace");
        let profile = std::env::var("CFGW_PROFILE").unwrap_or_else(|_| "dev".to_owned());
        let folder = if profile == "dev" { "debug" } else { &profile };
        let status = std::process::Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bin", "cfgw"])
            .args(["--profile", &profile])
            .status()
            .expect("cargo runs");
        assert!(status.success(), "cfgw does not build");
        metadata.target_directory.join(folder).join("cfgw").into()
    })
}

/// A running `cfgw`; killed when dropped. What it logs goes to a file, whose end is shown where
/// the test fails.
pub struct Cfgw {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

/// Bytes of a log that are shown where a test fails.
const SHOWN: usize = 16 << 10;

impl Drop for Cfgw {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(SHOWN);
            let end = String::from_utf8_lossy(&log.as_bytes()[from..]).into_owned();
            eprintln!("--- end of {}\n{end}---", self.log.display());
        }
    }
}

impl Cfgw {
    /// Starts `cfgw standalone` with settings in the environment (`CFGW_…`) and nothing else of this
    /// process's own. What it prints is added to the file `log`.
    pub fn standalone(environment: &[(String, String)], log: PathBuf) -> Self {
        let command = Command::new(binary());
        Self::start(command, &["standalone"], environment, log)
    }

    /// The same in a cgroup. The program enters it before it starts.
    pub fn standalone_in(
        group: &MemoryGroup,
        environment: &[(String, String)],
        log: PathBuf,
    ) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(group.entrance())
            .arg(binary());
        Self::start(shell, &["standalone"], environment, log)
    }

    /// Starts `cfgw broker` with a settings file; its log is in the same folder.
    pub fn broker(settings: &Path, listen: SocketAddr, environment: &[(String, String)]) -> Self {
        let log = settings.with_extension("log");
        let settings = settings.display().to_string();
        let listen = listen.to_string();
        let arguments = ["broker", "--config", &settings, "--listen", &listen];
        // With core dumps, as far as they are permitted here: that it leaves none is its own doing.
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$@\"", "sh"])
            .arg(binary());
        Self::start(shell, &arguments, environment, log)
    }

    fn start(
        mut command: Command,
        arguments: &[&str],
        environment: &[(String, String)],
        log: PathBuf,
    ) -> Self {
        let admin = free_address();
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a file for the log");
        let child = command
            .args(arguments)
            .args(["--admin", &admin.to_string()])
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(stderr.try_clone().expect("a second handle of a file"))
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("cfgw starts");
        Self { child, admin, log }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child can be asked");
        ended.is_none()
    }

    /// Its environment and its command line, as the system shows them.
    pub fn environment_and_arguments(&self) -> String {
        let id = self.child.id().expect("it still runs");
        let read = |file| std::fs::read(format!("/proc/{id}/{file}")).expect("Linux has /proc");
        let bytes = [read("environ"), read("cmdline")].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self, within: Duration) {
        let deadline = Instant::now() + within;
        loop {
            let last = match reqwest::get(format!("http://{}/readyz", self.admin)).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            assert!(
                Instant::now() < deadline,
                "not ready within {within:?}: {last}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it has logged so far, with everything else that it printed.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends SIGTERM.
    pub async fn terminate(&self) {
        self.send("-TERM").await;
    }

    /// Sends a signal, such as `-ABRT`.
    pub async fn send(&self, signal: &str) {
        let id = self.child.id().expect("it still runs").to_string();
        let status = Command::new("kill")
            .args([signal, &id])
            .status()
            .await
            .expect("kill runs");
        assert!(status.success(), "{signal} could not be sent");
    }

    /// A file that the system has of it, such as `limits`.
    pub fn file(&self, name: &str) -> String {
        let id = self.child.id().expect("it still runs");
        std::fs::read_to_string(format!("/proc/{id}/{name}")).expect("Linux has /proc")
    }

    /// Kills it at once, as a machine that fails would.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Waits for its end; `true` if it ended without an error.
    pub async fn ended(&mut self, within: Duration) -> bool {
        let status = tokio::time::timeout(within, self.child.wait()).await;
        status
            .unwrap_or_else(|_| panic!("still running after {within:?}"))
            .expect("a child can be waited for")
            .success()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let id = self.child.id().expect("it still runs");
        let status =
            std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux has /proc");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a running process has memory");
        let kilobytes: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number of kB");
        kilobytes * 1024
    }

    /// Text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.admin))
            .await
            .expect("metrics are served");
        answer.text().await.expect("metrics are text")
    }
}

/// What `cfgw` with these arguments prints; it must succeed.
pub async fn output(arguments: &[&str]) -> String {
    output_with(arguments, &[]).await
}

/// The same with an environment.
pub async fn output_with(arguments: &[&str], environment: &[(String, String)]) -> String {
    let output = Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .output()
        .await
        .expect("cfgw starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// An address of 127.0.0.1 that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
}
