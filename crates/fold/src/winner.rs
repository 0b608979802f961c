//! Changes → the winner of every key, sorted by key (time.md, section 2).
//!
//! Vectorised in two steps. Keys and order columns alone decide (`contest`, over `table`). Then the winning rows are
//! taken out of their batches in the order they stand, and only these are sorted (late materialisation): of a long
//! history few rows win, and what is random moves over these few.

mod contest;
mod table;

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array},
    compute::{concat_batches, filter_record_batch, take_record_batch},
    datatypes::Schema,
};
use tidemark_model::{Instant, Seq};

use crate::{
    FoldError,
    order::Order,
    sort::{self, Row},
};

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
    let rows = contest::winning_rows(&orders, counts, contest::LIMITS);
    match &taken(batches, &rows)?[..] {
        [] => Ok(batches
            .first()
            .map_or_else(|| RecordBatch::new_empty(Arc::new(Schema::empty())), |batch| batch.slice(0, 0))),
        [only] => sorted(only),
        several => sorted(&concat_batches(several[0].schema_ref(), several)?),
    }
}

/// The winning rows of every batch that has some, as they stand.
fn taken(batches: &[RecordBatch], rows: &[Row]) -> Result<Vec<RecordBatch>, FoldError> {
    let mut wins: Vec<_> = batches.iter().map(|batch| none_of(batch.num_rows())).collect();
    rows.iter().for_each(|row| wins[row.batch as usize].set_bit(row.row as usize, true));
    let mut taken = Vec::new();
    for (batch, mut wins) in batches.iter().zip(wins) {
        let wins = BooleanArray::new(wins.finish(), None);
        match wins.true_count() {
            0 => {}
            count if count == batch.num_rows() => taken.push(batch.clone()),
            _ => taken.push(filter_record_batch(batch, &wins)?),
        }
    }
    Ok(taken)
}

fn none_of(rows: usize) -> BooleanBufferBuilder {
    let mut wins = BooleanBufferBuilder::new(rows);
    wins.append_n(rows, false);
    wins
}

/// Rows of different ids in the order of these.
fn sorted(winners: &RecordBatch) -> Result<RecordBatch, FoldError> {
    let order = Order::of(winners)?;
    let mut rows: Vec<Row> = (0..winners.num_rows() as u32).map(|row| Row { batch: 0, row }).collect();
    sort::by_id(&mut rows, std::slice::from_ref(&order), |_, _| Ordering::Equal);
    if rows.is_sorted_by_key(|row| row.row) {
        return Ok(winners.clone());
    }
    Ok(take_record_batch(winners, &UInt32Array::from_iter_values(rows.iter().map(|row| row.row)))?)
}

#[cfg(test)]
mod tests;
