//! Parquet files: one shape per kind, unique names, checksums, footers that could rebuild a manifest.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::path::Path;

use crate::{Store, StoreError};

/// What a file holds; decides compression, row groups, blooms, sorting columns and statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Events, sorted by (collection, type, ts): zstd(1), row groups ≤ 128 k rows, page index, bloom on `id`.
    Events,
    /// Changes of one collection, sorted by (_id, order descending).
    Delta,
    /// Documents of one collection, sorted by _id: bloom on `_id`, small pages for point look-ups.
    State,
    /// Ids and order of deleted documents, sorted by _id.
    Tombstones,
    /// Idempotency entries, sorted by hash.
    Idempotency,
}

/// A file that was written and is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path.
    pub path: Path,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
}

/// What a file operation could not do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows cannot be encoded, or the bytes are no Parquet.
    #[error("parquet file {path} cannot be {verb}")]
    Parquet {
        /// The file.
        path: String,
        /// `written` or `read`.
        verb: &'static str,
        /// What the library said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The encoding task ended early.
    #[error("the task that encodes {path} ended early")]
    Task {
        /// The file.
        path: String,
    },
}

/// Encodes batches (of one schema, sorted as the kind says) and puts them under a unique name. `metadata` goes into the
/// footer as `tidemark.{key}`, besides `tidemark.format` and `tidemark.kind`. Encoding runs on a blocking thread.
///
/// # Errors
/// [`FileError`].
pub async fn write(store: &Store, kind: FileKind, path: Path, content: Content) -> Result<Written, FileError> {
    let _ = (store, kind, path, content);
    todo!()
}

/// What goes into a file.
#[derive(Debug, Clone)]
pub struct Content {
    /// The schema of every batch.
    pub schema: SchemaRef,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
    /// Footer entries.
    pub metadata: Vec<(String, String)>,
}

/// Which part of a file is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Column names; `None` reads all. Names the file does not have are left out of the answer.
    pub columns: Option<Vec<String>>,
    /// Only rows whose Int64 column of this name lies above the number (pruned by statistics, then filtered exactly).
    pub above: Option<(String, i64)>,
    /// Only rows whose Utf8 column of this name equals the text (pruned by statistics, then filtered exactly).
    pub equal: Option<(String, String)>,
}

/// Reads a file, decoding on a blocking thread, in batches of at most 64 k rows.
///
/// # Errors
/// [`FileError`].
pub async fn read(store: &Store, path: &Path, wanted: &Wanted) -> Result<Vec<RecordBatch>, FileError> {
    let _ = (store, path, wanted);
    todo!()
}
