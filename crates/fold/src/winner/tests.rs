//! What `winner` promises, as tables of input and expectation.

use tidemark_model::Ids;

use super::*;
use crate::rows::{Change, below, changes, fold, history, read, shuffle};

fn batches(random: &Ids, rows: &[Change]) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let count = usize::try_from(1 + below(random, 400)).expect("small").min(rest.len());
        batches.push(changes(&rest[..count]));
        rest = &rest[count..];
    }
    batches
}

fn random_counts(random: &Ids) -> Counts {
    let valid = below(random, 40);
    Counts {
        after: below(random, 20) - 1,
        system_time: Instant::from_micros(1000 + below(random, 900)),
        valid_time: (below(random, 2) == 0).then(|| Instant::from_micros(valid)),
    }
}

/// C3, and the rule of section 2 over ties, bookmarks and bounds: 400 histories against the fold told literally.
#[test]
fn winners_are_the_literal_fold_of_any_permutation() {
    for seed in 0..400 {
        let random = Ids::seeded(seed);
        let mut rows = history(&random, 0, usize::try_from(below(&random, 1500)).expect("small"));
        for counts in [Counts::ALL, random_counts(&random), random_counts(&random)] {
            let expected = fold(&rows, &counts);
            shuffle(&random, &mut rows);
            let batches = batches(&random, &rows);
            let found = winners(&batches, &counts).expect("folds");
            let found = if batches.is_empty() { Vec::new() } else { read(&found) };
            assert_eq!(found, expected, "seed {seed}, {counts:?}");
        }
    }
}

/// C2: positions that come twice count once. C1: folding a fold and what came later equals folding all.
#[test]
fn folding_twice_and_in_steps_equals_folding_once() {
    for seed in 1000..1200 {
        let random = Ids::seeded(seed);
        let (early, late) = (history(&random, 0, 300), history(&random, 300, 300));
        let all: Vec<Change> = early.iter().chain(&late).cloned().collect();
        let expected = fold(&all, &Counts::ALL);
        let twice = winners(&[changes(&all), changes(&early), changes(&late)], &Counts::ALL).expect("folds");
        assert_eq!(read(&twice), expected, "seed {seed}");
        let first = winners(&[changes(&early)], &Counts::ALL).expect("folds");
        let steps = winners(&[first, changes(&late)], &Counts::ALL).expect("folds");
        assert_eq!(read(&steps), expected, "seed {seed}");
    }
}

/// Many keys are parted by their hash; whatever the limits are, the same rows win.
#[test]
fn parts_find_the_same_winners() {
    for seed in 2000..2200 {
        let random = Ids::seeded(seed);
        let rows = history(&random, 0, 2000);
        let size = |end| 1 + usize::try_from(below(&random, end)).expect("small");
        let limits = contest::Limits { keys_together: size(20), rows_parted_min: size(1500), stretch: size(900) };
        let batches = batches(&random, &rows);
        let orders: Vec<Order<'_>> = batches.iter().map(|batch| Order::of(batch).expect("the columns")).collect();
        let counts = random_counts(&random);
        let won = contest::winning_rows(&orders, &counts, limits);
        let seq = |row: &Row| orders[row.batch as usize].seq[row.row as usize];
        let mut won: Vec<i64> = won.iter().map(seq).collect();
        won.sort_unstable();
        let mut expected: Vec<i64> = fold(&rows, &counts).iter().map(|change| change.seq).collect();
        expected.sort_unstable();
        assert_eq!(won, expected, "seed {seed}, {limits:?}, {counts:?}");
    }
}

#[test]
fn many_keys_make_the_table_grow() {
    let random = Ids::seeded(7);
    let key = |n: i64| Change { id: format!("{n}"), delete: false, ts: n, system_time: n, seq: n, bookmark: None };
    let mut rows: Vec<Change> = (0..200_000).map(key).collect();
    let expected = fold(&rows, &Counts::ALL);
    shuffle(&random, &mut rows);
    assert_eq!(read(&winners(&[changes(&rows)], &Counts::ALL).expect("folds")), expected);
}

#[test]
fn a_single_batch_without_losers_in_order_is_handed_on() {
    let key = |n: i64| Change { id: format!("{n:03}"), delete: false, ts: 0, system_time: n, seq: n, bookmark: None };
    let batch = changes(&(0..100).map(key).collect::<Vec<_>>());
    let found = winners(std::slice::from_ref(&batch), &Counts::ALL).expect("folds");
    assert_eq!(found, batch);
    assert!(std::sync::Arc::ptr_eq(found.column(0), batch.column(0)));
}

#[test]
fn wrong_columns_are_refused_by_name() {
    let batch = changes(&[]).project(&[0, 1, 2, 3, 4]).expect("projects");
    assert!(matches!(winners(&[batch], &Counts::ALL), Err(FoldError::Column("_bookmark"))));
}
