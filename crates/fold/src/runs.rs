//! Stretches of rows of several batches that become one batch.

use arrow::{
    array::RecordBatch,
    compute::{concat_batches, interleave_record_batch},
    error::ArrowError,
};

/// From this mean length on, runs are copied as slices instead of row by row.
const RUN_ROWS_MIN: usize = 16;

/// Rows of one batch that follow each other in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The number of the batch.
    pub batch: usize,
    /// The first row.
    pub from: usize,
    /// The row behind the last.
    pub to: usize,
}

impl Run {
    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.to - self.from
    }
}

/// The rows of the runs, in their order, as one batch. All sources have one schema, and there is at least one.
///
/// # Errors
/// What the kernel says.
pub fn copy(sources: &[&RecordBatch], runs: &[Run]) -> Result<RecordBatch, ArrowError> {
    let rows: usize = runs.iter().map(Run::rows).sum();
    if rows >= runs.len() * RUN_ROWS_MIN {
        let slices: Vec<RecordBatch> = runs.iter().map(|run| sources[run.batch].slice(run.from, run.rows())).collect();
        return concat_batches(sources[0].schema_ref(), &slices);
    }
    let places: Vec<(usize, usize)> =
        runs.iter().flat_map(|run| (run.from..run.to).map(|row| (run.batch, row))).collect();
    interleave_record_batch(sources, &places)
}

#[cfg(test)]
mod tests {
    use tidemark_model::Ids;

    use super::*;
    use crate::rows::{changes, history, read};

    #[test]
    fn slices_and_single_rows_copy_alike() {
        let random = Ids::seeded(5);
        let rows = history(&random, 0, 300);
        let batch = changes(&rows);
        for lengths in [[1, 2, 3], [60, 80, 100]] {
            let runs: Vec<Run> = lengths.iter().map(|n| Run { batch: 0, from: *n, to: n * 2 }).collect();
            let expected: Vec<_> = runs.iter().flat_map(|run| rows[run.from..run.to].to_vec()).collect();
            assert_eq!(read(&copy(&[&batch], &runs).expect("copies")), expected);
        }
    }
}
