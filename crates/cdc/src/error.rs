//! What the room could not do. Nobody waits for the room, so its errors are counted, logged and tried again.

use tidemark_catalog::CatalogError;
use tidemark_fold::FoldError;
use tidemark_model::{Instant, Kind};
use tidemark_storage::files::FileError;

/// Why a step failed; nothing it did is visible then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog could not commit.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A kernel found a batch that is not as it should be.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The thread that computes ended early.
    #[error("the thread that {verb} ended early")]
    Thread {
        /// What it did.
        verb: &'static str,
    },
    /// More steps than is plausible, each finding more to do.
    #[error("namespace {namespace} did not settle within {passes} passes: try again when fewer changes come")]
    Unsettled {
        /// The namespace.
        namespace: String,
        /// How often was tried.
        passes: usize,
    },
    /// No such collection.
    #[error("collection {0} does not exist")]
    UnknownCollection(String),
    /// No such snapshot.
    #[error("{collection} has no snapshot {name:?}")]
    UnknownSnapshot {
        /// The collection.
        collection: String,
        /// The name asked for.
        name: String,
    },
    /// A snapshot has this name.
    #[error("{collection} has a snapshot {name:?} of another instant: drop it first, or use another name")]
    SnapshotExists {
        /// The collection.
        collection: String,
        /// The name asked for.
        name: String,
    },
    /// A name no person may give to a snapshot.
    #[error(
        "{0:?} is no name for a snapshot: use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter; dates are taken"
    )]
    SnapshotName(String),
    /// More named snapshots than a collection may have.
    #[error("{collection} has {max} named snapshots: drop one first, or raise cdc.snapshots_named_max")]
    TooManySnapshots {
        /// The collection.
        collection: String,
        /// How many there may be.
        max: usize,
    },
    /// A number that no retention has.
    #[error(transparent)]
    Retention(#[from] tidemark_model::retention::TooMuch),
    /// An instant at which there is nothing yet to be kept.
    #[error("{collection} held nothing at {at} that could be kept")]
    NothingThen {
        /// The collection.
        collection: String,
        /// The instant.
        at: Instant,
    },
    /// An instant that lies in the future.
    #[error("{at} lies in the future: the present is {now}")]
    Future {
        /// The instant.
        at: Instant,
        /// The owner's present.
        now: Instant,
    },
    /// The history of the instant was dropped.
    #[error(transparent)]
    Outside(#[from] tidemark_catalog::manifest::Outside),
    /// Changes up to the instant are not in deltas yet.
    #[error("changes up to {0} are not in files yet: try again")]
    NotInFiles(Instant),
    /// A measurement could not be registered.
    #[error("measurements of the room could not be registered")]
    Metrics(#[from] prometheus::Error),
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Unsettled { .. } | Self::NotInFiles(_) => Kind::Unavailable,
            Self::UnknownCollection(_) | Self::UnknownSnapshot { .. } => Kind::NotFound,
            Self::SnapshotExists { .. } => Kind::Conflict,
            Self::SnapshotName(_) | Self::NothingThen { .. } | Self::Future { .. } | Self::Outside(_) => Kind::Invalid,
            Self::Retention(_) => Kind::Invalid,
            Self::TooManySnapshots { .. } => Kind::TooMany,
            Self::Fold(_) | Self::Thread { .. } | Self::Metrics(_) => Kind::Internal,
        }
    }

    /// A stable word for programs. A store that is away is no defect.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCollection(_) => "unknown_collection",
            Self::UnknownSnapshot { .. } => "unknown_snapshot",
            Self::SnapshotExists { .. } => "snapshot_exists",
            Self::SnapshotName(_) => "invalid_snapshot_name",
            Self::TooManySnapshots { .. } => "too_many_snapshots",
            Self::NothingThen { .. } => "nothing_then",
            Self::Retention(_) => "invalid_retention",
            Self::Future { .. } => "instant_in_future",
            Self::Outside(_) => "outside_window",
            Self::NotInFiles(_) | Self::Unsettled { .. } => "unavailable",
            Self::Catalog(_) | Self::File(_) | Self::Fold(_) | Self::Thread { .. } | Self::Metrics(_) => {
                match self.kind() {
                    Kind::Unavailable => "unavailable",
                    Kind::OutOfSpace => "out_of_space",
                    _ => "internal",
                }
            }
        }
    }

    /// Whether another owner has taken over, so that this process must end.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Catalog(CatalogError::Fenced { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_defect_is_called_internal() {
        let of = |error| Error::Catalog(error).code();
        assert_eq!(of(CatalogError::Lapsed), "unavailable");
        assert_eq!(of(CatalogError::NewerFormat { found: 9, known: 1 }), "internal");
    }
}
