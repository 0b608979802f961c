//! A run of events files → one, and what its entry says.

use std::collections::BTreeMap;

use tidemark_catalog::manifest::{CollectionRows, EventsFile, Range};
use tidemark_fold::columns::events_schema;
use tidemark_model::{CollectionName, Instant, Namespace, Positions};
use tidemark_storage::{
    files::{FileKind, Writer, Written},
    paths,
};

use super::merge::Merge;
use crate::{error::Error, flush::write::footer, front::Room};

/// Writes the rows of some neighbouring files into one; nothing refers to it yet.
pub(super) async fn compacted(
    room: &Room,
    namespace: &Namespace,
    files: &[EventsFile],
    planned_on: u64,
) -> Result<EventsFile, Error> {
    let entry = entry(files, planned_on).ok_or_else(|| Error::Internal("a compaction of no files".to_owned()))?;
    let path = paths::events_file(namespace, entry.system_time.min, room.ids.ulid(room.clock.now()));
    let metadata = footer(namespace, entry.system_time, &entry.positions);
    let store = room.catalog.store();
    let mut writer = Writer::begin(store, (FileKind::Events, path), events_schema(), (entry.rows, &metadata))?;
    if let Err(error) = pour(room, files, &mut writer).await {
        writer.abort().await;
        return Err(error);
    }
    told(room, writer.finish().await?, entry)
}

async fn pour(room: &Room, files: &[EventsFile], writer: &mut Writer) -> Result<(), Error> {
    let mut rows = Merge::open(room.catalog.store(), files).await?;
    while let Some(batch) = rows.next().await? {
        writer.write(batch).await?;
    }
    Ok(())
}

/// A file with other rows than the run is never named: the run stays.
fn told(room: &Room, written: Written, entry: EventsFile) -> Result<EventsFile, Error> {
    let Written { path, rows, bytes, sha256 } = written;
    if rows != entry.rows {
        room.metrics.broken_invariant("H2");
        return Err(Error::Internal(format!("{path} has {rows} rows, the files it was made of {}", entry.rows)));
    }
    Ok(EventsFile { path: path.to_string(), bytes, sha256, ..entry })
}

/// What is known of the rows before they are written: together what the entries of the files say.
fn entry(files: &[EventsFile], planned_on: u64) -> Option<EventsFile> {
    Some(EventsFile {
        path: String::new(),
        planned_on,
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: 0,
        sha256: String::new(),
        positions: positions(files),
        system_time: hull(files, |file| file.system_time)?,
        ts: hull(files, |file| file.ts)?,
        collections: collections(files),
    })
}

fn hull(files: &[EventsFile], of: impl Fn(&EventsFile) -> Range<Instant>) -> Option<Range<Instant>> {
    let min = files.iter().map(|file| of(file).min).min()?;
    let max = files.iter().map(|file| of(file).max).max()?;
    Some(Range { min, max })
}

/// Runs that meet become one.
fn positions(files: &[EventsFile]) -> Vec<Positions> {
    let mut all: Vec<Positions> = files.iter().flat_map(|file| file.positions.iter().copied()).collect();
    all.sort_unstable();
    let mut runs: Vec<Positions> = Vec::new();
    for run in all {
        match runs.last_mut() {
            Some(last) if last.shard == run.shard && last.last + 1 == run.first => last.last = run.last,
            _ => runs.push(run),
        }
    }
    runs
}

/// In order of names; the schema is that of the newest row.
fn collections(files: &[EventsFile]) -> Vec<CollectionRows> {
    let mut known: BTreeMap<&CollectionName, CollectionRows> = BTreeMap::new();
    for rows in files.iter().flat_map(|file| &file.collections) {
        let Some(all) = known.get_mut(&rows.collection) else {
            known.insert(&rows.collection, rows.clone());
            continue;
        };
        if rows.seq.max > all.seq.max {
            all.schema_id = rows.schema_id;
        }
        all.rows += rows.rows;
        all.seq = Range { min: all.seq.min.min(rows.seq.min), max: all.seq.max.max(rows.seq.max) };
    }
    known.into_values().collect()
}

#[cfg(test)]
mod tests {
    use tidemark_model::Shard;

    use super::*;

    fn run(shard: u16, first: i64, last: i64) -> Positions {
        Positions { shard: Shard(shard), first, last }
    }

    fn rows(name: &str, rows: u64, seq: (i64, i64), schema_id: u32) -> CollectionRows {
        let collection = CollectionName::parse(name).expect("a name");
        CollectionRows { collection, rows, seq: Range { min: seq.0, max: seq.1 }, schema_id }
    }

    fn file(at: i64, rows: u64, positions: Vec<Positions>, collections: Vec<CollectionRows>) -> EventsFile {
        let ends = |from: i64| Range { min: Instant::from_micros(from), max: Instant::from_micros(from + 9) };
        EventsFile {
            path: at.to_string(),
            planned_on: 1,
            rows,
            bytes: 10,
            sha256: "x".to_owned(),
            positions,
            system_time: ends(at),
            ts: ends(-at),
            collections,
        }
    }

    #[test]
    fn an_entry_says_what_those_before_said() {
        let files = [
            file(10, 7, vec![run(1, 0, 4), run(2, 0, 1)], vec![rows("b", 2, (3, 4), 5)]),
            file(20, 3, vec![run(1, 5, 7)], vec![rows("a", 1, (5, 5), 1), rows("b", 2, (6, 7), 6)]),
            file(30, 2, vec![run(1, 8, 8), run(2, 3, 3)], vec![rows("b", 1, (8, 8), 6)]),
        ];
        let entry = entry(&files, 9).expect("files");
        assert_eq!((entry.rows, entry.planned_on), (12, 9));
        assert_eq!(entry.positions, [run(1, 0, 8), run(2, 0, 1), run(2, 3, 3)]);
        let micros = |range: Range<Instant>| (range.min.micros(), range.max.micros());
        assert_eq!((micros(entry.system_time), micros(entry.ts)), ((10, 39), (-30, -1)));
        assert_eq!(entry.collections, [rows("a", 1, (5, 5), 1), rows("b", 5, (3, 8), 6)]);
        assert!(super::entry(&[], 9).is_none());
    }
}
