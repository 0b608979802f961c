//! Changes → the winner of every key, sorted by key (time.md, section 2).
//!
//! Vectorised in two steps: keys and order columns alone decide (`table`), then the winners alone are sorted and only
//! their rows are taken (late materialisation).

mod table;

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::Schema,
};
use tidemark_model::{Instant, Seq};

use crate::{
    FoldError,
    order::Order,
    sort::{self, Row},
};
use table::Table;

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

impl Counts {
    /// Every change counts.
    pub const ALL: Self =
        Self { after: tidemark_model::position::BEFORE_ALL, system_time: Instant::MAX, valid_time: None };
}

/// The winner of every key among the changes that count, in ascending order of `_id` bytes, deletes included.
/// All batches have one schema that begins with the key and order columns of `columns::changes_schema`; no batches give
/// a batch without columns. Folding a position twice equals once; any permutation of the rows gives the same winners
/// (C2, C3).
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn winners(batches: &[RecordBatch], counts: &Counts) -> Result<RecordBatch, FoldError> {
    let orders = batches.iter().map(Order::of).collect::<Result<Vec<_>, _>>()?;
    let mut table = Table::new(&orders);
    (0..orders.len()).for_each(|batch| table.fold(batch, counts));
    let mut rows = table.into_rows();
    sort::by_id(&mut rows, &orders, |_, _| Ordering::Equal);
    take(batches, &rows)
}

fn take(batches: &[RecordBatch], rows: &[Row]) -> Result<RecordBatch, FoldError> {
    Ok(match batches {
        [] => RecordBatch::new_empty(Arc::new(Schema::empty())),
        [batch] if rows.len() == batch.num_rows() && rows.is_sorted_by_key(|row| row.row) => batch.clone(),
        [batch] => take_record_batch(batch, &UInt32Array::from_iter_values(rows.iter().map(|row| row.row)))?,
        _ => sort::take(&batches.iter().collect::<Vec<_>>(), rows)?,
    })
}

#[cfg(test)]
mod tests;
