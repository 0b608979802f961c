//! Where on the axis of source time a checkpoint is due: pure functions of the manifest.
//!
//! How many changes happened up to a source time is estimated from the deltas' ranges, as if evenly spread in each. A
//! border stands after every so many changes; the first one that a question would have to read more than that for, from
//! the best base there is, is due.

use std::collections::BTreeMap;

use tidemark_catalog::{
    Base, CollectionManifest,
    manifest::{DeltaFile, Outside},
};
use tidemark_model::{Instant, calendar::Unit};

use crate::{
    Config,
    fold::pick::{Place, Plan},
};

/// How much further apart than states checkpoints stand: states serve this axis too where changes come in order.
const APART: u64 = 4;

/// How far apart checkpoints stand and how many there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Changes that a question may have to read.
    pub(crate) rows: u64,
    /// Checkpoints that stay.
    pub(crate) count_max: usize,
}

impl Pace {
    /// As far apart as states by ratio, further where the history is so long, or a base so large, that all of them would
    /// not fit their budget.
    pub(crate) fn of(config: &Config, manifest: &CollectionManifest) -> Self {
        let (live, bytes) = manifest.bases.last().map_or((0, 0), |base| (base.rows, base.bytes()));
        let by_bytes = config
            .bases_bytes_max
            .checked_div(bytes)
            .map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let count_max = config.checkpoints_max.min(by_bytes);
        let changes: u64 = manifest.deltas.iter().map(|delta| delta.rows).sum();
        let by_ratio = (config.fold_ratio * live as f64) as u64;
        let spread = changes.saturating_mul(2).checked_div(count_max as u64).unwrap_or(u64::MAX);
        let rows = by_ratio.max(config.fold_rows_min).saturating_mul(APART).max(spread).max(1);
        Self { rows, count_max }
    }
}

/// The border at which a checkpoint is due.
pub(crate) fn due(manifest: &CollectionManifest, pace: &Pace) -> Option<Instant> {
    // Those of this very mark are as good as they get: more of them would only push each other out.
    if manifest.checkpoints.iter().filter(|base| base.mark == manifest.mark).count() >= pace.count_max {
        return None;
    }
    let end = manifest.deltas.iter().map(|delta| delta.ts.max).max()?;
    let borders = borders(&manifest.deltas, pace.rows).into_iter().filter(|border| *border < end);
    // What was dropped needs none.
    let mut borders = borders.filter(|border| left(manifest, *border).is_some_and(|left| left >= pace.rows));
    borders.next()
}

/// What becomes the checkpoint at a border: every change in deltas up to it.
pub(crate) fn plan(manifest: &CollectionManifest, border: Instant) -> Result<Plan<'_>, Outside> {
    let base = manifest.start(Instant::MAX, Some(border))?;
    let deltas = manifest.reaching(Instant::MAX, Some(border));
    Ok(Plan {
        base,
        deltas: deltas.filter(|delta| base.is_none_or(|base| base.leaves(delta))).collect(),
        system_time: Instant::MAX,
        bound: Some(border),
        mark: Some(manifest.mark),
        place: Place::Checkpoint,
    })
}

/// The checkpoints that stay when one comes: it replaces what it covers; where there are too many, of the two that stand
/// closest the earlier goes, never the new one: it is due. By border, then mark.
pub(crate) fn kept(before: Vec<Base>, new: Base, pace: &Pace) -> Vec<Base> {
    let mut kept: Vec<Base> = before.into_iter().filter(|old| old.bound != new.bound || old.mark > new.mark).collect();
    let fresh = (new.bound, new.mark);
    kept.push(new);
    kept.sort_by_key(|base| (base.bound, base.mark));
    while kept.len() > pace.count_max.max(1) {
        let gap =
            |at: &usize| kept[at + 1].changes.abs_diff(at.checked_sub(1).map_or(0, |before| kept[before].changes));
        let old = (0..kept.len() - 1).filter(|at| (kept[*at].bound, kept[*at].mark) != fresh);
        match old.min_by_key(gap) {
            Some(closest) => drop(kept.remove(closest)),
            None => break,
        }
    }
    kept
}

/// About how many changes a question about a source time has to read; `None` for one that cannot be answered.
fn left(manifest: &CollectionManifest, at: Instant) -> Option<u64> {
    let base = manifest.start(Instant::MAX, Some(at)).ok()?;
    let after = |delta: &DeltaFile| match base {
        Some(base) if delta.seq.max <= base.mark => base.bound.unwrap_or(Instant::MAX),
        _ => Instant::MIN,
    };
    Some(manifest.deltas.iter().map(|delta| up_to(delta, at).saturating_sub(up_to(delta, after(delta)))).sum())
}

/// About how many changes of a delta happened up to a source time.
fn up_to(delta: &DeltaFile, at: Instant) -> u64 {
    let (min, max) = (delta.ts.min.micros(), delta.ts.max.micros());
    if at.micros() >= max {
        return delta.rows;
    }
    let part = (at.micros() - min) as f64 / (max - min).max(1) as f64;
    (delta.rows as f64 * part.max(0.0)) as u64
}

/// Borders of days after about every so many changes, ascending; of hours where a day holds several times as many.
fn borders(deltas: &[DeltaFile], rows: u64) -> Vec<Instant> {
    let growth = Growth::of(deltas);
    let (mut borders, mut counted): (Vec<Instant>, u64) = (Vec::new(), 0);
    for pair in growth.0.windows(2) {
        let (begin, end) = (pair[0], pair[1]);
        while counted + rows <= end.after.round() as u64 {
            let at = begin.towards(&end, (counted + rows) as f64);
            let (day, hour) = (Unit::Day.end(at), Unit::Hour.end(at));
            let border = if growth.up_to(day).saturating_sub(counted) > rows * APART { hour } else { day };
            borders.push(border);
            counted = growth.up_to(border).max(counted + rows);
        }
    }
    borders.dedup();
    borders
}

/// How changes become more with source time: about evenly between two ends of deltas. Made in one pass over them, of which
/// there may be thousands.
struct Growth(Vec<End>);

/// Where a delta begins or ends.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    /// About how many changes happened before it, and up to it.
    before: f64,
    after: f64,
}

impl Growth {
    fn of(deltas: &[DeltaFile]) -> Self {
        // What comes at each end at once, and by how many a microsecond the growth changes there.
        let mut turns: BTreeMap<Instant, (f64, f64)> = BTreeMap::new();
        for delta in deltas {
            let (rows, length) = (delta.rows as f64, (delta.ts.max.micros() - delta.ts.min.micros()) as f64);
            if length > 0.0 {
                turns.entry(delta.ts.min).or_default().1 += rows / length;
                turns.entry(delta.ts.max).or_default().1 -= rows / length;
            } else {
                turns.entry(delta.ts.max).or_default().0 += rows;
            }
        }
        let (mut ends, mut growth): (Vec<End>, f64) = (Vec::with_capacity(turns.len()), 0.0);
        for (at, (at_once, change)) in turns {
            let before = ends.last().map_or(0.0, |last| last.after + growth * (at.micros() - last.at.micros()) as f64);
            ends.push(End { at, before, after: before + at_once });
            growth = (growth + change).max(0.0);
        }
        Self(ends)
    }

    /// About how many changes happened up to an instant.
    fn up_to(&self, at: Instant) -> u64 {
        let next = self.0.partition_point(|end| end.at <= at);
        let Some(begin) = next.checked_sub(1).map(|last| self.0[last]) else { return 0 };
        let Some(end) = self.0.get(next) else { return begin.after.round() as u64 };
        let part = (at.micros() - begin.at.micros()) as f64 / (end.at.micros() - begin.at.micros()) as f64;
        (begin.after + (end.before - begin.after) * part) as u64
    }
}

impl End {
    /// When so many changes had happened, between this end and the next.
    fn towards(&self, next: &Self, changes: f64) -> Instant {
        let grown = next.before - self.after;
        let part = if grown > 0.0 { ((changes - self.after) / grown).clamp(0.0, 1.0) } else { 1.0 };
        self.at.plus_micros(((next.at.micros() - self.at.micros()) as f64 * part).ceil() as i64)
    }
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::manifest::Range;
    use tidemark_model::DocSchema;

    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    fn at(day: i64) -> Instant {
        Instant::from_micros(day * DAY_US)
    }

    fn delta(nth: i64, days: (i64, i64), rows: u64) -> DeltaFile {
        DeltaFile {
            number: nth.unsigned_abs() + 1,
            path: String::new(),
            planned_on: 0,
            rows,
            bytes: 1,
            sha256: String::new(),
            seq: Range { min: nth * 100, max: nth * 100 + 99 },
            system_time: Range { min: at(50_000 + nth), max: at(50_000 + nth) },
            ts: Range { min: at(days.0), max: at(days.1) },
            id: Range { min: String::new(), max: String::new() },
            schema_id: 1,
        }
    }

    fn base(mark: i64, max_ts: i64, bound: Option<i64>, changes: u64) -> Base {
        Base {
            planned_on: 0,
            mark,
            system_time: at(50_000 + mark / 100),
            max_ts: at(max_ts),
            max_bookmark: None,
            rows: 1,
            changes,
            parts: Vec::new(),
            tombstones: Vec::new(),
            schema: DocSchema::default(),
            bound: bound.map(|day| at(day).plus_micros(-1)),
        }
    }

    /// Takes checkpoints until none is due; their borders in days.
    fn all(mut manifest: CollectionManifest, pace: &Pace) -> Vec<i64> {
        let mut borders = Vec::new();
        while let Some(border) = due(&manifest, pace) {
            assert!(borders.len() < 100, "{borders:?}");
            let (mark, bound) = (manifest.mark, Some(border));
            let changes = manifest.deltas.iter().map(|delta| up_to(delta, border)).sum();
            let base = Base { mark, bound, changes, ..base(0, 0, None, 0) };
            manifest.checkpoints = kept(manifest.checkpoints, base, pace);
            borders.push((border.micros() + 1) / DAY_US);
        }
        borders
    }

    #[test]
    fn checkpoints_come_where_many_changes_lie_between_bases() {
        let pace = Pace { rows: 100, count_max: 10 };
        let of = |deltas: Vec<DeltaFile>, bases: Vec<Base>| CollectionManifest {
            mark: 999,
            deltas,
            bases,
            ..CollectionManifest::before_first()
        };
        let newest = || base(999, 100, None, 1000);
        // Ten years in any order, folded once: a checkpoint after every hundred changes.
        let mixed: Vec<_> = (0..10).map(|nth| delta(nth, (0, 100), 50)).collect();
        assert_eq!(all(of(mixed, vec![newest()]), &pace), [21, 41, 61, 81]);
        // In order, with a state for every fifty changes: the states serve.
        let ordered: Vec<_> = (0..10).map(|nth| delta(nth, (nth * 10, nth * 10 + 9), 50)).collect();
        let states: Vec<_> = (0..10).map(|nth| base(nth * 100 + 99, nth * 10 + 9, None, 50)).collect();
        assert!(all(of(ordered.clone(), states), &pace).is_empty());
        // In order, folded once.
        assert_eq!(all(of(ordered, vec![newest()]), &pace), [20, 40, 60, 80]);
        // One day of everything: borders of hours.
        let many = Pace { rows: 100, count_max: 50 };
        let hours = all(of(vec![delta(0, (0, 1), 2400)], vec![newest()]), &many).len();
        assert!((18..24).contains(&hours), "{hours}");
        // Less than one is due for.
        assert!(all(of(vec![delta(0, (0, 100), 99)], vec![]), &pace).is_empty());
    }

    #[test]
    fn what_happened_up_to_an_instant_is_the_sum_over_all_deltas() {
        let spans = [(0, 10), (3, 3), (5, 6), (5, 20), (12, 40), (12, 12), (60, 61)];
        let deltas: Vec<_> = spans.iter().zip(0..).map(|(days, nth)| delta(nth, *days, 1000 + nth as u64)).collect();
        let growth = Growth::of(&deltas);
        for half_days in -2..130 {
            let at = Instant::from_micros(half_days * DAY_US / 2);
            let sum: u64 = deltas.iter().map(|delta| up_to(delta, at)).sum();
            // Each delta of the sum is cut to a whole number.
            assert!(growth.up_to(at).abs_diff(sum) <= deltas.len() as u64, "{half_days}: {} {sum}", growth.up_to(at));
        }
        assert_eq!(growth.up_to(at(61)), deltas.iter().map(|delta| delta.rows).sum::<u64>());
    }

    #[test]
    fn late_changes_make_a_checkpoint_due_anew_and_the_old_one_goes() {
        let pace = Pace { rows: 100, count_max: 10 };
        let mut manifest = CollectionManifest {
            mark: 99,
            deltas: vec![delta(0, (0, 100), 150), delta(1, (0, 50), 120)],
            bases: vec![base(199, 100, None, 270)],
            checkpoints: vec![base(99, 50, Some(60), 90)],
            ..CollectionManifest::before_first()
        };
        let border = due(&manifest, &pace).expect("is due");
        assert!(border < at(61), "{border}");
        let fresh = Base { bound: manifest.checkpoints[0].bound, ..base(199, 50, Some(60), 210) };
        manifest.checkpoints = kept(manifest.checkpoints, fresh, &pace);
        assert_eq!(manifest.checkpoints.iter().map(|base| base.mark).collect::<Vec<_>>(), [199]);
    }

    #[test]
    fn too_many_are_thinned_where_they_stand_closest() {
        let pace = Pace { rows: 1, count_max: 3 };
        let before = vec![base(1, 1, Some(10), 100), base(1, 1, Some(20), 110), base(1, 1, Some(30), 300)];
        let left = kept(before, base(1, 1, Some(40), 400), &pace);
        assert_eq!(left.iter().map(|base| base.changes).collect::<Vec<_>>(), [110, 300, 400]);
    }
}
