//! What is asked of a table, every instant known, and the table that answers it.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use tidemark_catalog::View;
use tidemark_fold::versions::Keep;
use tidemark_model::Instant;

use super::{
    At, LakeTable, Reader,
    deleted::Deleted,
    listing::{Listing, Lists},
    log::Slice,
    past::{Makes, PastTable},
};

/// What is asked of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// The rows of one state.
    State(At),
    /// The version rows of what counts.
    Versions {
        /// What counts.
        upto: At,
        /// Which of them are kept.
        keep: Keep,
    },
    /// The changes acknowledged after an instant.
    Changes {
        /// Above this system time.
        from: Option<Instant>,
        /// Up to here.
        upto: At,
    },
    /// Every version row, deletes included.
    History {
        /// Of one document only.
        id: Option<String>,
        /// What counts.
        upto: At,
    },
    /// The snapshots that are kept, those of quiet periods up to the present among them.
    Snapshots(Instant),
    /// The manifest versions.
    Manifests,
    /// The files of the newest manifest.
    Files,
    /// Ids and order of documents that are deleted at the instants, and of some that came back.
    Deleted(At),
}

impl Question {
    /// The table that answers it about a view; `None` where the view's table has no versions.
    pub(crate) fn table(self, view: Arc<View>, reader: Arc<Reader>) -> Option<Arc<dyn TableProvider>> {
        let past = |makes, slice| {
            let table = PastTable::new(Arc::clone(&view), makes, slice, Arc::clone(&reader))?;
            Some(Arc::new(table) as Arc<dyn TableProvider>)
        };
        match self {
            Self::Versions { upto, keep } => past(Makes::Versions(keep), Slice { from: None, upto, id: None }),
            Self::Changes { from, upto } => past(Makes::Changes, Slice { from, upto, id: None }),
            Self::History { id, upto } => past(Makes::History, Slice { from: None, upto, id }),
            Self::Deleted(at) => Some(Arc::new(Deleted::new(view, at, reader)?)),
            Self::State(at) => Some(Arc::new(LakeTable::new(view, at, reader))),
            Self::Snapshots(present) => Some(Arc::new(Listing::new(Lists::Snapshots, view, reader).upto(present))),
            Self::Manifests => Some(Arc::new(Listing::new(Lists::Manifests, view, reader))),
            Self::Files => Some(Arc::new(Listing::new(Lists::Files, view, reader))),
        }
    }
}
