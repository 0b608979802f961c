//! What manifests say: which files there must be, and whether the numbers fit each other. Pure functions.

use std::collections::{BTreeMap, HashMap};

use tidemark_model::{Namespace, Seq, Shard, position::BEFORE_ALL};

use crate::{
    CollectionManifest, EventsManifest,
    manifest::{Base, Named},
};

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

pub(super) fn of_events(manifest: &EventsManifest) -> HashMap<String, Expected> {
    expected(manifest.every_file())
}

pub(super) fn of_collection(manifest: &CollectionManifest) -> HashMap<String, Expected> {
    expected(manifest.files())
}

fn expected<'m>(files: impl Iterator<Item = Named<'m>>) -> HashMap<String, Expected> {
    let expected = |file: Named<'_>| Expected { bytes: file.bytes, sha256: file.sha256.to_owned() };
    files.map(|file| (file.path.to_owned(), expected(file))).collect()
}

/// Every position of a shard up to the mark lies in exactly one file, or was erased.
pub(super) fn about_events(namespace: &Namespace, manifest: &EventsManifest) -> Vec<String> {
    let mut runs: BTreeMap<Shard, Vec<(Seq, Seq)>> = BTreeMap::new();
    for positions in manifest.files.iter().flat_map(|file| &file.positions) {
        runs.entry(positions.shard).or_default().push((positions.first, positions.last));
    }
    let mut complaints = Vec::new();
    for (shard, mark) in manifest.mark.iter() {
        let mut next = manifest.erased.as_ref().map_or(0, |erased| erased.mark.seq(shard) + 1);
        let mut shards = runs.remove(&shard).unwrap_or_default();
        shards.sort_unstable();
        for (first, last) in shards {
            if first != next {
                complaints.push(format!("{namespace}.events: shard {shard} goes on at {first} after {}", next - 1));
            }
            next = last + 1;
        }
        if next != mark + 1 {
            complaints.push(format!("{namespace}.events: shard {shard} ends at {}, its mark is {mark}", next - 1));
        }
    }
    complaints
}

/// Marks go no further than what they were taken from, and every base is what it says.
pub(super) fn about_collection(table: &str, manifest: &CollectionManifest, events_mark: Seq) -> Vec<String> {
    let mut complaints = Vec::new();
    if manifest.mark > events_mark.max(BEFORE_ALL) {
        complaints.push(format!("{table}: its mark {} lies above that of the events, {events_mark}", manifest.mark));
    }
    for base in manifest.every_base() {
        let wrong = wrong_with(base, manifest.mark);
        complaints.extend(wrong.map(|wrong| format!("{table}: the base at mark {} {wrong}", base.mark)));
    }
    complaints
}

fn wrong_with(base: &Base, mark: Seq) -> Option<String> {
    let rows: u64 = base.parts.iter().map(|part| part.rows).sum();
    if base.mark > mark {
        return Some(format!("lies above the collection's mark {mark}"));
    }
    if rows != base.rows {
        return Some(format!("has parts of {rows} rows and says {}", base.rows));
    }
    let overlap = base.parts.windows(2).find(|pair| pair[0].id.max >= pair[1].id.min);
    overlap.map(|pair| format!("has parts that overlap: {} and {}", pair[0].path, pair[1].path))
}

#[cfg(test)]
mod tests {
    use tidemark_model::{Instant, Mark, Positions};

    use super::*;
    use crate::manifest::{EventsFile, Range};

    fn events(runs: &[(Seq, Seq)], mark: Seq) -> EventsManifest {
        let at = Range { min: Instant::from_micros(1), max: Instant::from_micros(1) };
        let file = |(first, last): &(Seq, Seq)| EventsFile {
            path: format!("n/events/{first}.parquet"),
            planned_on: 0,
            rows: 1,
            bytes: 1,
            sha256: String::new(),
            positions: vec![Positions { shard: Shard(2), first: *first, last: *last }],
            system_time: at,
            ts: at,
            collections: Vec::new(),
        };
        EventsManifest {
            files: runs.iter().map(file).collect(),
            mark: Mark::of(Shard(2), mark),
            ..EventsManifest::before_first()
        }
    }

    #[test]
    fn positions_have_no_gap_and_no_overlap() {
        let namespace = Namespace::parse("n").unwrap();
        for (runs, mark, complaints) in [
            (&[(0, 4), (5, 9)][..], 9, 0),
            (&[(5, 9), (0, 4)], 9, 0),
            (&[(0, 4), (6, 9)], 9, 1),
            (&[(0, 4), (4, 9)], 9, 1),
            (&[(0, 4)], 9, 1),
            (&[(1, 4)], 4, 1),
        ] {
            assert_eq!(about_events(&namespace, &events(runs, mark)).len(), complaints, "{runs:?} {mark}");
        }
    }
}
