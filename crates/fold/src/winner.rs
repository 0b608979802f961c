//! Changes → the winner of every key, sorted by key (time.md, section 2).
//!
//! Vectorised in two steps: keys and order columns alone decide, then the winning rows are taken (late
//! materialisation).

use arrow::array::RecordBatch;
use tidemark_model::{Instant, Seq};

use crate::FoldError;

/// Which changes count. All bounds but `after` are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Only positions above this one (the mark of the base).
    pub after: Seq,
    /// Only changes acknowledged up to here.
    pub system_time: Instant,
    /// Only changes that happened up to here; `None` counts all.
    pub valid_time: Option<Instant>,
}

/// The winner of every key among the changes that count, in ascending order of `_id` bytes, deletes included.
/// All batches have one schema that begins with the key and order columns of `columns::changes_schema`.
/// Folding a position twice equals once; any permutation of the rows gives the same winners (C2, C3).
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn winners(batches: &[RecordBatch], counts: &Counts) -> Result<RecordBatch, FoldError> {
    let _ = (batches, counts);
    todo!()
}
