//! How much memory this process may hold, and how much it holds.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// The smallest limit that holds for this process: of its cgroup, of those around it, or the machine's memory. `None`
/// where none can be read.
pub fn limit_of_this_process() -> Option<usize> {
    limit(Path::new("/"))
}

/// The same below another root, for tests.
fn limit(root: &Path) -> Option<usize> {
    let machine = meminfo(root, "proc/meminfo", "MemTotal:");
    let cgroups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_cgroups = cgroups
        .lines()
        .filter_map(|line| limit_of_cgroup(root, line));
    of_cgroups.chain(machine).min()
}

/// Of one line of `/proc/self/cgroup`: `number:controllers:path`.
fn limit_of_cgroup(root: &Path, line: &str) -> Option<usize> {
    let mut fields = line.splitn(3, ':').skip(1);
    let controllers = fields.next()?;
    let path = fields.next()?;
    // Version 2 has one hierarchy, which names no controllers; where both versions are mounted it is `unified`.
    let (mounts, file): (&[&str], _) = if controllers.is_empty() {
        (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        (&["sys/fs/cgroup/memory"], "memory.limit_in_bytes")
    } else {
        return None;
    };
    let limits = mounts.iter().flat_map(|mount| {
        let mount = root.join(mount);
        upwards(path).filter_map(move |group| number(&mount.join(group).join(file)))
    });
    limits.min()
}

/// A cgroup and those around it. A container may see its own as the topmost one under another name, so that not every
/// path need exist.
fn upwards(path: &str) -> impl Iterator<Item = PathBuf> {
    let path = PathBuf::from(path.trim_start_matches('/'));
    let is_plain = |path: &PathBuf| {
        path.components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    let inner = Some(path).filter(is_plain).unwrap_or_default();
    let paths: Vec<_> = inner.ancestors().map(Path::to_path_buf).collect();
    paths.into_iter()
}

/// A limit; `max` is none.
fn number(file: &Path) -> Option<usize> {
    read_to_string(file).ok()?.trim().parse().ok()
}

/// Bytes of this process's memory that the kernel cannot take back.
pub(super) fn resident() -> Option<usize> {
    meminfo(Path::new("/"), "proc/self/status", "RssAnon:")
}

/// A line `Name:   123 kB`.
fn meminfo(root: &Path, file: &str, name: &str) -> Option<usize> {
    let text = read_to_string(root.join(file)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_smallest_limit_around_the_process_holds() {
        // What version 1 says where there is none.
        let v1_none = "9223372036854771712\n";
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<usize>);
        let cases: [Case<'_>; 12] = [
            ("nothing to read", "", &[], None),
            (
                "a machine without cgroups",
                "",
                &[("proc/meminfo", "MemTotal:  1024 kB\nMemFree: 1 kB\n")],
                Some(MIB),
            ),
            (
                "version 2",
                "0::/pod\n",
                &[("sys/fs/cgroup/pod/memory.max", "536870912\n")],
                Some(512 * MIB),
            ),
            (
                "version 2, no limit",
                "0::/pod\n",
                &[
                    ("sys/fs/cgroup/pod/memory.max", "max\n"),
                    ("proc/meminfo", "MemTotal: 2048 kB\n"),
                ],
                Some(2 * MIB),
            ),
            (
                "version 2, nested, the outer one smaller",
                "0::/outer/inner\n",
                &[
                    ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
                    ("sys/fs/cgroup/outer/memory.max", "1048576\n"),
                ],
                Some(MIB),
            ),
            (
                "version 2 in a container, its own cgroup on top",
                "0::/\n",
                &[("sys/fs/cgroup/memory.max", "1048576\n")],
                Some(MIB),
            ),
            (
                "version 2 beside version 1",
                "1:name=systemd:/\n0::/pod\n",
                &[("sys/fs/cgroup/unified/pod/memory.max", "1048576\n")],
                Some(MIB),
            ),
            (
                "version 1",
                "3:cpu,cpuacct:/x\n2:hugetlb,memory:/pod\n",
                &[(
                    "sys/fs/cgroup/memory/pod/memory.limit_in_bytes",
                    "1048576\n",
                )],
                Some(MIB),
            ),
            (
                "version 1, no limit",
                "2:memory:/\n",
                &[
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", v1_none),
                    ("proc/meminfo", "MemTotal: 1024 kB\n"),
                ],
                Some(MIB),
            ),
            (
                "version 1 in a container that sees the path of the machine",
                "2:memory:/kubepods/pod1/container1\n",
                &[("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n")],
                Some(MIB),
            ),
            (
                "a path outside of what is mounted",
                "0::/../../pod\n",
                &[("sys/fs/cgroup/memory.max", "1048576\n")],
                Some(MIB),
            ),
            (
                "a machine smaller than the limit",
                "0::/\n",
                &[
                    ("sys/fs/cgroup/memory.max", "1099511627776\n"),
                    ("proc/meminfo", "MemTotal: 1024 kB\n"),
                ],
                Some(MIB),
            ),
        ];
        for (given, cgroup, files, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files.iter().chain(&[("proc/self/cgroup", cgroup)]) {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(limit(root.path()), expected, "{given}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_something_and_has_a_limit() {
        assert!(resident().is_some_and(|bytes| bytes > 0));
        assert!(limit_of_this_process().is_some_and(|bytes| bytes > MIB));
    }
}
