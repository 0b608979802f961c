//! The machine the process runs on, as far as settings depend on it.

use std::path::Path;

use tidemark_query::Config;

use crate::config::Connections;

/// Descriptors that connections leave to the log, the store and its files.
const FILES_KEPT: usize = 256;
/// Where the control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// Fits the connections of the three ports to the descriptors that the process may open: connections that take the last
/// ones would make flushes fail.
pub(crate) fn fitted_connections(connections: Connections) -> Connections {
    let Some(files) = open_files_max(Of::Myself) else { return connections };
    let max = connections.max.min((files.saturating_sub(FILES_KEPT) / 3).max(1));
    if max < connections.max {
        tracing::warn!(
            files,
            max,
            wanted = connections.max,
            "fewer connections than set: raise the limit of open files"
        );
    }
    Connections { max, ..connections }
}

/// Whose limits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// This process.
    Myself,
    /// Another of this machine.
    Process(u32),
}

impl Of {
    /// What Linux tells of it.
    fn read(self, file: &str) -> Option<String> {
        let path = match self {
            Self::Myself => format!("/proc/self/{file}"),
            Self::Process(pid) => format!("/proc/{pid}/{file}"),
        };
        std::fs::read_to_string(path).ok()
    }
}

/// How many files the process may have open; unknown where Linux does not tell.
pub(crate) fn open_files_max(of: Of) -> Option<usize> {
    of.read("limits").as_deref().and_then(files_of)
}

/// How many it has open; unknown of a process that belongs to somebody else.
pub(crate) fn open_files(of: Of) -> Option<usize> {
    let Of::Process(pid) = of else { return None };
    std::fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count)
}

fn files_of(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fits the query room to the machine: all queries together take at most half of its memory, one query at most that.
pub(crate) fn fitted(config: Config) -> Config {
    let Some(memory) = memory_bytes(Of::Myself) else { return config };
    let pool = config.pool_memory_bytes.min(memory / 2);
    Config { pool_memory_bytes: pool, query_memory_bytes: config.query_memory_bytes.min(pool), ..config }
}

/// The smaller of what the machine has and what its control groups let the process use (a container, `MemoryMax=` of a
/// unit); unknown where Linux does not tell.
pub(crate) fn memory_bytes(of: Of) -> Option<usize> {
    let total = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total_of);
    let limit = of.read("cgroup").and_then(|groups| limit_of(Path::new(GROUPS), &groups));
    [total, limit].into_iter().flatten().min()
}

/// The smallest limit of a control group and all above it, of version 2 (`0::/path`) and of version 1 (`n:memory:/path`). A
/// container sees its own group as the root, whatever path it is told.
fn limit_of(root: &Path, groups: &str) -> Option<usize> {
    let told = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_memory = controllers.split(',').any(|one| one == "memory");
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if is_memory => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let relative = Path::new(path.trim_start_matches('/'));
        let above = relative.ancestors().chain([Path::new("")]);
        above.filter_map(|group| std::fs::read_to_string(mount.join(group).join(file)).ok()?.trim().parse().ok()).min()
    };
    groups.lines().filter_map(told).min()
}

fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_files() {
        let line = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(files_of(line), Some(1024));
        assert_eq!(files_of("Max open files            unlimited            unlimited            files\n"), None);
        let fitted = fitted_connections(Connections { max: usize::MAX, ..Connections::default() });
        assert!(
            open_files_max(Of::Myself).is_none_or(|files| fitted.max * 3 + FILES_KEPT <= files.max(FILES_KEPT + 3))
        );
    }

    #[test]
    fn the_pool_is_at_most_half_of_the_machine() {
        assert_eq!(total_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        let huge = Config { pool_memory_bytes: usize::MAX, query_memory_bytes: usize::MAX, ..Config::default() };
        let fitted = fitted(huge);
        assert!(fitted.query_memory_bytes <= fitted.pool_memory_bytes);
        assert!(memory_bytes(Of::Myself).is_none_or(|memory| fitted.pool_memory_bytes <= memory / 2));
    }

    #[test]
    fn the_smallest_limit_of_the_groups_above_counts() {
        let home = tempfile::tempdir().expect("a directory");
        let put = |path: &str, text: &str| {
            let file = home.path().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            std::fs::write(file, text).expect("written");
        };
        put("system.slice/memory.max", "max\n");
        put("system.slice/tidemark.service/memory.max", "2147483648\n");
        put("memory/docker/abc/memory.limit_in_bytes", "1073741824\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limit = |groups: &str| limit_of(home.path(), groups);
        assert_eq!(limit("0::/system.slice/tidemark.service\n"), Some(2 << 30));
        assert_eq!(limit("0::/system.slice/tidemark.service/below\n"), Some(2 << 30), "it holds for what is below");
        assert_eq!(limit("0::/system.slice\n"), None);
        assert_eq!(limit("12:cpu,cpuacct:/x\n4:memory:/docker/abc\n"), Some(1 << 30));
        assert_eq!(limit(""), None);
        put("memory.max", "4096\n");
        assert_eq!(limit("0::/\n"), Some(4096), "of a container");
        assert_eq!(limit("0::/../../elsewhere\n"), Some(4096));
    }
}
