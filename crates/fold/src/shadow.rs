//! Winners against a base: which of them stand, and which rows of the base they hide (time.md, section 4, Look-up).
//!
//! Winners and base files are sorted by key, so both walk forward together, galloping over runs without a match: a
//! small overlay over a large base costs little more than its own look-ups, a large one no more than a merge.

use std::cmp::Ordering;

use arrow::{
    array::{Array, BooleanArray, RecordBatch, StringArray},
    compute::filter_record_batch,
};
use tidemark_model::Instant;

use crate::{
    FoldError,
    columns::doc,
    order::{self, Order},
};

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
    /// `_id, _ts, _system_time, _seq, _bookmark` in file order, ascending by `_id`; may be several batches. `_id` alone
    /// where [`are_above`] says that it is enough.
    pub batches: Vec<RecordBatch>,
}

/// Whether all winners lie above everything that was ever folded into a base, so that its keys without their order
/// decide.
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn are_above(winners: &RecordBatch, greatest: &Greatest) -> Result<bool, FoldError> {
    let order = Order::of(winners)?;
    Ok((0..order.len()).all(|row| is_above(&order, row, greatest)))
}

fn is_above(order: &Order<'_>, row: usize, greatest: &Greatest) -> bool {
    let ts = Instant::from_micros(order.ts[row]);
    (ts, order.bookmark(row)) > (greatest.ts, greatest.bookmark.as_deref())
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
    if winners.num_rows() == 0 {
        return Ok(Shadows { overlay: winners.clone(), hidden: vec![Vec::new(); base.len()] });
    }
    let mut resolving = Resolving { winners: Order::of(winners)?, greatest, stands: vec![true; winners.num_rows()] };
    let hidden = base.iter().map(|file| resolving.file(file)).collect::<Result<_, _>>()?;
    let stands = resolving.stands;
    let overlay = if stands.iter().all(|stands| *stands) {
        winners.clone()
    } else {
        filter_record_batch(winners, &BooleanArray::from(stands))?
    };
    Ok(Shadows { overlay, hidden })
}

struct Resolving<'a> {
    winners: Order<'a>,
    greatest: Option<&'a Greatest>,
    stands: Vec<bool>,
}

impl Resolving<'_> {
    /// The hidden rows of one file.
    fn file(&mut self, file: &BaseKeys) -> Result<Vec<u64>, FoldError> {
        let (mut hidden, mut first_row, mut winner) = (Vec::new(), 0, 0);
        for batch in &file.batches {
            let entries = Entries::of(batch)?;
            winner = self.batch(winner, &entries, |entry| hidden.push(first_row + entry as u64))?;
            first_row += batch.num_rows() as u64;
        }
        Ok(hidden)
    }

    /// Walks winners, from the given one, and the entries of a batch together; returns where the next batch begins.
    fn batch(
        &mut self,
        mut winner: usize,
        entries: &Entries<'_>,
        mut hide: impl FnMut(usize),
    ) -> Result<usize, FoldError> {
        let (count, rows) = (self.winners.len(), entries.ids.len());
        let mut entry = 0;
        while winner < count && entry < rows {
            let (wanted, found) = (self.winners.id(winner), entries.id(entry));
            match wanted.cmp(found) {
                Ordering::Less => winner = gallop(winner, count, |at| self.winners.id(at) < found),
                Ordering::Greater => entry = gallop(entry, rows, |at| entries.id(at) < wanted),
                Ordering::Equal => {
                    if self.wins(winner, entries, entry)? {
                        hide(entry);
                    } else {
                        self.stands[winner] = false;
                    }
                    (winner, entry) = (winner + 1, entry + 1);
                }
            }
        }
        Ok(winner)
    }

    /// Whether a winner stands against the entry of its key. Above the greatest ever folded it needs no comparison.
    fn wins(&self, winner: usize, entries: &Entries<'_>, entry: usize) -> Result<bool, FoldError> {
        if self.greatest.is_some_and(|greatest| is_above(&self.winners, winner, greatest)) {
            return Ok(true);
        }
        let order = entries.order.as_ref().ok_or(FoldError::Column(doc::TS))?;
        Ok(self.winners.compare(winner, order, entry) != Ordering::Less)
    }
}

/// Entries of a base: their keys, and their order where it was read.
struct Entries<'a> {
    ids: &'a StringArray,
    order: Option<Order<'a>>,
}

impl<'a> Entries<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        let has_order = batch.column_by_name(doc::TS).is_some();
        let order = if has_order { Some(Order::of(batch)?) } else { None };
        Ok(Self { ids: order::utf8(batch, doc::ID)?, order })
    }

    fn id(&self, entry: usize) -> &'a [u8] {
        self.ids.value(entry).as_bytes()
    }
}

/// The first place in `(from, end]` where `below` does not hold, known to hold at `from`: doubling steps, then halving.
pub(crate) fn gallop(from: usize, end: usize, below: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (from, 1);
    while low + step < end && below(low + step) {
        (low, step) = (low + step, step * 2);
    }
    let (mut low, mut high) = (low + 1, (low + step).min(end));
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests;
