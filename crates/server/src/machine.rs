//! The machine the process runs on, as far as settings depend on it.

use tidemark_query::Config;

use crate::config::Connections;

/// Descriptors that connections leave to the log, the store and its files.
const FILES_KEPT: usize = 256;

/// Fits the connections of the three ports to the descriptors that the process may open: connections that take the last
/// ones would make flushes fail.
pub(crate) fn fitted_connections(connections: Connections) -> Connections {
    let Some(files) = open_files_max() else { return connections };
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

/// How many files the process may have open; unknown where Linux does not tell.
fn open_files_max() -> Option<usize> {
    std::fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(files_of)
}

fn files_of(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fits the query room to the machine: all queries together take at most half of its memory, one query at most that.
pub(crate) fn fitted(config: Config) -> Config {
    let Some(memory) = memory_bytes() else { return config };
    let pool = config.pool_memory_bytes.min(memory / 2);
    Config { pool_memory_bytes: pool, query_memory_bytes: config.query_memory_bytes.min(pool), ..config }
}

/// The smaller of what the machine has and what the container may use; unknown where Linux does not tell.
pub(crate) fn memory_bytes() -> Option<usize> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok();
    let total = meminfo.as_deref().and_then(total_of);
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    [total, limit].into_iter().flatten().min()
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
        assert!(open_files_max().is_none_or(|files| fitted.max * 3 + FILES_KEPT <= files.max(FILES_KEPT + 3)));
    }

    #[test]
    fn the_pool_is_at_most_half_of_the_machine() {
        assert_eq!(total_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        let huge = Config { pool_memory_bytes: usize::MAX, query_memory_bytes: usize::MAX, ..Config::default() };
        let fitted = fitted(huge);
        assert!(fitted.query_memory_bytes <= fitted.pool_memory_bytes);
        assert!(memory_bytes().is_none_or(|memory| fitted.pool_memory_bytes <= memory / 2));
    }
}
