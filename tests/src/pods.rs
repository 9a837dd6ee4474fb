//! Processes of pods, as the node sees them from inside the cluster.

use std::path::PathBuf;

/// A process of a pod.
#[derive(Debug, Clone)]
pub struct PodProcess {
    /// The pod's name, which is the host name of its processes.
    pub pod: String,
    folder: PathBuf,
}

/// Memory of a process, in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident now.
    pub now: f64,
    /// Most that was resident since its start.
    pub peak: f64,
}

/// Processes of pods whose names begin so.
pub fn processes_of(prefix: &str) -> Vec<PodProcess> {
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let processes = entries.filter_map(|entry| {
        let folder = entry.path();
        let environment = std::fs::read(folder.join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let pod = variables.find_map(|variable| variable.strip_prefix(b"HOSTNAME="))?;
        let pod = String::from_utf8_lossy(pod).into_owned();
        pod.starts_with(prefix)
            .then_some(PodProcess { pod, folder })
    });
    processes.collect()
}

impl PodProcess {
    /// Its memory; zero once it is gone.
    pub fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(self.folder.join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib / 1024.0)
        };
        Memory {
            now: field("VmRSS:").unwrap_or_default(),
            peak: field("VmHWM:").unwrap_or_default(),
        }
    }

    /// Established TCP connections of its pod to this port, by `/proc/<id>/net`, which is that of its network namespace.
    pub fn connections_to(&self, port: u16) -> usize {
        let established = |file: &str| {
            let table = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
            let lines = table.lines().skip(1);
            let is_one = |line: &&str| {
                let fields: Vec<_> = line.split_whitespace().take(4).collect();
                let [_, _, remote, state] = fields[..] else {
                    return false;
                };
                state == "01" && remote.ends_with(&format!(":{port:04X}"))
            };
            lines.filter(is_one).count()
        };
        established("net/tcp") + established("net/tcp6")
    }
}
