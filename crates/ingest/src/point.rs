//! Named fail points: the moments between the durable steps of upkeep.

pub use tidemark_catalog::point::{Held, Points};

/// Every point, `{step}.{moment}`: *written* stands between file and commit, *committed* behind the commit, *deleted*
/// behind a deletion of files.
pub const POINTS: [&str; 7] = [
    "compact.written",
    "compact.committed",
    "events_cleanup.written",
    "events_cleanup.committed",
    "events_cleanup.deleted",
    "events_erase.written",
    "events_erase.committed",
];
