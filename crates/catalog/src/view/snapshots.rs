//! The snapshots of a collection: those that are stored, and those of periods in which nothing changed, which hold what the
//! one before them holds (time.md, section 5).

use arrow::{array::AsArray, datatypes::TimestampMicrosecondType};
use tidemark_model::{Instant, calendar::Unit};

use super::View;
use crate::{
    CollectionManifest,
    manifest::{Range, Snapshot, SnapshotKind},
};

/// The most periods after one snapshot that are derived from it: 27 years of days.
const PERIODS_MAX: usize = 10_000;
/// The column of a tail that holds the system time.
const SYSTEM_TIME: &str = "_system_time";

/// A snapshot that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<'m> {
    /// Its name.
    pub name: String,
    /// Every change acknowledged up to here is in it, and none after.
    pub instant: Instant,
    /// What it holds: itself, or the one before.
    pub stored: &'m Snapshot,
}

impl Held<'_> {
    /// Whether it is the one before under another name.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.instant != self.stored.instant
    }
}

impl View {
    /// Every snapshot, by instant; derived ones of periods that ended by an instant, up to which the view is complete.
    #[must_use]
    pub fn snapshots(&self, upto: Instant) -> Vec<Held<'_>> {
        let Some((_, manifest)) = &self.collection else { return Vec::new() };
        let stored = manifest.snapshots.iter();
        let mut held: Vec<Held<'_>> =
            stored.map(|stored| Held { name: stored.name.clone(), instant: stored.instant, stored }).collect();
        let first_in_tail = self.tail_times().min().unwrap_or(Instant::MAX);
        for (kind, unit) in [(SnapshotKind::Daily, Unit::Day), (SnapshotKind::Monthly, Unit::Month)] {
            let mut stored: Vec<&Snapshot> = manifest.snapshots.iter().filter(|known| known.kind == kind).collect();
            stored.sort_by_key(|stored| stored.instant);
            for (nth, from) in stored.iter().copied().enumerate() {
                let next = stored.get(nth + 1).map_or(Instant::MAX, |next| next.instant);
                let before = next.min(upto.plus_micros(1)).min(first_in_tail);
                let ends = self.quiet(manifest, (from, unit), before);
                held.extend(ends.map(|instant| Held { name: unit.name(instant), instant, stored: from }));
            }
        }
        held.sort_by_key(|held| held.instant);
        held
    }

    /// The ends, before an instant, of the periods after a snapshot up to which nothing changed.
    fn quiet(
        &self,
        manifest: &CollectionManifest,
        (from, unit): (&Snapshot, Unit),
        before: Instant,
    ) -> impl Iterator<Item = Instant> {
        let next = move |last: &Instant| Some(unit.end(last.plus_micros(1)));
        let ends = std::iter::successors(Some(from.instant), next);
        let periods = ends.clone().zip(ends.skip(1)).take(PERIODS_MAX).map(|(last, end)| (last.plus_micros(1), end));
        let is_known = from.holds_until();
        let is_quiet = move |(begin, end): &(Instant, Instant)| {
            *end < before && (*end <= is_known || self.is_quiet(manifest, Range { min: *begin, max: *end }))
        };
        periods.take_while(is_quiet).map(|(_, end)| end)
    }

    /// Whether nothing of the collection that is in files can have been acknowledged within a range.
    fn is_quiet(&self, manifest: &CollectionManifest, range: Range<Instant>) -> bool {
        let touches = |other: Range<Instant>| other.min <= range.max && other.max >= range.min;
        // What was dropped lies before the window.
        manifest.window.is_none_or(|window| range.min > window.system_time)
            && !manifest.deltas.iter().any(|delta| touches(delta.system_time))
            && !self.pending_files().any(|file| touches(file.system_time))
    }

    fn tail_times(&self) -> impl Iterator<Item = Instant> {
        let columns = self.tail.batches.iter().filter_map(|batch| batch.column_by_name(SYSTEM_TIME));
        let times = columns.filter_map(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        times.flat_map(|times| times.values().iter().copied().map(Instant::from_micros))
    }
}
