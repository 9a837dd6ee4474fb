//! Programs under test, and what the kernel says they used.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// Unit of the times in `/proc/<pid>/stat`: Linux shows them in hundredths of a second on every platform.
const TICK: Duration = Duration::from_millis(10);

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Held open: some programs end with their input.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let out = File::create(&log)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub(crate) fn printed(&self) -> anyhow::Result<String> {
        let mut text = Vec::new();
        File::open(&self.log)?.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Ends its input and waits for its own end.
    pub(crate) fn finish(mut self, within: Duration) -> anyhow::Result<()> {
        self.stdin = None;
        let deadline = Instant::now() + within;
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "it did not end by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Time on a processor so far, in user and kernel mode, all threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        // The name in parentheses may hold anything; times are the 12th and 13th field after it.
        let fields = stat.rsplit_once(") ").context("stat")?.1;
        let ticks: Result<Vec<u32>, _> =
            fields.split(' ').skip(11).take(2).map(str::parse).collect();
        Ok(TICK * ticks?.iter().sum::<u32>())
    }

    /// Memory in use, in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let status = self.read("status")?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .context("VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.id()))
            .with_context(|| format!("it ended; its last words are in {}", self.log.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that nobody uses just now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The program's file, if it is there: as given, else on the PATH or where servers are installed.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
