//! Reading one table at its instants: base ⊕ overlay (time.md, section 4).
//!
//! 1. [`provider`]: the table the planner scans: a view, its instants, its columns.
//! 2. [`reach`]: which base a question starts from, and how far the changes that count reach.
//! 3. [`changes`]: the changes after a base: deltas, events files, live tail; derived once, cached.
//! 4. [`overlay`]: their winners against the base: rows to add, rows of the base to hide; cached and extended.
//!    [`width`]: which columns of them are read. [`id`]: the one document a question is about.
//! 5. [`base`]: the scan of the base's files, filters and projection pushed down, hidden rows left out.
//!    [`footer`]: what is known of their columns without reading them.
//!    [`prune`]: which files may hold what is asked for. [`late`]: whether rows are filtered while files are decoded.
//! 6. [`leaf`]: a scan that says what it stands for and carries its shadows. [`adapt`]: columns written under an older
//!    schema.
//! 7. [`events`]: the events table: files and tail up to the instants.
//! 8. [`cache`]: what is kept, within a budget of bytes.
//! 9. [`question`]: everything that can be asked, and which table answers it: [`past`] makes rows of what moved, out of
//!    the changes one by one ([`log`]); [`listing`] tells versions and files, [`deleted`] what is dead.
//! 10. [`then`]: the columns a table had.
//! 11. [`system`]: what the lake holds and does, as tables.

pub(crate) mod adapt;
pub(crate) mod base;
pub(crate) mod cache;
pub(crate) mod changes;
pub(crate) mod deleted;
pub(crate) mod events;
pub(crate) mod footer;
pub(crate) mod id;
pub(crate) mod late;
pub(crate) mod leaf;
pub(crate) mod listing;
pub(crate) mod log;
pub(crate) mod overlay;
pub(crate) mod past;
pub(crate) mod provider;
pub(crate) mod prune;
pub(crate) mod question;
pub(crate) mod reach;
pub(crate) mod system;
pub(crate) mod then;
pub(crate) mod width;

use std::sync::Arc;

use datafusion::error::DataFusionError;
use tidemark_catalog::{Catalog, CatalogError};
use tidemark_fold::FoldError;
use tidemark_model::Instant;
use tidemark_storage::files::FileError;

use self::cache::Caches;
pub(crate) use self::{events::first_event, provider::LakeTable, question::Question};
use crate::metrics::Metrics;

/// The instants a table is read at, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct At {
    /// Only changes acknowledged up to here.
    pub(crate) system_time: Instant,
    /// Only changes that happened up to here.
    pub(crate) valid_time: Option<Instant>,
}

impl At {
    /// Whether anything between two times, both included, may count on the axis of source time.
    pub(crate) fn reaches_ts(&self, first: Instant) -> bool {
        self.valid_time.is_none_or(|valid| first <= valid)
    }
}

/// What reading a table needs.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Who exists, and the store.
    pub(crate) catalog: Catalog,
    /// What is kept between questions.
    pub(crate) caches: Caches,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A manifest.
    #[error(transparent)]
    Catalog(#[from] Arc<CatalogError>),
    /// A kernel.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// An Arrow kernel.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// What was dropped is needed.
    #[error(transparent)]
    Outside(#[from] tidemark_catalog::manifest::Outside),
    /// The statement's memory.
    #[error("{0}")]
    Memory(String),
    /// The engine.
    #[error(transparent)]
    Engine(DataFusionError),
    /// Another question that built the same thing failed.
    #[error("{0}")]
    Shared(Arc<ScanError>),
}

/// What a reservation says, and whatever else the engine does for us.
impl From<DataFusionError> for ScanError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::ResourcesExhausted(text) => Self::Memory(text),
            error => Self::Engine(error),
        }
    }
}

impl From<ScanError> for DataFusionError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Memory(text) => Self::ResourcesExhausted(text),
            ScanError::Engine(error) => error,
            ScanError::Shared(shared) if matches!(shared.as_ref(), ScanError::Memory(_)) => {
                Self::ResourcesExhausted(shared.to_string())
            }
            // Told to the person who asked.
            ScanError::Outside(outside) => Self::External(Box::new(crate::Error::OutsideWindow(outside))),
            error => Self::External(Box::new(error)),
        }
    }
}
