//! What `pick` promises, as tables of input and expectation.

use tidemark_catalog::manifest::{FORMAT, Head, Range};
use tidemark_model::{DocSchema, Instant};

use super::*;

const NEVER: Instant = Instant::from_micros(0);
const AT: Range<Instant> = Range { min: NEVER, max: NEVER };

fn delta(number: u64, rows: u64, seq: i64) -> DeltaFile {
    DeltaFile {
        number,
        path: format!("deltas/{number}"),
        planned_on: 0,
        rows,
        bytes: rows * 10,
        sha256: String::new(),
        seq: Range { min: seq - 1, max: seq },
        system_time: AT,
        ts: AT,
        id: Range { min: "a".to_owned(), max: "b".to_owned() },
        schema_id: 1,
    }
}

fn manifest(base: Option<(i64, u64)>, deltas: Vec<DeltaFile>) -> CollectionManifest {
    let base = base.map(|(mark, rows)| Base {
        planned_on: 0,
        mark,
        system_time: NEVER,
        max_ts: NEVER,
        max_bookmark: None,
        rows,
        changes: rows,
        parts: Vec::new(),
        tombstones: Vec::new(),
        schema: DocSchema::default(),
        bound: None,
    });
    let put_id = String::new();
    CollectionManifest {
        head: Head { format: FORMAT, version: 1, epoch: 1, put_id, committed_at: NEVER, orphans_below: 0 },
        mark: 100,
        deltas,
        bases: base.into_iter().collect(),
        ..CollectionManifest::before_first()
    }
}

fn pace(bytes_max: u64) -> Pace {
    Pace { ratio: 0.1, rows_min: 10, apart_rows: 100_000, bytes_max }
}

#[test]
fn a_fold_is_due_at_a_tenth_of_the_live_documents() {
    let pace = pace(0);
    for (base, rows, due) in [
        (None, vec![9], false),
        (None, vec![5, 5], true),
        (None, vec![], false),
        (Some((9, 100)), vec![5, 5], false),
        (Some((9, 100)), vec![50, 9], false),
        (Some((9, 100)), vec![50, 10], true),
        (Some((9, 101)), vec![50, 10], false),
        (Some((9, 0)), vec![50, 9], false),
        (Some((9, 0)), vec![50, 10], true),
    ] {
        let deltas =
            (1..).zip(&rows).map(|(number, rows)| delta(number, *rows, i64::try_from(number * 9).expect("small")));
        assert_eq!(pace.is_due(&manifest(base, deltas.collect())), due, "{base:?} {rows:?}");
    }
    let never = Pace { rows_min: 0, ..pace };
    assert!(!never.is_due(&manifest(None, Vec::new())));
}

#[test]
fn a_plan_takes_deltas_in_order_up_to_its_bytes() {
    let deltas = || vec![delta(1, 10, 9), delta(2, 20, 19), delta(3, 10, 29)];
    for (base, bytes_max, expected) in [
        (None, 0, Some(vec![1])),
        (None, 300, Some(vec![1, 2])),
        (None, 400, Some(vec![1, 2, 3])),
        (Some((9, 1)), 100, Some(vec![2])),
        (Some((19, 1)), u64::MAX, Some(vec![3])),
        (Some((29, 1)), u64::MAX, None),
    ] {
        let manifest = manifest(base, deltas());
        let plan = plan(&manifest, &pace(bytes_max));
        let numbers = plan.map(|plan| plan.deltas.iter().map(|delta| delta.number).collect::<Vec<_>>());
        assert_eq!(numbers, expected, "{base:?} {bytes_max}");
    }
}

/// No more changes than there are documents lie between two bases, but for a file that alone holds more.
#[test]
fn a_plan_takes_about_as_many_changes_as_there_are_documents() {
    for (live, rows, expected) in [
        (10, [40_000, 40_000, 40_000], vec![1, 2]),
        (10, [140_000, 40_000, 40_000], vec![1]),
        (120_000, [40_000, 40_000, 40_000], vec![1, 2, 3]),
        (200_000, [140_000, 140_000, 40_000], vec![1]),
    ] {
        let deltas = rows.iter().zip([9, 19, 29]).zip(1..).map(|((rows, last), number)| delta(number, *rows, last));
        let manifest = manifest(Some((-1, live)), deltas.collect());
        let plan = plan(&manifest, &pace(u64::MAX)).expect("a plan");
        let numbers: Vec<u64> = plan.deltas.iter().map(|delta| delta.number).collect();
        assert_eq!(numbers, expected, "{live} {rows:?}");
    }
}
