//! What `versions` promises: the definition told literally, and the property that makes it right.

use tidemark_model::Ids;

use super::*;
use crate::rows::{Change, below as random_below, changes, fold, history, read, shuffle};

/// Section 3.1 taken literally, for changes in order.
fn literal(points: &[Point]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (change, c) in points.iter().enumerate() {
        let greater = &points[change + 1..];
        let mut ends: Vec<Option<i64>> = greater.iter().map(|g| g.ts).filter(|e| *e > c.ts).map(Some).collect();
        ends.sort_unstable();
        ends.dedup();
        ends.push(None);
        for end in ends {
            let at_end = greater.iter().filter(|g| Some(g.ts) == end).map(|g| g.system_time).min();
            let system_from = at_end.map_or(c.system_time, |least| least.max(c.system_time));
            let before_end = greater.iter().filter(|g| end.is_none_or(|end| g.ts < end));
            let system_to = before_end.map(|g| g.system_time).min();
            if system_to.is_none_or(|to| system_from < to) {
                spans.push(Span { change, valid_to: end, system_from, system_to });
            }
        }
    }
    spans
}

fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.change, span.valid_to.unwrap_or(i64::MAX), span.system_from));
    spans
}

#[test]
fn the_example_of_the_design() {
    let points = [(1, 1), (5, 3), (10, 2)].map(|(ts, system_time)| Point { ts, system_time });
    let found = sorted(spans(&points));
    let row = |change, valid_to, system_from, system_to| Span { change, valid_to, system_from, system_to };
    let expected = [
        row(0, Some(5), 3, None),
        row(0, Some(10), 2, Some(3)),
        row(0, None, 1, Some(2)),
        row(1, Some(10), 3, None),
        row(2, None, 2, None),
    ];
    assert_eq!(found, expected);
}

/// Every history of up to five changes over three source times and three appends: the definition, at most two rows a
/// change, and for every (t, v) exactly the winner.
#[test]
fn every_small_history_has_the_rows_of_the_definition() {
    let kinds: Vec<(i64, i64)> = (1..=3).flat_map(|ts| (1..=3).map(move |st| (ts, st))).collect();
    for length in 0..=5u32 {
        for code in 0..kinds.len().pow(length) {
            let mut picked: Vec<(i64, i64)> =
                (0..length).map(|place| kinds[code / kinds.len().pow(place) % kinds.len()]).collect();
            // The order of a document; ties of both times are by position. Bookmarks may reorder equal source times.
            picked.sort_by_key(|(ts, _)| *ts);
            let points: Vec<Point> =
                picked.iter().map(|(ts, system_time)| Point { ts: *ts, system_time: *system_time }).collect();
            let found = sorted(spans(&points));
            assert_eq!(found, sorted(literal(&points)), "{points:?}");
            assert!(found.len() <= 2 * points.len(), "{points:?}");
            for t in 0..=4 {
                for v in 0..=4 {
                    let counts = |p: &&(usize, &Point)| p.1.system_time <= t && p.1.ts <= v;
                    let winner = points.iter().enumerate().filter(|p| counts(&p)).map(|(at, _)| at).max();
                    let holds = |s: &&Span| {
                        points[s.change].ts <= v
                            && s.valid_to.is_none_or(|to| v < to)
                            && s.system_from <= t
                            && s.system_to.is_none_or(|to| t < to)
                    };
                    let held: Vec<usize> = found.iter().filter(holds).map(|s| s.change).collect();
                    assert_eq!(held, winner.into_iter().collect::<Vec<_>>(), "{points:?} at {t}, {v}");
                }
            }
            let literal_below: Vec<Option<usize>> = (0..points.len())
                .map(|c| (0..c).rev().find(|b| points[*b].system_time <= points[c].system_time))
                .collect();
            assert_eq!(below(&points), literal_below, "{points:?}");
        }
    }
}

fn times<'a>(batch: &'a RecordBatch, name: &str) -> &'a TimestampMicrosecondArray {
    batch.column_by_name(name).expect("the column").as_any().downcast_ref().expect("times")
}

/// Over batches, ids, bookmarks, ties and bounds: the rows that contain (t, v) are the literal fold at (t, v).
#[test]
fn rows_at_an_instant_are_the_fold_at_it() {
    for seed in 0..150 {
        let random = Ids::seeded(seed);
        let size = |end| usize::try_from(random_below(&random, end)).expect("small");
        let mut rows = history(&random, 0, size(200) + 1);
        shuffle(&random, &mut rows);
        let mut batches: Vec<RecordBatch> = rows.chunks(1 + size(40)).map(changes).collect();
        batches.push(changes(&rows[..size(20).min(rows.len())]));
        let counts = Counts {
            after: -1,
            system_time: Instant::from_micros(1000 + random_below(&random, 150)),
            valid_time: None,
        };
        let found = versions(&batches, &counts, Keep::ALL, 1 + size(50)).expect("versions");
        for _ in 0..8 {
            let (t, v) = (counts.system_time.micros().min(990 + random_below(&random, 160)), random_below(&random, 35));
            let v = if v > 30 { 1000 + v } else { v };
            let mut held: Vec<Change> = Vec::new();
            for batch in &found {
                let end = |name, row| Some(times(batch, name)).filter(|it| it.is_valid(row)).map(|it| it.value(row));
                let rows = read(batch);
                held.extend(rows.into_iter().enumerate().filter_map(|(at, change)| {
                    let holds = times(batch, period::VALID_FROM).value(at) <= v
                        && end(period::VALID_TO, at).is_none_or(|to| v < to)
                        && times(batch, period::SYSTEM_FROM).value(at) <= t
                        && end(period::SYSTEM_TO, at).is_none_or(|to| t < to);
                    holds.then_some(change)
                }));
            }
            let asked =
                Counts { system_time: Instant::from_micros(t), valid_time: Some(Instant::from_micros(v)), ..counts };
            assert_eq!(held, fold(&rows, &asked), "seed {seed} at {t}, {v}");
        }
        // What is kept by its ends is what stays of all rows when those that ended are left out.
        let keep = Keep { system: Kept::Open, valid: Kept::Above(Instant::from_micros(12)) };
        let kept = versions(&batches, &counts, keep, usize::MAX).expect("versions");
        let of = |found: &[RecordBatch], keep: Keep| -> Vec<(Change, Option<i64>)> {
            let rows = found.iter().flat_map(|batch| {
                let end = |name, row| Some(times(batch, name)).filter(|it| it.is_valid(row)).map(|it| it.value(row));
                let keeps = |at: usize| {
                    keep.system.keeps(end(period::SYSTEM_TO, at)) && keep.valid.keeps(end(period::VALID_TO, at))
                };
                read(batch)
                    .into_iter()
                    .enumerate()
                    .filter(|(at, _)| keeps(*at))
                    .map(|(at, c)| (c, end(period::VALID_TO, at)))
                    .collect::<Vec<_>>()
            });
            rows.collect()
        };
        assert_eq!(of(&kept, Keep::ALL), of(&found, keep), "seed {seed}");
    }
}

#[test]
fn images_before_are_what_a_change_found() {
    let change = |seq: i64, ts: i64, delete: bool| Change {
        id: "a".to_owned(),
        delete,
        ts,
        system_time: 100 + seq,
        seq,
        bookmark: None,
    };
    // In order of source time: 0, then the late 3, then 1, the delete 2 on top.
    let rows =
        [change(0, 10, false), change(1, 30, false), change(2, 40, true), change(3, 20, false), change(4, 50, false)];
    let found = versions(&[changes(&rows)], &Counts::ALL, Keep::ALL, 100).expect("versions");
    let prev = utf8(&found[0], doc::PREV).expect("images");
    let mut images: Vec<(i64, Option<&str>)> =
        read(&found[0]).iter().enumerate().map(|(at, c)| (c.seq, prev.is_valid(at).then(|| prev.value(at)))).collect();
    images.sort_unstable();
    images.dedup();
    let expected = [
        (0, None),
        // When 1 came, 3 was not there yet.
        (1, Some(r#"{"n":0}"#)),
        (2, Some(r#"{"n":1}"#)),
        (3, Some(r#"{"n":0}"#)),
        // Below it is a delete.
        (4, None),
    ];
    assert_eq!(images, expected);
    assert!(versions(&[], &Counts::ALL, Keep::ALL, 10).expect("nothing").is_empty());
}
