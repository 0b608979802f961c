//! Settings of the room, and what follows from them.

use std::num::NonZeroUsize;

/// Most threads of the engine.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// Settings of the room.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most bytes one query may hold. Default 1 GiB.
    pub query_memory_bytes: usize,
    /// Most bytes all queries may hold together. Default 4 GiB; the server sets half of the machine.
    pub pool_memory_bytes: usize,
    /// Seconds a query may run. Default 60.
    pub timeout_s: u64,
    /// Seconds an export, a restore or a snapshot may run. Default 3600.
    pub bulk_timeout_s: u64,
    /// Queries at once. Default 16.
    pub concurrency: usize,
    /// Queries that may wait for a place. Default 64.
    pub queue: usize,
    /// Exports and restores at once; they take no place from queries. Default 2.
    pub bulk_concurrency: usize,
    /// Exports and restores that may wait for a place. Default 8.
    pub bulk_queue: usize,
    /// Streams of events at once (`GET /v1/{namespace}/events/tail`). Default 256.
    pub followers_max: usize,
    /// Bytes of SQL text. Default 64 KiB.
    pub text_bytes_max: usize,
    /// Tokens of SQL text. Default 10,000.
    pub tokens_max: usize,
    /// Nesting of parentheses and expressions. Default 64.
    pub depth_max: usize,
    /// Bytes of cached overlays and key columns. Default 512 MiB.
    pub cache_bytes: u64,
    /// Bytes of cached Parquet footers and page indexes. Default 256 MiB.
    pub footers_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            query_memory_bytes: 1 << 30,
            pool_memory_bytes: 4 << 30,
            timeout_s: 60,
            bulk_timeout_s: 3600,
            concurrency: 16,
            queue: 64,
            bulk_concurrency: 2,
            bulk_queue: 8,
            followers_max: 256,
            text_bytes_max: 64 << 10,
            tokens_max: 10_000,
            depth_max: 64,
            cache_bytes: 512 << 20,
            footers_bytes: 256 << 20,
        }
    }
}

impl Config {
    /// More threads than the statements that run at once can hold, each at most one per core: whatever they do, there is one left
    /// for who comes next.
    pub(super) fn threads(&self, cores: NonZeroUsize) -> NonZeroUsize {
        let statements = self.concurrency.saturating_add(self.bulk_concurrency);
        cores.saturating_mul(NonZeroUsize::new(statements).unwrap_or(cores)).saturating_add(1).min(THREADS_MAX)
    }
}
