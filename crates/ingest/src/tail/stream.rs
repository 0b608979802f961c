//! Durable rows of one table in the order they came, in few batches however small the appends were.
//!
//! Small batches at the end are put together whenever there are [`SMALL_COUNT`] of them, so a reader never gets more than
//! that many besides full ones, and each row is copied a bounded number of times. The copies come on top of the rows
//! that wait for their flush: at most as much again per table, and only for small appends.

use std::collections::VecDeque;

use arrow::{array::RecordBatch, compute::concat_batches};
use tidemark_model::{Instant, Mark, Positions};

/// A batch below this many rows is small. Larger ones are not worth the copy, which the log's thread would make.
const SMALL_ROWS: usize = 512;
/// How many small batches may stand at the end.
const SMALL_COUNT: usize = 64;

/// Rows of one or more appends.
#[derive(Debug)]
struct Slice {
    /// System time of the newest.
    newest: Instant,
    /// Where they stand, in the order of the rows.
    positions: Vec<Positions>,
    rows: RecordBatch,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Stream {
    slices: VecDeque<Slice>,
    /// How many at the end are small.
    small: usize,
}

impl Stream {
    /// Takes rows in; they come in order of system time.
    pub(super) fn push(&mut self, newest: Instant, positions: Vec<Positions>, rows: RecordBatch) {
        self.small = if rows.num_rows() < SMALL_ROWS { self.small + 1 } else { 0 };
        self.slices.push_back(Slice { newest, positions, rows });
        if self.small >= SMALL_COUNT {
            self.coalesce();
        }
    }

    fn coalesce(&mut self) {
        let small = self.slices.split_off(self.slices.len().saturating_sub(self.small));
        let Some((newest, schema)) = small.back().map(|slice| (slice.newest, slice.rows.schema())) else { return };
        match concat_batches(&schema, small.iter().map(|slice| &slice.rows)) {
            Ok(rows) => {
                self.small = usize::from(rows.num_rows() < SMALL_ROWS);
                let positions = joined(small.iter().flat_map(|slice| &slice.positions));
                self.slices.push_back(Slice { newest, positions, rows });
            }
            // Too much text for one batch: they stay as they are, and are not looked at again.
            Err(_) => {
                self.small = 0;
                self.slices.extend(small);
            }
        }
    }

    /// Adds the rows after a mark.
    pub(super) fn read(&self, after: &Mark, out: &mut Vec<RecordBatch>) {
        self.slices.iter().for_each(|slice| push_after(out, slice, after));
    }

    /// Drops batches that a manifest covers whole; one that it covers in part is cut when it is read.
    pub(super) fn drop_covered(&mut self, system_time: Instant) {
        let covered = self.slices.partition_point(|slice| slice.newest <= system_time);
        self.slices.drain(..covered);
        self.small = self.small.min(self.slices.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }
}

/// Runs that follow one another become one.
fn joined<'p>(runs: impl Iterator<Item = &'p Positions>) -> Vec<Positions> {
    let mut joined: Vec<Positions> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.shard == run.shard && last.last + 1 == run.first => last.last = run.last,
            _ => joined.push(*run),
        }
    }
    joined
}

/// The whole batch where it can be, slices of it where it must.
fn push_after(out: &mut Vec<RecordBatch>, slice: &Slice, after: &Mark) {
    if slice.rows.num_rows() == 0 {
        return;
    }
    if slice.positions.iter().all(|run| !after.covers(run.shard, run.first)) {
        out.push(slice.rows.clone());
        return;
    }
    let mut row = 0;
    for run in &slice.positions {
        let count = usize::try_from(run.count()).unwrap_or(0);
        let covered = usize::try_from(after.seq(run.shard) - run.first + 1).unwrap_or(0).min(count);
        if covered < count {
            out.push(slice.rows.slice(row + covered, count - covered));
        }
        row += count;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, new_null_array};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use tidemark_fold::columns::events_schema;
    use tidemark_model::Shard;

    use super::*;

    /// Rows of which only the last column, the sequence, is of interest; nothing else is null where it must not be.
    fn rows(first: i64, count: i64) -> RecordBatch {
        let fields: Vec<Field> = events_schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let length = usize::try_from(count).expect("small");
        let mut columns: Vec<ArrayRef> = fields.iter().map(|f| new_null_array(f.data_type(), length)).collect();
        let last = columns.len() - 1;
        columns[last] = Arc::new(Int64Array::from_iter_values(first..first + count));
        let nullable = Schema::new(fields.into_iter().map(|f| f.with_nullable(true)).collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(nullable), columns).expect("rows")
    }

    #[test]
    fn small_appends_become_few_batches_and_stay_exact() {
        let shard = Shard(3);
        let mut stream = Stream::default();
        for seq in 0..10_000 {
            let run = Positions { shard, first: seq, last: seq };
            stream.push(Instant::from_micros(seq), vec![run], rows(seq, 1));
        }
        assert!(stream.slices.len() < SMALL_COUNT + 10_000 / SMALL_ROWS + 1, "{} batches", stream.slices.len());
        for (dropped, after) in
            [(-1, -1), (-1, 0), (-1, 63), (-1, 511), (4000, 4000), (4000, 4095), (5000, 5000), (5000, 9999)]
        {
            stream.drop_covered(Instant::from_micros(dropped));
            let mut out = Vec::new();
            stream.read(&Mark::of(shard, after), &mut out);
            let column = |batch: &RecordBatch| batch.columns()[15].as_primitive::<Int64Type>().values().to_vec();
            let seqs: Vec<i64> = out.iter().flat_map(column).collect();
            assert_eq!(seqs, (after + 1..10_000).collect::<Vec<_>>(), "after {after}");
        }
    }
}
