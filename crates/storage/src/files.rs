//! Parquet files: one shape per kind, unique names, checksums, footers that could rebuild a manifest.
//!
//! 1. [`write()`]: rows → bytes on a blocking thread (`layout` says how a kind is encoded) → one durable object.
//!    [`Writer`]: the same while the rows come.
//! 2. [`read()`]: footer → row groups that can hold wanted rows → wanted columns of these → exact filter → rows; where a
//!    file is read in several parts, [`Opened`] keeps its footer. [`Rows`]: every row, a batch at a time.
//!
//! Text stays Utf8 and times stay µs UTC: the Arrow schema travels in the footer.

mod decode;
mod encode;
mod layout;
mod writer;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::path::Path;
use parquet::errors::ParquetError;
use tidemark_model::Kind;

pub use self::{
    decode::{Opened, Rows},
    writer::Writer,
};
use crate::{Store, StoreError};

/// The version of the footer entries written here (`tidemark.format`).
pub const FORMAT: &str = "1";

/// What a file holds; decides compression, row groups, blooms, sorting columns and statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Events, sorted by (collection, type, ts), ascending, null collections first: bloom on `id`.
    Events,
    /// Changes of one collection, sorted by (_id, order descending: _ts, _bookmark with null last, _system_time, _seq).
    Delta,
    /// Documents of one collection, sorted by _id: bloom on `_id`, small pages for point look-ups.
    State,
    /// Ids and order of deleted documents, sorted by _id.
    Tombstones,
    /// Idempotency entries, sorted by their first column, the hash.
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
    /// The encoding or decoding task ended early.
    #[error("the task that encodes or decodes {path} ended early")]
    Task {
        /// The file.
        path: String,
    },
}

impl FileError {
    /// What the caller should do.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Store(store) => store.kind(),
            Self::Parquet { .. } | Self::Task { .. } => Kind::Internal,
        }
    }
}

/// Encodes batches (of one schema, sorted as the kind says) and puts them under a unique name. `metadata` goes into the
/// footer as `tidemark.{key}`, besides `tidemark.format` and `tidemark.kind`. Encoding runs on a blocking thread.
///
/// # Errors
/// [`FileError`].
pub async fn write(store: &Store, kind: FileKind, path: Path, content: Content) -> Result<Written, FileError> {
    let encoded = on_blocking_thread(&path, "written", move || encode::encode(kind, &content)).await?;
    let bytes = encoded.bytes.len() as u64;
    store.put(&path, encoded.bytes).await?;
    Ok(Written { path, rows: encoded.rows, bytes, sha256: encoded.sha256 })
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
    /// Only rows of a span of a column that the file is sorted by (pruned by pages, then filtered exactly).
    pub span: Option<Span>,
}

/// Values of a Utf8 column without nulls, by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The name of the column.
    pub column: String,
    /// The first value that may be in it; `None` has no such end.
    pub from: Option<String>,
    /// The first value that is behind it; `None` has no such end.
    pub below: Option<String>,
}

impl Span {
    /// Whether all values between two lie in the span.
    #[must_use]
    pub fn holds(&self, least: &str, greatest: &str) -> bool {
        self.from.as_deref().is_none_or(|from| from <= least)
            && self.below.as_deref().is_none_or(|below| greatest < below)
    }

    /// Whether a value between two may lie in the span.
    #[must_use]
    pub fn meets(&self, least: &str, greatest: &str) -> bool {
        self.from.as_deref().is_none_or(|from| from <= greatest)
            && self.below.as_deref().is_none_or(|below| least < below)
    }
}

/// A page of a column, as the footer tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its least value, or a beginning of that; empty where the footer tells none.
    pub least: String,
    /// Its rows.
    pub rows: u64,
    /// About how many bytes all columns of these rows take, decompressed.
    pub bytes: u64,
}

/// Reads a file, decoding on a blocking thread, in batches of at most 64 k rows.
///
/// # Errors
/// [`FileError`].
pub async fn read(store: &Store, path: &Path, wanted: &Wanted) -> Result<Vec<RecordBatch>, FileError> {
    Opened::for_wanted(store, path.clone(), wanted).await?.read(wanted).await
}

/// Runs CPU-heavy work where it does not hold up the tasks of the runtime, and gives its errors the file's name.
async fn on_blocking_thread<T: Send + 'static>(
    path: &Path,
    verb: &'static str,
    work: impl FnOnce() -> Result<T, ParquetError> + Send + 'static,
) -> Result<T, FileError> {
    let path = || path.to_string();
    let done = tokio::task::spawn_blocking(work).await.map_err(|_ended| FileError::Task { path: path() })?;
    done.map_err(|source| FileError::Parquet { path: path(), verb, source })
}

#[cfg(test)]
mod tests;
