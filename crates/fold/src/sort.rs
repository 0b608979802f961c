//! Rows of many batches → one order by key: what delta files are written in, and what winners come in.
//!
//! Sorting goes by numbers: eight bytes of every id, behind what all ids have in common, decide most comparisons.

use std::cmp::Ordering;

use arrow::{array::RecordBatch, compute::interleave_record_batch};

use crate::{FoldError, order::Order};

/// A row of one of the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) batch: u32,
    pub(crate) row: u32,
}

/// Changes in the order of delta files: by `_id`, then greatest first, in batches of at most `rows_max` rows.
/// All batches have one schema with the key and order columns of `columns::changes_schema`.
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn changes(batches: &[RecordBatch], rows_max: usize) -> Result<Vec<RecordBatch>, FoldError> {
    let orders = batches.iter().map(Order::of).collect::<Result<Vec<_>, _>>()?;
    let all = |(batch, order): (usize, &Order<'_>)| {
        (0..order.len()).map(move |row| Row { batch: batch as u32, row: row as u32 })
    };
    let mut rows: Vec<Row> = orders.iter().enumerate().flat_map(all).collect();
    by_id(&mut rows, &orders, |left, right| {
        orders[right.batch as usize].compare(right.row as usize, &orders[left.batch as usize], left.row as usize)
    });
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    let taken = rows.chunks(rows_max.max(1)).map(|rows| take(&sources, rows));
    taken.collect()
}

/// Sorts rows by the bytes of their ids; equal ids as `ties` says.
pub(crate) fn by_id(rows: &mut Vec<Row>, orders: &[Order<'_>], ties: impl Fn(&Row, &Row) -> Ordering) {
    let id = |row: &Row| orders[row.batch as usize].id(row.row as usize);
    let common = common_prefix(rows.iter().map(id));
    let mut keyed: Vec<(u64, Row)> = rows.iter().map(|row| (prefix(&id(row)[common..]), *row)).collect();
    keyed.sort_unstable_by(|(a, left), (b, right)| {
        a.cmp(b).then_with(|| id(left).cmp(id(right))).then_with(|| ties(left, right))
    });
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

/// The rows, in this order.
pub(crate) fn take(sources: &[&RecordBatch], rows: &[Row]) -> Result<RecordBatch, FoldError> {
    let places: Vec<(usize, usize)> = rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
    Ok(interleave_record_batch(sources, &places)?)
}

#[cfg(test)]
mod tests {
    use tidemark_model::Ids;

    use super::*;
    use crate::rows::{Change, changes as batch, history, read, shuffle};

    #[test]
    fn deltas_stand_by_id_then_greatest_first() {
        for seed in 0..100 {
            let random = Ids::seeded(seed);
            let mut rows = history(&random, 0, 500);
            shuffle(&random, &mut rows);
            let batches: Vec<RecordBatch> = rows.chunks(77).map(batch).collect();
            let found: Vec<Change> = changes(&batches, 100).expect("sorts").iter().flat_map(read).collect();
            rows.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()).then_with(|| b.key().cmp(&a.key())));
            assert_eq!(found, rows, "seed {seed}");
        }
        assert!(changes(&[], 10).expect("sorts").is_empty());
    }
}
