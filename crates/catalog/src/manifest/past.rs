//! What a manifest keeps for the past: snapshots, checkpoints, and which base a reading starts from.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use tidemark_model::{Instant, Seq};

use super::{Base, CollectionManifest, DeltaFile, EventsManifest};

/// Why a snapshot was taken, which decides how long it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// Of a UTC day, `YYYY-MM-DD`.
    Daily,
    /// Of a UTC month, `YYYY-MM`.
    Monthly,
    /// By a person; stays until it is dropped.
    Named,
}

impl SnapshotKind {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Monthly => "monthly",
            Self::Named => "named",
        }
    }
}

/// The state of a collection exactly as of an instant of system time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its name, unique in the collection.
    pub name: String,
    /// Why it was taken.
    pub kind: SnapshotKind,
    /// Every change acknowledged up to here is folded, and none after.
    pub instant: Instant,
    /// Wall-clock time at which it was taken; for people only.
    pub taken_at: Instant,
    /// The fold: mark, rows, files with their SHA-256, schema. Files may be shared with other bases.
    pub base: Base,
    /// The end of the last period after it of which is known that nothing changed up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

impl Snapshot {
    /// The last instant whose state it is for certain.
    #[must_use]
    pub fn holds_until(&self) -> Instant {
        self.until.unwrap_or(self.instant).max(self.instant)
    }
}

/// The ends of the last day and the last month that were dealt with, whether there was something to write or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Of days.
    pub daily: Instant,
    /// Of months.
    pub monthly: Instant,
}

impl Default for Taken {
    fn default() -> Self {
        Self { daily: Instant::MIN, monthly: Instant::MIN }
    }
}

impl Taken {
    /// Whether no period was dealt with yet.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Base {
    /// The greatest source time it may hold: questions about an earlier one cannot start from it.
    #[must_use]
    pub fn reaches(&self) -> Instant {
        self.bound.unwrap_or(self.max_ts)
    }

    /// How far it holds everything: (mark, bound), where no bound is the greatest.
    fn corner(&self) -> (Seq, Instant) {
        (self.mark, self.bound.unwrap_or(Instant::MAX))
    }

    /// Whether it does not hold all of a delta.
    #[must_use]
    pub fn leaves(&self, delta: &DeltaFile) -> bool {
        delta.seq.max > self.mark || self.bound.is_some_and(|bound| delta.ts.max > bound)
    }
}

/// From where on every instant is exact, and what was dropped to make it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Exact from this system time on …
    pub system_time: Instant,
    /// … and from this source time on.
    pub valid_time: Instant,
    /// Only changes up to this position …
    pub mark: Seq,
    /// … with a source time up to here may have been dropped.
    pub bound: Instant,
}

/// A question about instants that what was kept can no longer answer. Where the system time lies outside, both are instants of
/// system time; where only the source time does, it is one of source time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history of that instant was dropped: ask about {}{after} or later", before.map_or_else(String::new, |at| format!("{at}, or ")))]
pub struct Outside {
    /// The nearest instant before that can be answered about.
    pub before: Option<Instant>,
    /// The nearest instant after from which on something can.
    pub after: Instant,
}

/// A file as a manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'m> {
    /// Its path from the root of the lake.
    pub path: &'m str,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: &'m str,
}

impl EventsManifest {
    /// Every file it names: events and sidecars.
    pub fn every_file(&self) -> impl Iterator<Item = Named<'_>> {
        let events = self.files.iter().map(|file| (&file.path, file.bytes, &file.sha256));
        let sidecars = self.sidecars.iter().map(|file| (&file.path, file.bytes, &file.sha256));
        events.chain(sidecars).map(|(path, bytes, sha256)| Named { path, bytes, sha256 })
    }
}

impl CollectionManifest {
    /// Every file it names; one that several bases share comes several times.
    pub fn files(&self) -> impl Iterator<Item = Named<'_>> {
        let deltas = self.deltas.iter().map(|file| (&file.path, file.bytes, &file.sha256));
        let bases = self.every_base().flat_map(Base::files).map(|file| (&file.path, file.bytes, &file.sha256));
        deltas.chain(bases).map(|(path, bytes, sha256)| Named { path, bytes, sha256 })
    }

    /// Every base: states, checkpoints, those of snapshots.
    pub fn every_base(&self) -> impl Iterator<Item = &Base> {
        self.bases.iter().chain(&self.checkpoints).chain(self.snapshots.iter().map(|snapshot| &snapshot.base))
    }

    /// Every base with the system time up to which it is known to hold every change.
    fn known(&self) -> impl Iterator<Item = (&Base, Instant)> {
        let own = self.bases.iter().chain(&self.checkpoints).map(|base| (base, base.system_time));
        own.chain(self.snapshots.iter().map(|snapshot| (&snapshot.base, snapshot.holds_until())))
    }

    /// The base that a reading of all changes up to both instants starts from (time.md, sections 4 and 5): it holds
    /// nothing beyond them and all that was dropped, and the fewest changes are left to read. `None` is the empty base.
    ///
    /// # Errors
    /// [`Outside`] when changes were dropped that no such base holds.
    pub fn start(&self, system_time: Instant, valid_time: Option<Instant>) -> Result<Option<&Base>, Outside> {
        let mut found: Vec<&Base> = self.eligible(system_time, valid_time).collect();
        if let Some(window) = self.window.filter(|_| found.is_empty()) {
            return Err(self.outside(system_time, valid_time, &window));
        }
        found.sort_by_key(|base| (Reverse(base.corner()), Reverse(base.planned_on)));
        // Of two bases the one that holds less on both axes leaves more to read.
        let mut bound = None;
        found.retain(|base| {
            let farther = bound.is_none_or(|bound| base.corner().1 > bound);
            bound = bound.max(Some(base.corner().1));
            farther
        });
        let left = |base: &&Base| {
            let reached = self.reaching(system_time, valid_time).filter(|delta| base.leaves(delta));
            reached.map(|delta| delta.rows).sum::<u64>()
        };
        Ok(if found.len() < 2 { found.pop() } else { found.into_iter().min_by_key(left) })
    }

    /// The bases that hold nothing beyond both instants, and all that was dropped.
    fn eligible(&self, system_time: Instant, valid_time: Option<Instant>) -> impl Iterator<Item = &Base> {
        let is_within =
            move |base: &Base| base.system_time <= system_time && valid_time.is_none_or(|at| base.reaches() <= at);
        let is_complete = move |base: &Base, known: Instant| {
            self.window.is_none_or(|window| {
                (base.mark >= window.mark || known >= system_time)
                    && base.bound.is_none_or(|bound| bound >= window.bound || Some(bound) == valid_time)
            })
        };
        let found = self.known().filter(move |(base, known)| is_within(base) && is_complete(base, *known));
        found.map(|(base, _)| base)
    }

    /// The nearest instants of system time that can be asked for with this source time; where it is the source time that
    /// lies outside, the first of it that can.
    fn outside(&self, system_time: Instant, valid_time: Option<Instant>, window: &Window) -> Outside {
        if valid_time.is_some() && system_time >= window.system_time {
            return Outside { before: None, after: window.valid_time };
        }
        let is_answered = |at: &Instant| self.eligible(*at, valid_time).next().is_some();
        let kept = self.snapshots.iter().map(|snapshot| (snapshot.base.system_time, snapshot.holds_until()));
        let before = kept.clone().map(|(_, last)| last).filter(|last| *last < system_time && is_answered(last)).max();
        let after = kept.map(|(first, _)| first).filter(|first| *first > system_time && is_answered(first));
        Outside { before, after: after.chain([window.system_time]).min().unwrap_or(window.system_time) }
    }

    /// The deltas that may hold changes up to both instants.
    pub fn reaching(&self, system_time: Instant, valid_time: Option<Instant>) -> impl Iterator<Item = &DeltaFile> {
        self.deltas
            .iter()
            .filter(move |delta| delta.system_time.min <= system_time && valid_time.is_none_or(|at| delta.ts.min <= at))
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::DocSchema;

    use super::*;
    use crate::manifest::Range;

    fn at(micros: i64) -> Instant {
        Instant::from_micros(micros)
    }

    /// A base of the changes up to a mark, which is also its system time, and a source time or bound.
    fn base(mark: Seq, max_ts: i64, bound: Option<i64>) -> Base {
        Base {
            planned_on: 0,
            mark,
            system_time: at(mark),
            max_ts: at(max_ts),
            max_bookmark: None,
            rows: 1,
            changes: 1,
            parts: Vec::new(),
            tombstones: Vec::new(),
            schema: DocSchema::default(),
            bound: bound.map(at),
        }
    }

    fn delta(seq: (Seq, Seq), ts: (i64, i64), rows: u64) -> DeltaFile {
        DeltaFile {
            number: 1,
            path: String::new(),
            planned_on: 0,
            rows,
            bytes: 1,
            sha256: String::new(),
            seq: Range { min: seq.0, max: seq.1 },
            system_time: Range { min: at(seq.0), max: at(seq.1) },
            ts: Range { min: at(ts.0), max: at(ts.1) },
            id: Range { min: "a".into(), max: "b".into() },
            schema_id: 1,
        }
    }

    /// Eight years imported in one hour: years on the source axis, positions 0 to 80 on the other.
    fn manifest() -> CollectionManifest {
        let deltas = (0..8).map(|year| delta((year * 10, year * 10 + 9), (year * 100, year * 100 + 99), 10)).collect();
        let snapshot = Snapshot {
            name: "x".to_owned(),
            kind: SnapshotKind::Named,
            instant: at(45),
            taken_at: at(90),
            base: base(44, 499, None),
            until: None,
        };
        CollectionManifest {
            mark: 79,
            deltas,
            bases: vec![base(19, 199, None), base(79, 799, None)],
            checkpoints: vec![base(79, 399, Some(399)), base(79, 599, Some(599)), base(39, 299, Some(299))],
            snapshots: vec![snapshot],
            ..CollectionManifest::before_first()
        }
    }

    #[test]
    fn a_reading_starts_where_least_is_left_and_never_beyond_its_instants() {
        let manifest = manifest();
        for (t, v, expected) in [
            (1000, None, Some((79, None))),
            (1000, Some(799), Some((79, None))),
            (1000, Some(798), Some((79, Some(599)))),
            (1000, Some(598), Some((79, Some(399)))),
            (1000, Some(399), Some((79, Some(399)))),
            (1000, Some(398), Some((39, Some(299)))),
            (1000, Some(198), None),
            (78, None, Some((44, None))),
            (44, None, Some((44, None))),
            (43, None, Some((39, Some(299)))),
            (38, None, Some((19, None))),
            (18, None, None),
            (50, Some(450), Some((39, Some(299)))),
        ] {
            let found = manifest.start(at(t), v.map(at)).unwrap();
            let found = found.map(|base| (base.mark, base.bound.map(Instant::micros)));
            assert_eq!(found, expected, "{t} {v:?}");
        }
    }
}
