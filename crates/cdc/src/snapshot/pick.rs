//! Which snapshot of the calendar is due: a pure function of the manifest and the present.

use tidemark_catalog::{
    CollectionManifest,
    manifest::{DeltaFile, Snapshot, SnapshotKind, Taken},
};
use tidemark_model::{Instant, Retention, calendar::Unit};

const DAY_US: i64 = 86_400_000_000;
/// No month is longer.
const MONTH_US: i64 = 31 * DAY_US;
/// The most days one search passes over, whatever is to be kept.
const PERIODS_MAX: usize = 10_000;

/// How many stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) daily: usize,
    pub(crate) monthly: usize,
}

impl Keep {
    /// As a retention says, whose every number is known.
    pub(crate) fn of(retention: &Retention) -> Self {
        let count = |number: Option<u64>| usize::try_from(number.unwrap_or_default()).unwrap_or(usize::MAX);
        Self { daily: count(retention.daily), monthly: count(retention.monthly) }
    }

    /// How many of a kind stay; `None` keeps all.
    pub(crate) const fn count(&self, kind: SnapshotKind) -> Option<usize> {
        match kind {
            SnapshotKind::Daily => Some(self.daily),
            SnapshotKind::Monthly => Some(self.monthly),
            SnapshotKind::Named => None,
        }
    }
}

/// A snapshot that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) kind: SnapshotKind,
    pub(crate) instant: Instant,
    pub(crate) name: String,
}

/// The period that ended first, was not dealt with, would stay, and may have brought a change.
pub(crate) fn due(manifest: &CollectionManifest, now: Instant, keep: &Keep) -> Option<Due> {
    let Taken { daily, monthly } = manifest.taken;
    let day = first(manifest, (Unit::Day, DAY_US), (daily, now), keep.daily);
    let month = first(manifest, (Unit::Month, MONTH_US), (monthly, now), keep.monthly);
    let due = |kind, unit: Unit| move |instant| Due { kind, instant, name: unit.name(instant) };
    let found = day.map(due(SnapshotKind::Daily, Unit::Day)).into_iter();
    found.chain(month.map(due(SnapshotKind::Monthly, Unit::Month))).min_by_key(|due| due.instant)
}

/// The end of the first such period of a unit.
fn first(
    manifest: &CollectionManifest,
    (unit, longest_us): (Unit, i64),
    (after, now): (Instant, Instant),
    keep: usize,
) -> Option<Instant> {
    let longest = longest_us.saturating_mul(i64::try_from(keep).unwrap_or(i64::MAX));
    let oldest = now.plus_micros(longest.saturating_neg()).max(after.plus_micros(1));
    // Of what a state holds the deltas may be gone; its own last change still says that there was one.
    let folded = || manifest.bases.iter().filter(|base| base.changes > 0).map(|base| base.system_time);
    let begun = manifest.deltas.iter().map(|delta| delta.system_time.min).chain(folded()).min()?;
    let last = manifest.deltas.iter().map(|delta| delta.system_time.max).chain(folded()).max()?;
    let is_reached = |end: &Instant| {
        let begin = begin(unit, *end);
        folded().any(|at| (begin..=*end).contains(&at))
            || manifest.deltas.iter().any(|delta| reaches(delta, (begin, *end)))
    };
    std::iter::successors(Some(unit.end(begun.max(oldest))), |end| Some(unit.end(end.plus_micros(1))))
        .take(PERIODS_MAX)
        .take_while(|end| *end < now && begin(unit, *end) <= last && keep > 0)
        .find(is_reached)
}

/// Up to where nothing has changed since a snapshot of the calendar, of the periods that end before an instant.
pub(crate) fn quiet(manifest: &CollectionManifest, since: &Snapshot, before: Instant) -> Instant {
    let unit = if since.kind == SnapshotKind::Monthly { Unit::Month } else { Unit::Day };
    let ends = std::iter::successors(Some(since.holds_until()), |last| Some(unit.end(last.plus_micros(1))));
    let periods = ends.clone().zip(ends.skip(1)).take(PERIODS_MAX);
    // Of what was dropped nobody knows any more.
    let is_known = |begin: Instant| manifest.window.is_none_or(|window| begin > window.system_time);
    let is_quiet = |(last, end): &(Instant, Instant)| {
        let begin = last.plus_micros(1);
        *end < before && is_known(begin) && !manifest.deltas.iter().any(|delta| reaches(delta, (begin, *end)))
    };
    periods.take_while(is_quiet).last().map_or(since.holds_until(), |(_, end)| end)
}

fn reaches(delta: &DeltaFile, (begin, end): (Instant, Instant)) -> bool {
    delta.system_time.min <= end && delta.system_time.max >= begin
}

/// The first microsecond of the period that ends at an instant.
fn begin(unit: Unit, end: Instant) -> Instant {
    let mut at = end.plus_micros(-DAY_US + 1);
    if unit == Unit::Month {
        at = end.plus_micros(-MONTH_US + 1);
        // A shorter month: what lies before its first day belongs to the month before.
        while unit.end(at) != end {
            at = unit.end(at).plus_micros(1);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::{Base, manifest::Range};

    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).expect("an instant")
    }

    fn delta(min: &str, max: &str) -> DeltaFile {
        DeltaFile {
            number: 1,
            path: String::new(),
            planned_on: 0,
            rows: 1,
            bytes: 1,
            sha256: String::new(),
            seq: Range { min: 0, max: 0 },
            system_time: Range { min: at(min), max: at(max) },
            ts: Range { min: at(min), max: at(max) },
            id: Range { min: String::new(), max: String::new() },
            schema_id: 1,
        }
    }

    fn base() -> Base {
        Base {
            planned_on: 0,
            mark: 0,
            system_time: Instant::MIN,
            max_ts: Instant::MIN,
            max_bookmark: None,
            rows: 1,
            changes: 1,
            parts: Vec::new(),
            tombstones: Vec::new(),
            schema: tidemark_model::DocSchema::default(),
            bound: None,
        }
    }

    /// The names that come due one after the other.
    fn all(deltas: &[(&str, &str)], now: &str, keep: Keep) -> Vec<String> {
        let deltas = deltas.iter().map(|(min, max)| delta(min, max)).collect();
        let mut manifest = CollectionManifest { deltas, ..CollectionManifest::before_first() };
        let mut names = Vec::new();
        while let Some(due) = due(&manifest, at(now), &keep) {
            match due.kind {
                SnapshotKind::Daily => manifest.taken.daily = due.instant,
                _ => manifest.taken.monthly = due.instant,
            }
            names.push(due.name);
        }
        names
    }

    #[test]
    fn periods_with_changes_come_due_in_order_however_late() {
        let keep = Keep { daily: 30, monthly: 12 };
        let none = Keep { daily: 0, monthly: 0 };
        let (a, b) =
            (("2026-01-30T10:00:00Z", "2026-01-30T11:00:00Z"), ("2026-02-02T10:00:00Z", "2026-02-02T11:00:00Z"));
        let night = ("2026-02-27T23:59:00Z", "2026-03-01T00:01:00Z");
        for (deltas, now, keep, expected) in [
            (&[a][..], "2026-01-30T23:59:59.999999Z", keep, &[][..]),
            (&[a], "2026-01-31T00:00:00Z", keep, &["2026-01-30"]),
            (&[a], "2026-02-20T00:00:00Z", keep, &["2026-01-30", "2026-01"]),
            (&[a, b], "2026-02-20T00:00:00Z", keep, &["2026-01-30", "2026-01", "2026-02-02"]),
            (&[a, b], "2026-03-03T00:00:00Z", keep, &["2026-01", "2026-02-02", "2026-02"]),
            (&[a, b], "2027-04-03T00:00:00Z", keep, &[]),
            (&[a, b], "2026-03-03T00:00:00Z", none, &[]),
            (&[night], "2026-03-02T00:00:00Z", keep, &["2026-02-27", "2026-02-28", "2026-02", "2026-03-01"]),
        ] {
            assert_eq!(all(deltas, now, keep), expected, "{deltas:?} {now}");
        }
    }

    #[test]
    fn a_period_whose_deltas_are_gone_comes_due_by_the_state_that_holds_them() {
        let keep = Keep { daily: 30, monthly: 12 };
        let base = Base { system_time: at("2026-01-30T10:00:00Z"), ..base() };
        let manifest = |taken, changes| CollectionManifest {
            taken,
            bases: vec![Base { changes, ..base.clone() }],
            ..CollectionManifest::before_first()
        };
        let found = |manifest, now| due(&manifest, at(now), &keep).map(|due| due.name);
        let (before, after) = ("2026-01-30T23:59:59Z", "2026-02-20T00:00:00Z");
        assert_eq!(found(manifest(Taken::default(), 5), before), None);
        assert_eq!(found(manifest(Taken::default(), 5), after).as_deref(), Some("2026-01-30"));
        assert_eq!(found(manifest(Taken::default(), 0), after), None);
        let day = Taken { daily: at("2026-01-30T23:59:59.999999Z"), ..Taken::default() };
        assert_eq!(found(manifest(day, 5), after).as_deref(), Some("2026-01"));
        let both = Taken { monthly: at("2026-01-31T23:59:59.999999Z"), ..day };
        assert_eq!(found(manifest(both, 5), after), None);
    }

    #[test]
    fn a_snapshot_holds_until_a_delta_reaches_a_period_after_it() {
        let snapshot = |kind, instant: &str, until: Option<&str>| Snapshot {
            name: String::new(),
            kind,
            instant: at(instant),
            taken_at: at(instant),
            base: Base { system_time: at(instant), max_ts: at(instant), ..base() },
            until: until.map(at),
        };
        let deltas =
            [("2026-01-30T10:00:00Z", "2026-01-30T11:00:00Z"), ("2026-02-03T10:00:00Z", "2026-02-03T11:00:00Z")];
        let deltas = deltas.iter().map(|(min, max)| delta(min, max)).collect();
        let manifest = CollectionManifest { deltas, ..CollectionManifest::before_first() };
        let (day, end) = ("2026-01-30T23:59:59.999999Z", "2026-02-03T23:59:59.999999Z");
        for (kind, instant, until, before, expected) in [
            (SnapshotKind::Daily, day, None, end, "2026-02-02T23:59:59.999999Z"),
            (SnapshotKind::Daily, day, None, "2026-02-01T23:59:59.999999Z", "2026-01-31T23:59:59.999999Z"),
            // What a fold has found to be quiet is passed over.
            (SnapshotKind::Daily, day, Some(end), "2026-02-06T23:59:59.999999Z", "2026-02-05T23:59:59.999999Z"),
            (SnapshotKind::Monthly, "2026-01-31T23:59:59.999999Z", None, end, "2026-01-31T23:59:59.999999Z"),
            (
                SnapshotKind::Monthly,
                "2026-02-28T23:59:59.999999Z",
                None,
                "2026-06-01T00:00:00Z",
                "2026-05-31T23:59:59.999999Z",
            ),
        ] {
            let since = snapshot(kind, instant, until);
            assert_eq!(quiet(&manifest, &since, at(before)), at(expected), "{instant} {before}");
        }
    }

    #[test]
    fn periods_begin_where_the_one_before_ends() {
        for (unit, end, expected) in [
            (Unit::Day, "2024-03-01T23:59:59.999999Z", "2024-03-01T00:00:00Z"),
            (Unit::Month, "2024-02-29T23:59:59.999999Z", "2024-02-01T00:00:00Z"),
            (Unit::Month, "2023-02-28T23:59:59.999999Z", "2023-02-01T00:00:00Z"),
            (Unit::Month, "2023-03-31T23:59:59.999999Z", "2023-03-01T00:00:00Z"),
        ] {
            assert_eq!(begin(unit, at(end)), at(expected));
        }
    }
}
