//! Durable rows of one table in the order they came, in few batches however small the appends were.
//!
//! A batch takes room besides its values ([`BATCH_BYTES`]), of a small event forty times as much. So whenever [`FAN`]
//! batches of about one size stand at the end they become one: each row is copied at most three times, and some twenty
//! small batches stand besides the large ones. Two streams that keep the rows of a small append keep copies of their own.

use std::collections::VecDeque;

use arrow::{array::RecordBatch, compute::concat_batches};
use tidemark_model::{Instant, Mark, Positions};

/// What a batch takes besides its values: arrays, buffers and what the allocator rounds up, about.
pub(super) const BATCH_BYTES: usize = 8 << 10;
/// How many batches of about one size stand at the end at most, and by how much sizes differ.
const FAN: usize = 8;
/// From so many rows on a batch is not worth the copy, which the log's thread would make.
const LARGE_ROWS: usize = FAN.pow(3);

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
    /// How many at the front are not looked at again.
    settled: usize,
}

impl Stream {
    /// Takes rows in; they come in order of system time.
    pub(super) fn push(&mut self, newest: Instant, positions: Vec<Positions>, rows: RecordBatch) {
        self.slices.push_back(Slice { newest, positions, rows });
        while self.coalesce() {}
    }

    /// Puts together what stands at the end and is no larger than the last batch, if that is worth it.
    fn coalesce(&mut self) -> bool {
        let Some(most) = self.slices.back().map(|slice| size_class(&slice.rows)) else { return false };
        if most >= size_class_of(LARGE_ROWS) {
            self.settled = self.slices.len();
            return false;
        }
        let loose = self.slices.range(self.settled..).rev();
        let alike = loose.take_while(|slice| size_class(&slice.rows) <= most).count();
        if alike < FAN {
            return false;
        }
        let small = self.slices.split_off(self.slices.len() - alike);
        let Some((newest, schema)) = small.back().map(|slice| (slice.newest, slice.rows.schema())) else {
            return false;
        };
        match concat_batches(&schema, small.iter().map(|slice| &slice.rows)) {
            Ok(rows) => {
                let positions = joined(small.iter().flat_map(|slice| &slice.positions));
                self.slices.push_back(Slice { newest, positions, rows });
                true
            }
            // Too much text for one batch: they stay as they are.
            Err(_) => {
                self.slices.extend(small);
                self.settled = self.slices.len();
                false
            }
        }
    }

    /// How many batches it has.
    pub(super) fn batches(&self) -> usize {
        self.slices.len()
    }

    /// Adds the rows after a mark.
    pub(super) fn read(&self, after: &Mark, out: &mut Vec<RecordBatch>) {
        self.slices.iter().for_each(|slice| push_after(out, slice, after));
    }

    /// Drops batches that a manifest covers whole; one that it covers in part is cut when it is read.
    pub(super) fn drop_covered(&mut self, system_time: Instant) {
        let covered = self.slices.partition_point(|slice| slice.newest <= system_time);
        self.slices.drain(..covered);
        self.settled = self.settled.saturating_sub(covered);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }
}

/// Batches of one class are of about one size.
fn size_class(rows: &RecordBatch) -> u32 {
    size_class_of(rows.num_rows())
}

const fn size_class_of(rows: usize) -> u32 {
    if rows == 0 { 0 } else { rows.ilog(FAN) }
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

    fn one(shard: Shard, seq: i64) -> Vec<Positions> {
        vec![Positions { shard, first: seq, last: seq }]
    }

    #[test]
    fn small_appends_become_few_batches_and_stay_exact() {
        let shard = Shard(3);
        let mut stream = Stream::default();
        for seq in 0..10_000 {
            stream.push(Instant::from_micros(seq), one(shard, seq), rows(seq, 1));
            let large = usize::try_from(seq).expect("positive") / LARGE_ROWS;
            assert!(stream.batches() <= large + 3 * (FAN - 1) + 1, "{} batches of {seq} rows", stream.batches());
        }
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

    #[test]
    fn appends_of_changing_sizes_become_few_batches() {
        let (shard, mut stream, mut seq) = (Shard(0), Stream::default(), 0);
        for step in 0..600 {
            let count = [1, 100, 9, 1, 1][step % 5];
            let run = Positions { shard, first: seq, last: seq + count - 1 };
            stream.push(Instant::from_micros(run.last), vec![run], rows(seq, count));
            seq += count;
            if step % 200 == 199 {
                stream.drop_covered(Instant::from_micros(seq / 2));
            }
        }
        let (kept, large) = (seq - seq / 2, i64::try_from(LARGE_ROWS).expect("small"));
        let most = usize::try_from(kept / large).expect("positive") + 2 * 3 * (FAN - 1);
        assert!(stream.batches() <= most, "{} batches of {kept} rows", stream.batches());
        let mut out = Vec::new();
        stream.read(&Mark::of(shard, seq - 2), &mut out);
        assert_eq!(out.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }
}
