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
    in_order(rows_of(&orders), &orders, batches, rows_max)
}

/// The same, in pieces of at most `piece_rows` rows and about one size by their positions: all of one piece came before
/// all of the next, so that a question about an instant reads the pieces up to it.
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn pieces(batches: &[RecordBatch], piece_rows: usize, rows_max: usize) -> Result<Vec<Vec<RecordBatch>>, FoldError> {
    let orders = batches.iter().map(Order::of).collect::<Result<Vec<_>, _>>()?;
    let mut positions: Vec<i64> = orders.iter().flat_map(|order| order.seq.iter().copied()).collect();
    let count = positions.len().div_ceil(piece_rows.max(1));
    if count <= 1 {
        return Ok(vec![in_order(rows_of(&orders), &orders, batches, rows_max)?]);
    }
    positions.sort_unstable();
    let lasts: Vec<i64> =
        positions.chunks(positions.len().div_ceil(count)).filter_map(|piece| piece.last().copied()).collect();
    let mut pieces = vec![Vec::new(); lasts.len()];
    for row in rows_of(&orders) {
        let position = orders[row.batch as usize].seq[row.row as usize];
        pieces[lasts.partition_point(|last| *last < position)].push(row);
    }
    pieces.into_iter().map(|rows| in_order(rows, &orders, batches, rows_max)).collect()
}

fn rows_of(orders: &[Order<'_>]) -> Vec<Row> {
    let all = |(batch, order): (usize, &Order<'_>)| {
        (0..order.len()).map(move |row| Row { batch: batch as u32, row: row as u32 })
    };
    orders.iter().enumerate().flat_map(all).collect()
}

/// These rows in the order of delta files.
fn in_order(
    mut rows: Vec<Row>,
    orders: &[Order<'_>],
    batches: &[RecordBatch],
    rows_max: usize,
) -> Result<Vec<RecordBatch>, FoldError> {
    by_id(&mut rows, orders, |left, right| {
        orders[right.batch as usize].compare(right.row as usize, &orders[left.batch as usize], left.row as usize)
    });
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    rows.chunks(rows_max.max(1)).map(|rows| take(&sources, rows)).collect()
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

    /// Pieces hold every change once, follow each other by position, and are sorted like deltas.
    #[test]
    fn pieces_follow_each_other_by_position() {
        for (seed, piece_rows, count) in [(1, 100, 5), (2, 499, 2), (3, 500, 1), (4, 1, 500)] {
            let random = Ids::seeded(seed);
            let mut rows = history(&random, 0, 500);
            shuffle(&random, &mut rows);
            let batches: Vec<RecordBatch> = rows.chunks(77).map(batch).collect();
            let pieces = pieces(&batches, piece_rows, 50).expect("sorts");
            let found: Vec<Vec<Change>> = pieces.iter().map(|piece| piece.iter().flat_map(read).collect()).collect();
            assert_eq!(found.len(), count);
            let positions = |piece: &Vec<Change>| {
                let positions: Vec<i64> = piece.iter().map(|change| change.seq).collect();
                (positions.iter().min().copied(), positions.iter().max().copied())
            };
            assert!(found.windows(2).all(|pair| positions(&pair[0]).1 < positions(&pair[1]).0), "seed {seed}");
            for (piece, found) in pieces.iter().zip(&found) {
                let sorted: Vec<Change> = changes(piece, 50).expect("sorts").iter().flat_map(read).collect();
                assert_eq!(sorted, *found, "seed {seed}");
            }
            let mut all: Vec<Change> = found.concat();
            all.sort_by_key(|change| change.seq);
            rows.sort_by_key(|change| change.seq);
            assert_eq!(all, rows, "seed {seed}");
        }
    }
}
