//! Changes → the winner of every key, sorted by key (time.md, section 2).
//!
//! Vectorised in two steps: keys and order columns alone decide (`table`), then the winners alone are sorted and only
//! their rows are taken (late materialisation).

mod table;

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{interleave_record_batch, take_record_batch},
    datatypes::Schema,
};
use tidemark_model::{Instant, Seq};

use crate::{FoldError, order::Order};
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

/// A row of one of the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    batch: u32,
    row: u32,
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
    sort_by_id(&mut rows, &orders);
    take(batches, &rows)
}

/// Sorts rows by the bytes of their ids: by the eight bytes behind what all ids have in common, by the whole id where
/// these tie.
fn sort_by_id(rows: &mut Vec<Row>, orders: &[Order<'_>]) {
    let id = |row: &Row| orders[row.batch as usize].id(row.row as usize);
    let common = common_prefix(rows.iter().map(id));
    let mut keyed: Vec<(u64, Row)> = rows.iter().map(|row| (prefix(&id(row)[common..]), *row)).collect();
    keyed.sort_unstable_by(|(a, left), (b, right)| a.cmp(b).then_with(|| id(left).cmp(id(right))));
    rows.clear();
    rows.extend(keyed.into_iter().map(|(_, row)| row));
}

fn common_prefix<'a>(mut ids: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = ids.next() else { return 0 };
    ids.fold(first.len(), |common, id| first[..common].iter().zip(id).take_while(|(a, b)| a == b).count())
}

/// The first eight bytes as a number that compares like them; shorter ones are filled up with zeros.
fn prefix(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = bytes.len().min(8);
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first)
}

fn take(batches: &[RecordBatch], rows: &[Row]) -> Result<RecordBatch, FoldError> {
    Ok(match batches {
        [] => RecordBatch::new_empty(Arc::new(Schema::empty())),
        [batch] if rows.len() == batch.num_rows() && rows.is_sorted_by_key(|row| row.row) => batch.clone(),
        [batch] => take_record_batch(batch, &UInt32Array::from_iter_values(rows.iter().map(|row| row.row)))?,
        _ => {
            let places: Vec<(usize, usize)> = rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
            interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &places)?
        }
    })
}

#[cfg(test)]
mod tests;
