//! Settings of the room.

use tidemark_model::Retention;

/// When deltas and states are due, and how large they become.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Pending changes of a collection from which on a delta is due. Default 10,000.
    pub delta_rows: u64,
    /// Events files with pending changes of a collection from which on a delta is due. Default 16.
    pub delta_files: usize,
    /// Age of the oldest pending change from which on a delta is due, seconds. Default 3600.
    pub delta_age_s: u64,
    /// Most changes one delta takes in, unless a single events file holds more. Default 250,000.
    pub delta_rows_max: u64,
    /// Most bytes of events files one delta takes in, unless a single one is larger. Default 64 MiB.
    pub delta_bytes_max: u64,
    /// Most bytes of changes, decoded, that one delta takes in, unless a single events file holds more. Default 256 MiB.
    pub delta_memory_bytes: u64,
    /// Changes since the last state from which on a new one is due, as a part of the live documents. Default 0.1.
    pub fold_ratio: f64,
    /// Changes since the last state below which none is due. Default 10,000.
    pub fold_rows_min: u64,
    /// Changes up to which one fold takes them all, however few documents there are; of more it takes about as many as
    /// there are documents, so that no instant of the past is far from a state. Default 100,000.
    pub fold_rows_apart: u64,
    /// Most bytes of delta files one fold takes in, unless a single one is larger. Default 64 MiB.
    pub fold_bytes_max: u64,
    /// Changes that a fold holds in memory, decompressed bytes, about: it goes span by span of ids. Default 256 MiB.
    pub fold_memory_bytes: u64,
    /// Documents of a state part, about. Default 131,072.
    pub part_rows: usize,
    /// Bytes of a state part, about. Default 256 MiB.
    pub part_bytes: u64,
    /// Bytes of the states of a collection; older ones are kept for questions about the past. Files of states that fell
    /// out are deleted after the grace. Default 4 GiB. The newest two always stay.
    pub bases_bytes_max: u64,
    /// Most states of one collection that are kept, within their bytes. Default 1024.
    pub bases_max: usize,
    /// Most checkpoints (states bounded in source time) of one collection that are kept; together they take at most as
    /// many bytes as states may. 0 keeps none. Default 64.
    pub checkpoints_max: usize,
    /// Daily snapshots of a collection that are kept, unless something else is said of it; 0 takes none. Default 30.
    pub snapshots_daily: u64,
    /// Monthly snapshots of a collection that are kept, unless something else is said of it; 0 takes none. Default 12.
    pub snapshots_monthly: u64,
    /// Named snapshots one collection may have. Default 100.
    pub snapshots_named_max: usize,
    /// Small deltas between the same two states from which on they are rolled up; below 2 none are. Default 8.
    pub rollup_files: usize,
    /// Changes of a delta that is rolled up, about; one with at most half as many is small. Default 250,000.
    pub rollup_rows: u64,
    /// How long every change of a collection is kept, unless something else is said of it, seconds; 0 is for ever. The past
    /// beyond thins out to the snapshots. Default 0.
    pub history_window_s: u64,
    /// How long a file that nothing names any more stays for queries that may still read it, seconds. Default 7200. A process
    /// refuses to start with less than twice the longest query.
    pub grace_s: u64,
    /// How long a file stays after the published table has dropped it, for other engines that may still read it, seconds.
    /// Default 604,800: 7 days.
    pub external_retention_s: u64,
    /// Commits of a collection whose manifests are kept; of up to twice as many they are. Default 4096.
    pub manifests_max: u64,
    /// How long the room rests when nothing rings, milliseconds. Default 1000.
    pub interval_ms: u64,
    /// How long shutdown may take to write what is pending into deltas, seconds. Default 20.
    pub drain_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delta_rows: 10_000,
            delta_files: 16,
            delta_age_s: 3600,
            delta_rows_max: 250_000,
            delta_bytes_max: 64 << 20,
            delta_memory_bytes: 256 << 20,
            fold_ratio: 0.1,
            fold_rows_min: 10_000,
            fold_rows_apart: 100_000,
            fold_bytes_max: 64 << 20,
            fold_memory_bytes: 256 << 20,
            part_rows: 128 << 10,
            part_bytes: 256 << 20,
            bases_bytes_max: 4 << 30,
            bases_max: 1024,
            checkpoints_max: 64,
            snapshots_daily: 30,
            snapshots_monthly: 12,
            snapshots_named_max: 100,
            rollup_files: 8,
            rollup_rows: 250_000,
            history_window_s: 0,
            grace_s: 7200,
            external_retention_s: 7 * 86_400,
            manifests_max: 4096,
            interval_ms: 1000,
            drain_s: 20,
        }
    }
}

impl Config {
    /// How long the past is kept where nothing else is said.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            history_window_s: Some(self.history_window_s),
            daily: Some(self.snapshots_daily),
            monthly: Some(self.snapshots_monthly),
        }
    }
}
