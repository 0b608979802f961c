//! Winners against a base: which of them stand, and which rows of the base they hide (time.md, section 4, Look-up).

use arrow::array::RecordBatch;
use tidemark_model::Instant;

use crate::FoldError;

/// The greatest (`_ts`, `_bookmark`) that was ever folded into a base, deletes and losers included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Greatest {
    /// Source time.
    pub ts: Instant,
    /// Bookmark; absent is lowest.
    pub bookmark: Option<String>,
}

/// The key and order columns of one sorted file of a base: a state part or a tombstone file.
#[derive(Debug, Clone)]
pub struct BaseKeys {
    /// `_id, _ts, _system_time, _seq, _bookmark` in file order, ascending by `_id`; may be several batches.
    pub batches: Vec<RecordBatch>,
}

/// What remains of an overlay over a base.
#[derive(Debug, Clone)]
pub struct Shadows {
    /// The winners that stand, sorted by `_id`; deletes among them emit nothing but hide.
    pub overlay: RecordBatch,
    /// Per file of the base, in the order given: ascending row numbers that are hidden.
    pub hidden: Vec<Vec<u64>>,
}

/// Compares sorted winners with the sorted files of a base. A winner whose base entry is greater in order is dropped
/// and hides nothing; every other winner stands and hides its entry, in a state part or a tombstone file.
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn resolve(winners: &RecordBatch, greatest: Option<&Greatest>, base: &[BaseKeys]) -> Result<Shadows, FoldError> {
    let _ = (winners, greatest, base);
    todo!()
}
