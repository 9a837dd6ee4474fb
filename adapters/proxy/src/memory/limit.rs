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
    let (mounts, path) = hierarchy(line)?;
    let limit = |group: PathBuf| {
        let of_version_2 = number(&group.join("memory.max"));
        of_version_2.or_else(|| number(&group.join("memory.limit_in_bytes")))
    };
    let limits = mounts.iter().flat_map(|mount| {
        let mount = root.join(mount);
        upwards(path).filter_map(move |group| limit(mount.join(group)))
    });
    limits.min()
}

/// Where the hierarchy that holds memory may be mounted, and the path below; `None` for another one.
fn hierarchy(line: &str) -> Option<(&'static [&'static str], &str)> {
    let mut fields = line.splitn(3, ':').skip(1);
    let controllers = fields.next()?;
    let path = fields.next()?;
    // Version 2 has one hierarchy, which names no controllers; where both versions are mounted it is `unified`.
    if controllers.is_empty() {
        Some((&["sys/fs/cgroup", "sys/fs/cgroup/unified"], path))
    } else if controllers.split(',').any(|name| name == "memory") {
        Some((&["sys/fs/cgroup/memory"], path))
    } else {
        None
    }
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

/// A limit; `None` for `max`.
fn number(file: &Path) -> Option<usize> {
    read_to_string(file).ok()?.trim().parse().ok()
}

/// Bytes of this process's memory that the kernel cannot take back, with what its cgroup has in sockets. That counts in a
/// container too.
pub(super) fn held() -> Option<usize> {
    let resident = meminfo(Path::new("/"), "proc/self/status", "RssAnon:")?;
    Some(resident.saturating_add(in_sockets(Path::new("/")).unwrap_or(0)))
}

/// Bytes in the sockets of this process's cgroup, where it counts them.
fn in_sockets(root: &Path) -> Option<usize> {
    let cgroups = read_to_string(root.join("proc/self/cgroup")).ok()?;
    cgroups
        .lines()
        .find_map(|line| in_sockets_of_cgroup(root, line))
}

/// Of the innermost group that can be seen.
fn in_sockets_of_cgroup(root: &Path, line: &str) -> Option<usize> {
    let (mounts, path) = hierarchy(line)?;
    let groups = mounts.iter().flat_map(|mount| {
        let mount = root.join(mount);
        upwards(path).map(move |group| mount.join(group))
    });
    let of_group = |group: PathBuf| {
        number(&group.join("memory.kmem.tcp.usage_in_bytes")).or_else(|| {
            let stat = read_to_string(group.join("memory.stat")).ok()?;
            let line = stat.lines().find_map(|line| line.strip_prefix("sock "))?;
            line.trim().parse().ok()
        })
    };
    groups.into_iter().find_map(of_group)
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

    #[test]
    fn what_a_cgroup_has_in_sockets_is_known_where_it_counts_it() {
        let cases: [(&str, &str, &str, Option<usize>); 4] = [
            (
                "0::/pod\n",
                "sys/fs/cgroup/pod/memory.stat",
                "anon 5\nsock 7\n",
                Some(7),
            ),
            ("0::/\n", "sys/fs/cgroup/memory.stat", "anon 5\n", None),
            (
                "2:memory:/pod\n0::/\n",
                "sys/fs/cgroup/memory/pod/memory.kmem.tcp.usage_in_bytes",
                "7\n",
                Some(7),
            ),
            (
                "2:cpu:/pod\n",
                "sys/fs/cgroup/memory/memory.stat",
                "sock 7\n",
                None,
            ),
        ];
        for (cgroup, file, text, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in [("proc/self/cgroup", cgroup), (file, text)] {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(in_sockets(root.path()), expected, "{cgroup} {file}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_something_and_has_a_limit() {
        assert!(held().is_some_and(|bytes| bytes > 0));
        assert!(limit_of_this_process().is_some_and(|bytes| bytes > MIB));
    }
}
