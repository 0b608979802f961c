//! The machine the process runs on, as far as settings depend on it.

use tidemark_query::Config;

/// Fits the query room to the machine: all queries together take at most half of its memory, one query at most that.
pub(crate) fn fitted(config: Config) -> Config {
    let Some(memory) = memory_bytes() else { return config };
    let pool = config.pool_memory_bytes.min(memory / 2);
    Config { pool_memory_bytes: pool, query_memory_bytes: config.query_memory_bytes.min(pool), ..config }
}

/// The smaller of what the machine has and what the container may use; unknown where Linux does not tell.
fn memory_bytes() -> Option<usize> {
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
    fn the_pool_is_at_most_half_of_the_machine() {
        assert_eq!(total_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        let huge = Config { pool_memory_bytes: usize::MAX, query_memory_bytes: usize::MAX, ..Config::default() };
        let fitted = fitted(huge);
        assert!(fitted.query_memory_bytes <= fitted.pool_memory_bytes);
        assert!(memory_bytes().is_none_or(|memory| fitted.pool_memory_bytes <= memory / 2));
    }
}
