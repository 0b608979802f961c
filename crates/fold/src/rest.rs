//! Of changes those that count and that a base does not hold (time.md, section 4, Overlay).
//!
//! A base holds the positions up to its mark with source times up to its bound. Folding a position twice equals once, so
//! a row too many is never wrong, only dear.

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
};
use tidemark_model::{Instant, Seq, position::BEFORE_ALL};

use crate::{FoldError, order::Order, winner::Counts};

/// What a base holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Positions up to here …
    pub mark: Seq,
    /// … with a source time up to here; without a bound all of them.
    pub bound: Option<Instant>,
}

impl Held {
    /// What the empty base holds.
    pub const NOTHING: Self = Self { mark: BEFORE_ALL, bound: None };

    /// Whether something is left of positions and source times that end at these.
    #[must_use]
    pub fn leaves(&self, seq_max: Seq, ts_max: Instant) -> bool {
        seq_max > self.mark || self.bound.is_some_and(|bound| ts_max > bound)
    }
}

/// The rows that the base does not hold and that lie within the instants of `counts`; its position is not looked at.
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn rest(batch: &RecordBatch, held: Held, counts: &Counts) -> Result<RecordBatch, FoldError> {
    let order = Order::of(batch)?;
    let bound = held.bound.map_or(i64::MAX, Instant::micros);
    let (until, valid) = (counts.system_time.micros(), counts.valid_time.map_or(i64::MAX, Instant::micros));
    let wanted = |row: usize| {
        (order.seq[row] > held.mark || order.ts[row] > bound)
            && order.system_time[row] <= until
            && order.ts[row] <= valid
    };
    let wanted: BooleanArray = (0..order.len()).map(wanted).collect::<Vec<bool>>().into();
    if wanted.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &wanted)?)
}

#[cfg(test)]
mod tests {
    use tidemark_model::Ids;

    use super::*;
    use crate::{rows, winner::winners};

    /// What a base holds and the rest together decide like everything at once, whatever mark and bound.
    #[test]
    fn a_base_and_the_rest_are_everything() {
        let at = Instant::from_micros;
        for seed in 0..200 {
            let random = Ids::seeded(seed);
            let history = rows::history(&random, 0, 60);
            let all = rows::changes(&history);
            let held = Held { mark: rows::below(&random, 60), bound: Some(at(rows::below(&random, 1100))) };
            let base: Vec<_> =
                history.iter().filter(|change| !held.leaves(change.seq, at(change.ts))).cloned().collect();
            let rest = rest(&all, held, &Counts::ALL).expect("fits");
            assert_eq!(rest.num_rows() + base.len(), history.len());
            let both = winners(&[rows::changes(&base), rest], &Counts::ALL).expect("fits");
            assert_eq!(both, winners(&[all], &Counts::ALL).expect("fits"), "seed {seed}, {held:?}");
        }
    }

    #[test]
    fn instants_are_included() {
        let history = rows::history(&Ids::seeded(1), 0, 40);
        let all = rows::changes(&history);
        let at = Instant::from_micros(history[20].system_time);
        let counts = Counts { system_time: at, valid_time: Some(Instant::from_micros(20)), ..Counts::ALL };
        let expected = history.iter().filter(|change| change.system_time <= at.micros() && change.ts <= 20).count();
        assert_eq!(rest(&all, Held::NOTHING, &counts).expect("fits").num_rows(), expected);
    }
}
