//! A cgroup with a limit of memory, of version 1 or 2, for one program: the kernel ends it where
//! it takes more, and other programs keep theirs.

use std::fs::{read_to_string, write};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A cgroup. It is removed when it is dropped, which needs its processes to have ended.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    files: &'static Files,
}

/// The file names of one version.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    peak: &'static str,
    /// Where what is in sockets counts apart: its limit and its peak.
    sockets: Option<(&'static str, &'static str)>,
    /// Has a line `oom_kill <number>`.
    kills: &'static str,
}

static VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    sockets: Some((
        "memory.kmem.tcp.limit_in_bytes",
        "memory.kmem.tcp.max_usage_in_bytes",
    )),
    kills: "memory.oom_control",
};

static VERSION_2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    peak: "memory.peak",
    sockets: None,
    kills: "memory.events",
};

/// Groups that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

impl MemoryGroup {
    /// A group of at most `limit` bytes.
    ///
    /// # Errors
    /// Why none can be made here: most often because this user is not root.
    pub fn of(limit: u64) -> Result<Self, String> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("cfgw-test-{}-{number}", std::process::id());
        let mut problems = Vec::new();
        for (parent, files) in parents() {
            match Self::below(&parent, &name, files, limit) {
                Ok(group) => return Ok(group),
                Err(error) => problems.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(format!("no memory cgroup: [{}]", problems.join("; ")))
    }

    fn below(parent: &Path, name: &str, files: &'static Files, limit: u64) -> io::Result<Self> {
        if std::ptr::eq(files, &VERSION_2) {
            // It may be given to children already, or fail below with the limit's file.
            let _ = write(parent.join("cgroup.subtree_control"), "+memory");
        }
        let folder = parent.join(name);
        std::fs::create_dir(&folder)?;
        let group = Self { folder, files };
        write(group.folder.join(files.limit), limit.to_string())?;
        if let Some((sockets, _)) = files.sockets {
            write(group.folder.join(sockets), limit.to_string())?;
        }
        Ok(group)
    }

    /// The file to which a process writes its id to enter.
    pub fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Bytes that it holds now: of processes, of files that they read, of the kernel for them.
    pub fn usage(&self) -> u64 {
        self.number(self.files.usage)
    }

    /// Bytes that it has held at most, what is in sockets included.
    pub fn peak(&self) -> u64 {
        let sockets = self.files.sockets.map_or(0, |(_, peak)| self.number(peak));
        self.number(self.files.peak) + sockets
    }

    /// Processes in it that the kernel has ended for want of memory.
    pub fn kills(&self) -> u64 {
        let text = self.read(self.files.kills);
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|number| number.trim().parse().ok())
            .expect("the kernel counts what it ends")
    }

    fn number(&self, file: &str) -> u64 {
        self.read(file).trim().parse().expect("a number of bytes")
    }

    fn read(&self, file: &str) -> String {
        read_to_string(self.folder.join(file)).expect("a file of the group")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that was killed a moment ago may still be there.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Where a group may be made: in that of this process, else on top.
fn parents() -> Vec<(PathBuf, &'static Files)> {
    let own = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut parents = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (mount, files) = match controllers {
            "" => ("/sys/fs/cgroup", &VERSION_2),
            other if other.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", &VERSION_1)
            }
            _ => continue,
        };
        let mount = PathBuf::from(mount);
        // Of version 2, only a group without processes may have groups with a limit, the topmost excepted.
        parents.push((mount.join(path.trim_start_matches('/')), files));
        parents.push((mount, files));
    }
    parents
}
