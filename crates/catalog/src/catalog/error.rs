//! What the catalog could not do, and what the caller should do about it.

use tidemark_model::Kind;
use tidemark_storage::{StoreError, log::LogError};

/// What the catalog could not do.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry that cannot be read.
    #[error("{path} is not readable: {reason}")]
    Unreadable {
        /// The object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest has grown beyond what can be read again; it stays as it was.
    #[error(
        "a manifest would take {bytes} bytes, at most {limit} are written: keep less history, compact, or divide the namespace"
    )]
    ManifestTooLarge {
        /// What it would take, as JSON.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// The lake was written by a newer release.
    #[error("the lake has format {found}, this release reads up to {known}: use a newer release")]
    NewerFormat {
        /// In the lake.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// A published table could not be read or written; the lake itself is as it was.
    #[error(
        "{table} could not be published: {reason}: if it stays so, write it anew with `tidemark publish --rebuild`"
    )]
    Publish {
        /// `{ns}.{table}`.
        table: String,
        /// What the log says.
        reason: String,
    },
    /// The log of an owner before could not be read or ended.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An owner before left what is in no file in a log in the store, and this one keeps its log elsewhere.
    #[error(
        "the log of this lake lies in its store and holds what is in no file yet: start once with --log object, and stop \
         that server in order, before another kind of log is used"
    )]
    LogInStore,
    /// The owner could not say for too long that it is alive: another may have taken over.
    #[error("the lease on the lake has run out because the store did not answer: it is being renewed, try again")]
    Lapsed,
    /// A newer owner has taken over: this process must end.
    #[error("epoch {ours} was fenced by epoch {theirs}: another process owns this lake now")]
    Fenced {
        /// Ours.
        ours: u64,
        /// The newer one.
        theirs: u64,
    },
}

impl CatalogError {
    pub(crate) fn unreadable(path: &impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { path: path.to_string(), reason: reason.to_string() }
    }

    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(store) => store.kind(),
            Self::Unreadable { .. } | Self::ManifestTooLarge { .. } | Self::NewerFormat { .. } | Self::Log(_) => {
                Kind::Internal
            }
            Self::Fenced { .. } | Self::Publish { .. } | Self::LogInStore | Self::Lapsed => Kind::Unavailable,
        }
    }
}

/// Tells a newer format as such, before its unknown fields are stumbled over.
pub(crate) fn check_format(path: &impl std::fmt::Display, bytes: &[u8], known: u32) -> Result<(), CatalogError> {
    #[derive(serde::Deserialize)]
    struct AnyFormat {
        format: u32,
    }
    match serde_json::from_slice(bytes) {
        Ok(AnyFormat { format: 0 }) => Err(CatalogError::unreadable(path, "format 0 was never written")),
        Ok(AnyFormat { format: found }) if found > known => Err(CatalogError::NewerFormat { found, known }),
        Ok(_known) => Ok(()),
        Err(error) => Err(CatalogError::unreadable(path, error)),
    }
}
