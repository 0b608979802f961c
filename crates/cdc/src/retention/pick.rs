//! What goes when the window begins at an instant: a pure function of the manifest.

use tidemark_catalog::{Base, CollectionManifest, manifest::Window};
use tidemark_model::Instant;

/// The manifest without what lies before a window that begins at this instant; `None` when nothing would go.
pub(crate) fn next(manifest: &CollectionManifest, begins: Instant) -> Option<CollectionManifest> {
    let horizon = horizon(manifest, begins)?;
    let mut next = manifest.clone();
    next.deltas.retain(|delta| horizon.leaves(delta));
    if next.deltas.len() == manifest.deltas.len() {
        return None;
    }
    let (mark, bound) = (horizon.mark, horizon.max_ts);
    next.window = Some(Window { system_time: horizon.system_time, valid_time: bound, mark, bound });
    next.bases.retain(|base| base.mark >= mark);
    next.checkpoints.retain(|base| base.mark >= mark && base.bound.is_some_and(|own| own >= bound));
    Some(next)
}

/// The last state before the window begins that holds all that was dropped before. The current state is none: what comes
/// next is folded from it, and questions about it have to find older ones beside it.
fn horizon(manifest: &CollectionManifest, begins: Instant) -> Option<&Base> {
    let before = manifest
        .window
        .map_or((tidemark_model::position::BEFORE_ALL, Instant::MIN), |window| (window.mark, window.bound));
    let holds = |base: &&Base| base.mark >= before.0 && base.max_ts >= before.1 && base.system_time <= begins;
    manifest.bases.iter().filter(holds).max_by_key(|base| base.mark)
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::manifest::{DeltaFile, Range, Snapshot, SnapshotKind};
    use tidemark_model::DocSchema;

    use super::*;

    fn at(micros: i64) -> Instant {
        Instant::from_micros(micros)
    }

    /// Position, system time and source time are one number here.
    fn base(mark: i64, bound: Option<i64>) -> Base {
        Base {
            planned_on: 0,
            mark,
            system_time: at(mark),
            max_ts: at(mark),
            max_bookmark: None,
            rows: 1,
            changes: 1,
            parts: Vec::new(),
            tombstones: Vec::new(),
            schema: DocSchema::default(),
            bound: bound.map(at),
        }
    }

    fn delta(from: i64) -> DeltaFile {
        let range = Range { min: at(from), max: at(from + 9) };
        DeltaFile {
            number: 1,
            path: String::new(),
            planned_on: 0,
            rows: 10,
            bytes: 1,
            sha256: String::new(),
            seq: Range { min: from, max: from + 9 },
            system_time: range,
            ts: range,
            id: Range { min: String::new(), max: String::new() },
            schema_id: 1,
        }
    }

    fn manifest() -> CollectionManifest {
        let snapshot = |instant: i64| Snapshot {
            name: instant.to_string(),
            kind: SnapshotKind::Named,
            instant: at(instant),
            taken_at: at(99),
            base: base(instant - 1, None),
            until: None,
        };
        CollectionManifest {
            mark: 59,
            deltas: (0..6).map(|nth| delta(nth * 10)).collect(),
            bases: [9, 29, 49].map(|mark| base(mark, None)).to_vec(),
            checkpoints: vec![base(59, Some(19)), base(59, Some(39))],
            snapshots: vec![snapshot(16), snapshot(36)],
            ..CollectionManifest::before_first()
        }
    }

    #[test]
    fn what_the_horizon_holds_goes_and_everything_in_the_window_stays_exact() {
        for (begins, window, deltas, bases, checkpoints) in [
            (8, None, 6, 3, 2),
            (9, Some(9), 5, 3, 2),
            (28, Some(9), 5, 3, 2),
            (35, Some(29), 3, 2, 1),
            (99, Some(49), 1, 1, 0),
        ] {
            let next = next(&manifest(), at(begins)).unwrap_or_else(manifest);
            let found = (next.deltas.len(), next.bases.len(), next.checkpoints.len(), next.snapshots.len());
            assert_eq!(found, (deltas, bases, checkpoints, 2), "{begins}");
            assert_eq!(next.window.map(|window| window.system_time.micros()), window, "{begins}");
        }
    }

    #[test]
    fn questions_outside_the_window_are_refused_and_those_of_snapshots_answered() {
        let kept = next(&manifest(), at(35)).expect("drops");
        for (t, v, start) in [
            (99, None, Ok(Some(49))),
            (48, None, Ok(Some(35))),
            (34, None, Ok(Some(29))),
            (29, None, Ok(Some(29))),
            (28, None, Err((Some(16), 29))),
            (17, None, Err((Some(16), 29))),
            (16, None, Ok(Some(15))),
            (15, None, Ok(Some(15))),
            (14, None, Err((None, 15))),
            (99, Some(45), Ok(Some(59))),
            (99, Some(38), Ok(Some(35))),
            (99, Some(34), Ok(Some(29))),
            (99, Some(29), Ok(Some(29))),
            (99, Some(28), Err((None, 29))),
        ] {
            let found = kept.start(at(t), v.map(at)).map(|base| base.map(|base| base.mark));
            let found = found.map_err(|outside| (outside.before.map(Instant::micros), outside.after.micros()));
            assert_eq!(found, start, "{t} {v:?}");
        }
        assert!(next(&kept, at(35)).is_none());
        assert_eq!(next(&kept, at(49)).and_then(|next| next.window).map(|window| window.mark), Some(49));
    }
}
