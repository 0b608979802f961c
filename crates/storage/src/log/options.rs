//! What a log is given: settings and surroundings.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidemark_model::{Clock, Ids};
use ulid::Ulid;

use super::Durable;
use crate::Store;

/// Where a log lies.
#[derive(Debug, Clone)]
pub enum LogPlace {
    /// In segment files of a directory of this machine: an append survives with its disk.
    Directory(LogOptions),
    /// In objects of the lake's store: an append survives the machine.
    Objects(ObjectLogOptions),
}

impl From<LogOptions> for LogPlace {
    fn from(options: LogOptions) -> Self {
        Self::Directory(options)
    }
}

impl From<ObjectLogOptions> for LogPlace {
    fn from(options: ObjectLogOptions) -> Self {
        Self::Objects(options)
    }
}

/// Settings of a log in the lake's store.
#[derive(Debug, Clone)]
pub struct ObjectLogOptions {
    /// The lake's bytes.
    pub store: Store,
    /// The lake.
    pub cluster: String,
    /// Epoch of the owner.
    pub epoch: u64,
    /// This owner's log: nobody had it before.
    pub log: Ulid,
    /// The logs of owners before, the oldest first, that may hold what is in no file. All of them are fenced.
    pub inherited: Vec<Ulid>,
    /// The first epoch from which on every owner had its log in the store.
    pub since: u64,
    /// The shortest time from the beginning of one object to that of the next: meanwhile appends gather. Default 100 ms.
    pub window: Duration,
    /// Most payload bytes of one object. Default 16 MiB; a single larger append gets an object of its own.
    pub group_bytes_max: usize,
    /// Most bytes of appends that wait for an object; a single append may not be larger. Default 256 MiB.
    pub queue_bytes_max: usize,
}

impl ObjectLogOptions {
    /// Defaults of a log that nothing was inherited by.
    #[must_use]
    pub fn new(store: Store, cluster: String, epoch: u64, log: Ulid) -> Self {
        Self {
            store,
            cluster,
            epoch,
            log,
            inherited: Vec::new(),
            since: epoch,
            window: Duration::from_millis(100),
            group_bytes_max: 16 << 20,
            queue_bytes_max: 256 << 20,
        }
    }
}

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
