//! Which deltas are rolled up next: a pure function of the manifest.

use tidemark_catalog::{CollectionManifest, manifest::DeltaFile};

use crate::Config;

/// Bytes of files that one roll-up takes in, at most: all of them are in memory, decoded. What they take there is only known then.
const BYTES_MAX: u64 = 32 << 20;

/// How many small deltas make a roll-up due, and how large its files become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) files: usize,
    pub(crate) rows: u64,
}

impl Pace {
    pub(crate) const fn of(config: &Config) -> Self {
        Self { files: config.rollup_files, rows: config.rollup_rows }
    }
}

/// The first run of small deltas between the same two states that is long enough; none that no state holds yet, and none that
/// was found to be bulky.
pub(crate) fn due<'m>(
    manifest: &'m CollectionManifest,
    pace: &Pace,
    is_bulky: impl Fn(&DeltaFile) -> bool,
) -> Option<Vec<&'m DeltaFile>> {
    if pace.files < 2 {
        return None;
    }
    let last = manifest.bases.last()?.mark;
    let mut deltas: Vec<&DeltaFile> = manifest.deltas.iter().filter(|delta| delta.seq.max <= last).collect();
    deltas.sort_by_key(|delta| (delta.seq.min, delta.number));
    let states_below = |delta: &DeltaFile| manifest.bases.partition_point(|base| base.mark < delta.seq.max);
    let is_small = |delta: &DeltaFile| delta.rows <= pace.rows / 2 && !is_bulky(delta);
    let mut run: Vec<&DeltaFile> = Vec::new();
    let mut bytes = 0;
    for delta in deltas {
        let joins = run.last().is_none_or(|before| states_below(before) == states_below(delta));
        let fits = bytes + delta.bytes <= BYTES_MAX;
        if !(joins && fits && is_small(delta)) {
            if run.len() >= pace.files {
                return Some(run);
            }
            (run, bytes) = (Vec::new(), 0);
        }
        if is_small(delta) {
            bytes += delta.bytes;
            run.push(delta);
        }
    }
    (run.len() >= pace.files).then_some(run)
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::{Base, manifest::Range};
    use tidemark_model::{DocSchema, Instant};

    use super::*;

    const AT: Instant = Instant::from_micros(0);

    fn delta(number: u64, rows: u64) -> DeltaFile {
        let seq = i64::try_from(number).expect("small") * 10;
        DeltaFile {
            number,
            path: String::new(),
            planned_on: 0,
            rows,
            bytes: rows << 10,
            sha256: String::new(),
            seq: Range { min: seq - 9, max: seq },
            system_time: Range { min: AT, max: AT },
            ts: Range { min: AT, max: AT },
            id: Range { min: String::new(), max: String::new() },
            schema_id: 1,
        }
    }

    fn base(mark: i64) -> Base {
        Base {
            planned_on: 0,
            mark,
            system_time: AT,
            max_ts: AT,
            max_bookmark: None,
            rows: 1,
            changes: 1,
            parts: Vec::new(),
            tombstones: Vec::new(),
            schema: DocSchema::default(),
            bound: None,
        }
    }

    #[test]
    fn small_deltas_between_the_same_states_are_rolled() {
        let pace = Pace { files: 3, rows: 100 };
        for (rows, marks, expected) in [
            (&[10, 10, 10, 10][..], &[40][..], Some(&[1, 2, 3, 4][..])),
            (&[10, 10, 10, 10], &[30], Some(&[1, 2, 3])),
            (&[10, 10, 10, 10], &[20, 40], None),
            (&[10, 10, 10, 10, 10, 10], &[20, 60], Some(&[3, 4, 5, 6])),
            (&[10, 10, 60, 10, 10, 10], &[60], Some(&[4, 5, 6])),
            (&[10, 10], &[20], None),
            (&[10, 10, 10], &[], None),
        ] {
            let deltas = (1..).zip(rows).map(|(number, rows)| delta(number, *rows)).collect();
            let bases = marks.iter().copied().map(base).collect();
            let manifest = CollectionManifest { deltas, bases, ..CollectionManifest::before_first() };
            let found =
                due(&manifest, &pace, |_| false).map(|run| run.iter().map(|delta| delta.number).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{rows:?} {marks:?}");
        }
    }

    #[test]
    fn a_bulky_delta_ends_a_run() {
        let deltas = (1..=7).map(|number| delta(number, 10)).collect();
        let manifest = CollectionManifest { deltas, bases: vec![base(70)], ..CollectionManifest::before_first() };
        let run = |bulky| due(&manifest, &Pace { files: 3, rows: 100 }, |delta| delta.number == bulky);
        let numbers = |bulky| run(bulky).map(|run| run.iter().map(|delta| delta.number).collect::<Vec<_>>());
        assert_eq!(numbers(2).as_deref(), Some(&[3, 4, 5, 6, 7][..]));
        assert_eq!(numbers(6).as_deref(), Some(&[1, 2, 3, 4, 5][..]));
    }
}
