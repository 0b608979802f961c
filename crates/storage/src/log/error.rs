//! What the log could not do.

use std::path::PathBuf;

use tidemark_model::Instant;

use crate::StoreError;

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
    /// A newer release wrote it.
    #[error("log segment {file} has format {found}, which this release does not read: use a newer release")]
    Newer {
        /// The segment.
        file: PathBuf,
        /// Its format, or that of a payload in it.
        found: u32,
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
    /// Another owner has taken the lake over and ended the log: the append is not in it, and the process must end.
    #[error("another process owns this lake now and has ended the log: the append is not stored")]
    Fenced,
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// The instant could not be closed in time.
    #[error("appends up to {0} were still in flight when the deadline passed")]
    NotClosed(Instant),
    /// The lake's store, where the log lies, failed before anything was acknowledged.
    #[error("the log could not be read from the store")]
    Store(#[from] StoreError),
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

/// Why bytes of a segment cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unread {
    /// They are not what they should be.
    Corrupt(String),
    /// They have a format of a newer release.
    Newer(u32),
}

impl Unread {
    /// The same of a segment, of what begins at this byte.
    pub(super) fn of(self, file: PathBuf, offset: u64) -> LogError {
        match self {
            Self::Corrupt(reason) => LogError::Corrupt { file, offset, reason },
            Self::Newer(found) => LogError::Newer { file, found },
        }
    }
}

impl From<&str> for Unread {
    fn from(reason: &str) -> Self {
        Self::Corrupt(reason.to_owned())
    }
}

impl From<String> for Unread {
    fn from(reason: String) -> Self {
        Self::Corrupt(reason)
    }
}
