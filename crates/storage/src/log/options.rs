//! What a log is given: settings and surroundings.

use std::{path::PathBuf, sync::Arc};

use tidemark_model::{Clock, Ids};

use super::Durable;

/// Settings of a local log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Where its segments live.
    pub directory: PathBuf,
    /// The lake it belongs to.
    pub cluster: String,
    /// Epoch of the owner.
    pub epoch: u64,
    /// Size of a segment, bytes, preallocated; at most 2 GiB. Default 64 MiB.
    pub segment_bytes: u64,
    /// Most payload bytes of one group. Default 16 MiB; a single larger append gets a group of its own.
    pub group_bytes_max: usize,
    /// Most bytes of appends that wait for a group; a single append may not be larger. Default 256 MiB.
    pub queue_bytes_max: usize,
    /// Appends are refused while less of the medium is free, percent, so that flushing has room. 0 has no floor. Default 5.
    pub free_space_min_percent: u8,
}

impl LogOptions {
    /// Defaults for a directory.
    #[must_use]
    pub fn new(directory: PathBuf, cluster: String, epoch: u64) -> Self {
        Self {
            directory,
            cluster,
            epoch,
            segment_bytes: 64 << 20,
            group_bytes_max: 16 << 20,
            queue_bytes_max: 256 << 20,
            free_space_min_percent: 5,
        }
    }
}

/// What a log is given.
#[derive(Debug, Clone)]
pub struct LogDeps {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Unique ids.
    pub ids: Arc<Ids>,
    /// Who is told of durable appends.
    pub sink: Arc<dyn Durable>,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
}
