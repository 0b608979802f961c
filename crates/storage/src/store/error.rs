//! What a store could not do, and what the caller should do about it.

use object_store::path::Path;
use tidemark_model::Kind;

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store that is spoken here.
    #[error("store {url:?} cannot be opened: {reason}; use file:///path, s3://bucket/prefix or memory://")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object does not exist.
    #[error("object {path} does not exist")]
    NotFound {
        /// Its path.
        path: String,
    },
    /// The medium is full.
    #[error("no space left for {path}")]
    OutOfSpace {
        /// The object that found no place.
        path: String,
    },
    /// An entry of a register without bytes: a power cut took them on a disk that was not synced.
    #[error("register entry {path} is empty: the disk lost it; restore the object from a copy")]
    Empty {
        /// The entry.
        path: String,
    },
    /// An object of ours whose bytes make no sense.
    #[error("object {path} cannot be read: {reason}")]
    Unreadable {
        /// The object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Any other failure of the store.
    #[error("{verb} {path} failed")]
    Failed {
        /// `get`, `put`, …
        verb: &'static str,
        /// The object.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
}

impl StoreError {
    /// What the caller should do.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::OutOfSpace { .. } => Kind::OutOfSpace,
            Self::Failed { .. } => Kind::Unavailable,
            Self::Url { .. } => Kind::Invalid,
            Self::NotFound { .. } | Self::Empty { .. } | Self::Unreadable { .. } => Kind::Internal,
        }
    }

    /// What the store said about an object, in our words.
    pub(crate) fn of(verb: &'static str, path: &Path, source: object_store::Error) -> Self {
        let path = path.to_string();
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound { path },
            source if is_out_of_space(&source) => Self::OutOfSpace { path },
            source => Self::Failed { verb, path, source },
        }
    }
}

/// Looks for "no space" or "over quota" of the operating system below a store's error.
fn is_out_of_space(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}
