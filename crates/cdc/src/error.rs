//! What the room could not do. Nobody waits for the room, so its errors are counted, logged and tried again.

use tidemark_catalog::CatalogError;
use tidemark_fold::FoldError;
use tidemark_model::Kind;
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
            Self::Unsettled { .. } => Kind::Unavailable,
            Self::Fold(_) | Self::Thread { .. } | Self::Metrics(_) => Kind::Internal,
        }
    }

    /// Whether another owner has taken over, so that this process must end.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Catalog(CatalogError::Fenced { .. }))
    }
}
