//! The write-ahead log of one owner (storage.md, The log).
//!
//! An **append** is one request's accepted events of one namespace: one system time, in one group, whole or not at all.
//! Concurrent appends share a group and its sync. The flow of an append:
//!
//! 1. the caller encodes rows ([`EncodedRows`]) outside every lock;
//! 2. [`Log::append`] takes the sequencer's lock, assigns system time and positions, lets the caller admit (evolve
//!    schemas) at exactly this point, and queues the append;
//! 3. the writer thread packs what waits into one group, writes it to the [`Medium`], syncs, tells the [`Durable`]
//!    sink in order, moves the closed instant, and only then wakes the waiters in order (H1).
//!
//! After a failed sync every waiter of the group gets [`LogError::Unknown`] and the log is poisoned: the process ends.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use bytes::Bytes;
use tidemark_model::{Clock, Ids, Instant, Namespace, Positions, Seq, Shard, schema::SchemaChange};

/// Rows of `columns::log_schema()` as one Arrow IPC record batch (lz4) without its schema message.
#[derive(Debug, Clone)]
pub struct EncodedRows(Bytes);

impl EncodedRows {
    /// Encodes rows of [`tidemark_fold::columns::log_schema`].
    ///
    /// # Errors
    /// When the batch has another schema.
    pub fn encode(rows: &RecordBatch) -> Result<Self, LogError> {
        let _ = rows;
        todo!()
    }

    /// How many bytes it takes in a group.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is remembered of an idempotency key; travels in the append's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The first 16 bytes of SHA-256 of the key.
    pub key: u128,
    /// The first 16 bytes of SHA-256 of the decoded body.
    pub body: u128,
    /// The receipt without times and positions, as the room wrote it.
    pub receipt: Bytes,
}

/// One request on its way into the log.
#[derive(Debug)]
pub struct LogBatch {
    /// The namespace.
    pub namespace: Namespace,
    /// How many rows go to each shard, in the order of the rows: the rows of a shard stand together.
    pub counts: Vec<(Shard, u32)>,
    /// The rows, for the log.
    pub encoded: EncodedRows,
    /// The rows, for the live tail.
    pub rows: RecordBatch,
    /// The idempotency key, if the request has one.
    pub key: Option<KeyRecord>,
}

/// What the sequencer gave an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The one system time of all its events.
    pub system_time: Instant,
    /// Its positions, in the order of its rows.
    pub positions: Vec<Positions>,
}

/// A durable append; what its waiter gets and what recovery yields.
#[derive(Debug)]
pub struct Append {
    /// The namespace.
    pub namespace: Namespace,
    /// System time and positions.
    pub assigned: Assigned,
    /// Catalog changes that came with it.
    pub changes: Vec<SchemaChange>,
    /// The idempotency key.
    pub key: Option<KeyRecord>,
    /// Rows of `columns::log_schema()`, rows of a shard together, in the order of `positions`.
    pub rows: RecordBatch,
    /// How long its encoded rows are, bytes.
    pub encoded_bytes: usize,
}

/// Is told of every durable append, in order of system time, before anyone else learns of it.
pub trait Durable: Send + Sync + std::fmt::Debug {
    /// These appends are durable now; make them visible before returning.
    fn durable(&self, appends: &[Arc<Append>]);
}

/// What the log could not do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process holds the log's lock.
    #[error("the log in {directory} is in use by another process: stop it, or choose another --data directory")]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The log belongs to another lake.
    #[error(
        "the log in {directory} belongs to cluster {found}, not to {wanted}: each lake needs its own log directory"
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// The cluster id in the log.
        found: String,
        /// The cluster id of the lake.
        wanted: String,
    },
    /// An invalid group where it cannot be a torn tail.
    #[error(
        "log segment {file} is corrupt at byte {offset}: {reason}; restore it from a copy, or move the log away to start without it"
    )]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Where the group begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// No space for the append; nothing of it was written.
    #[error("no space left on the medium of the log")]
    OutOfSpace,
    /// The append is larger than a group may be.
    #[error("the append takes {bytes} bytes, the log takes at most {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A sync failed: whether the append is durable is unknown, and the process must end.
    #[error("the log could not be synced; whether the append is durable is unknown")]
    Unknown,
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// The instant could not be closed in time.
    #[error("appends up to {0} were still in flight when the deadline passed")]
    NotClosed(Instant),
    /// A file operation failed before anything was acknowledged.
    #[error("the log could not {what}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Rows that do not have the log's schema.
    #[error("rows cannot be encoded or decoded")]
    Rows(#[from] arrow::error::ArrowError),
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
    /// Size of a segment, bytes, preallocated. Default 64 MiB.
    pub segment_bytes: u64,
    /// Most payload bytes of one group. Default 16 MiB; a single larger append gets a group of its own.
    pub group_bytes_max: usize,
    /// Most bytes of appends that wait for a group. Default 256 MiB.
    pub queue_bytes_max: usize,
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
        }
    }
}

/// A log that was found and checked, and is not yet written to: yields what it holds, oldest first.
#[derive(Debug)]
pub struct Recovery {}

impl Recovery {
    /// Takes the lock, checks every group, cuts a torn tail, syncs what was found.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::Foreign`], [`LogError::Corrupt`] or [`LogError::Io`].
    pub fn open(options: LogOptions) -> Result<Self, LogError> {
        let _ = options;
        todo!()
    }

    /// The next append, in order of system time.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Io`].
    pub fn next_append(&mut self) -> Result<Option<Append>, LogError> {
        todo!()
    }

    /// Begins writing behind what was found. `next` is the first free sequence of every (namespace, shard) as far as
    /// committed manifests tell, `above` the greatest system time they cover; the log takes the greater of these and
    /// of what it holds, and starts above its durable horizon.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::OutOfSpace`].
    pub fn start(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
    ) -> Result<Log, LogError> {
        let _ = (next, above, deps);
        todo!()
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

/// The log of a running owner. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {}

impl Log {
    /// Appends one request's events; returns when they are durable. `admit` runs under the sequencer's lock, exactly
    /// once, after time and positions are given and before the append is queued: what it returns travels in the group.
    ///
    /// # Errors
    /// [`LogError::OutOfSpace`], [`LogError::TooLarge`], [`LogError::Closed`] before anything was written;
    /// [`LogError::Unknown`] after.
    pub async fn append(
        &self,
        batch: LogBatch,
        admit: impl FnOnce(&Assigned) -> Vec<SchemaChange> + Send,
    ) -> Result<Arc<Append>, LogError> {
        let _ = (batch, admit);
        todo!()
    }

    /// The last closed system time: everything up to it is durable and visible, nothing more will come at or below.
    #[must_use]
    pub fn closed(&self) -> Instant {
        todo!()
    }

    /// The owner's present: the greater of its clock and the highest system time given.
    #[must_use]
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Closes an instant not after [`Self::now`]: raises the clock to it, waits until no append at or below it is in
    /// flight, and makes a horizon at or above it durable if no durable append lies above it.
    ///
    /// # Errors
    /// [`LogError::NotClosed`] when the deadline passes, [`LogError::Unknown`], [`LogError::Closed`].
    pub async fn close_instant(&self, at: Instant, deadline: Duration) -> Result<(), LogError> {
        let _ = (at, deadline);
        todo!()
    }

    /// Everything of the namespace up to `system_time` is committed elsewhere: segments that hold nothing else are
    /// deleted.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn release(&self, namespace: &Namespace, system_time: Instant) -> Result<(), LogError> {
        let _ = (namespace, system_time);
        todo!()
    }

    /// Size and age of what is not released.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        todo!()
    }

    /// Refuses further appends, waits for those in flight, and ends the writer thread.
    pub async fn shut_down(&self) {
        todo!()
    }
}

/// How much the log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Segments not yet deleted.
    pub segments: usize,
    /// Their bytes on the medium.
    pub bytes: u64,
    /// Namespaces that keep the oldest segment, so that pressure flushes the oldest first.
    pub oldest: Vec<Namespace>,
}
