//! Named fail points: the moments between the durable steps of the room's work.

pub use tidemark_catalog::point::{Held, Points};

/// Every point, `{step}.{moment}`: *written* stands between files and commit, *committed* behind the commit, *deleted*
/// behind a deletion of files.
pub const POINTS: [&str; 17] = [
    "delta.written",
    "delta.committed",
    "fold.written",
    "fold.committed",
    "snapshot.written",
    "snapshot.committed",
    "checkpoint.written",
    "checkpoint.committed",
    "rollup.written",
    "rollup.committed",
    "retention.written",
    "retention.committed",
    "cleanup.written",
    "cleanup.committed",
    "cleanup.deleted",
    "erase.written",
    "erase.committed",
];
